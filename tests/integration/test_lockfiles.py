"""Tests of images from pip-style lockfiles: one for each resolve, distributions that must be built, and mistakes."""

from __future__ import annotations

import pytest
from conftest import Golden
from harness.failures import assert_fails, message_of
from harness.repository import PackagedImage, Repository
from harness.shapes import (
    HOST_BUILT,
    LOCKFILE,
    RESOLVE,
    TARGET,
    Shapes,
    check_error,
    make_shapes,
    write_service,
)
from needs import needs

pytestmark = needs("base")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    return make_shapes(tmp_path_factory.mktemp("shapes"))


def package_from_pip_lock(
    repository: Repository, shapes: Shapes, names: list[str], *options: str
) -> PackagedImage:
    repository.write(LOCKFILE, "".join(map(shapes.locked, names)))
    return repository.package(TARGET, *shapes.options(), *options)


def test_each_resolve_has_its_own_lockfile(repository: Repository, shapes: Shapes) -> None:
    """Two images of two resolves, built in one run, each contain the version of their own lockfile."""
    targets = (TARGET, "src/sides:image")
    write_service(repository, ["side"])
    write_service(repository, ["side"], resolve="sides", folder="src/sides")
    repository.write(LOCKFILE, shapes.locked("side", "1.0"))
    repository.write("3rdparty/python/sides.lock", shapes.locked("side", "2.0"))
    run = repository.pants(*shapes.options([RESOLVE, "sides"]), "package", *targets)
    images = [PackagedImage(target, repository.output_of(target), run) for target in targets]
    versions = [[row["version"] for row in i.description["requirements"]] for i in images]
    assert versions == [["1.0"], ["2.0"]]


# --- Distributions without a wheel


def test_distribution_that_may_be_built_is_built(repository: Repository, shapes: Shapes) -> None:
    """Pants' own PEX rules build the named distributions, with one warning; the files of others do not change."""
    write_service(repository, ["cube"])
    plain = package_from_pip_lock(repository, shapes, ["cube", "side"])
    write_service(repository, ["torus", "cone", "cube"])
    names = ["torus", "cone", "cube", "side"]
    image = package_from_pip_lock(repository, shapes, names, HOST_BUILT)
    assert image.distributions == {f"{name}-for-tests" for name in names}
    assert image.run.warnings == (
        "Of the distributions of src/shapes:image, cone-for-tests 1.0 and torus-for-tests 1.0 have no wheel and are "
        "built on this machine, by Pants' own PEX rules.",
    )
    for suffix in ("/cube_for_tests.py", "/cube_for_tests-1.0.dist-info/RECORD", "/measure-cube"):
        (content,) = plain.layout.read(suffix).values()
        assert list(image.layout.read(suffix).values()) == [content]


# --- Mistakes in a lockfile


@pytest.mark.parametrize(
    ("name", "locked", "error"),
    [
        ("cube", ["cube", "side:wrong"], "package-wrong-hash"),
        ("cube", ["cube"], "package-lock-without-an-entry"),
        ("sphere", ["sphere"], "package-wheel-for-another-python"),
        ("torus", ["torus"], "package-no-wheel"),
    ],
)
def test_pip_lockfile_that_does_not_do_is_an_error(
    repository: Repository,
    shapes: Shapes,
    golden: Golden,
    name: str,
    locked: list[str],
    error: str,
) -> None:
    """The error names the distribution, and the lockfile or the platform."""
    entries = (entry.partition(":") for entry in locked)
    lock = "".join(shapes.locked(n, digest="0" * 64 if wrong else "") for n, _, wrong in entries)
    repository.write(LOCKFILE, lock)
    write_service(repository, [name])
    check_error(repository, shapes, golden, error)


def test_lockfile_that_is_not_there_is_an_error(
    repository: Repository, shapes: Shapes, golden: Golden
) -> None:
    """The error names the lockfile and its resolve."""
    write_service(repository, ["cube"])
    check_error(repository, shapes, golden, "package-no-lockfile")


# --- Conflicts between distributions, and with the base


@pytest.fixture(scope="module")
def unruly_shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    """A plane and a line that disagree on a file, the line with a layer of its own; a point with `grep` and `pip`."""
    shapes = Shapes(tmp_path_factory.mktemp("unruly"))
    same = {"drawn/__init__.py": "", "drawn/same.py": "x = 1\n"}
    shapes.add_wheel("plane", files={**same, "drawn/style.py": "of the plane\n"})
    large = {"line_for_tests.bin": "-" * 6_000_000}
    shapes.add_wheel("line", files={**same, **large, "drawn/style.py": "of the line\n"})
    shapes.add_wheel("point", scripts=["grep", "pip", "point"])
    return shapes


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["line", "plane"], "package-two-contents-of-a-path"),
        (["point"], "package-command-hides-another"),
    ],
)
def test_distributions_that_conflict_are_an_error(
    repository: Repository, unruly_shapes: Shapes, golden: Golden, names: list[str], error: str
) -> None:
    """Distributions that overwrite files of each other or of the base are refused, whatever their layers."""
    write_service(repository, names)
    repository.write(LOCKFILE, "".join(map(unruly_shapes.locked, names)))
    text = assert_fails(repository, TARGET, *unruly_shapes.options())
    golden.check(f"errors/packages/{error}.txt", message_of(text))
