"""What becomes of a lockfile: either format gives the same image, each resolve has its own, and what must be built is."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Sequence

import pytest
from conftest import Golden

from integration.conftest import executable
from integration.failures import assert_fails, message_of
from integration.repository import PackagedImage, Repository
from integration.shapes import (
    LOCKFILE,
    RESOLVE,
    TARGET,
    Shapes,
    make_shapes,
    pex_lock,
    write_service,
)

pytestmark = pytest.mark.integration

HOST_BUILT = "--slim-ray-host-built-distributions=['Torus_for-tests', 'cone-for-tests']"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    return make_shapes(tmp_path_factory.mktemp("shapes"))


def package_from_pip_lock(
    repository: Repository, shapes: Shapes, names: list[str], *options: str
) -> PackagedImage:
    repository.write(LOCKFILE, "".join(map(shapes.locked, names)))
    return repository.package(TARGET, *shapes.options(), *options)


def generate_pex_lock(repository: Repository, shapes: Shapes) -> str:
    """Let Pants write the lockfile, as its users do, and return it."""
    repository.write(LOCKFILE, "")
    repository.pants(
        *shapes.options(),
        "--python-resolves-generate-lockfiles",
        "generate-lockfiles",
        f"--resolve={RESOLVE}",
    )
    return repository.read(LOCKFILE)


def test_both_formats_of_a_lockfile_give_the_same_image(
    repository: Repository, shapes: Shapes
) -> None:
    """A Pex lockfile, with Pants' header, and a pip-style one of the same pins have one manifest digest."""
    write_service(repository, ["cube"])
    # Pants takes the newest side.
    repository.write(LOCKFILE, shapes.locked("cube") + shapes.locked("side", "2.0"))
    by_pip = repository.package(TARGET, *shapes.options()).description
    lock = generate_pex_lock(repository, shapes)
    assert lock.startswith("// ") and '"locked_resolves"' in lock
    by_pex = repository.package(TARGET, *shapes.options())
    assert by_pex.distributions == {"cube-for-tests", "side-for-tests"}
    assert by_pex.description["manifest_digest"] == by_pip["manifest_digest"]
    assert by_pex.run.warnings == ()


@pytest.mark.skipif(
    not os.environ.get("SLIM_RAY_IMAGE_TEST_FULL"), reason="SLIM_RAY_IMAGE_TEST_FULL is not set."
)
def test_pex_lockfile_of_a_real_service_gives_its_image(
    repository: Repository, shapes: Shapes, echo: PackagedImage
) -> None:
    """From a Pex lockfile of the pins that a service's image has, Pants makes the same image."""
    pins = [f"{row['name']}=={row['version']}" for row in echo.description["requirements"]]
    repository.write(
        "src/pins/BUILD",
        f'python_requirement(name="pins", requirements={pins!r}, resolve="{RESOLVE}")\n',
    )
    repository.write("3rdparty/python/ray.lock", generate_pex_lock(repository, shapes))
    by_pex = repository.package(echo.target, *shapes.options())
    assert by_pex.description["manifest_digest"] == echo.description["manifest_digest"]


def test_each_resolve_has_its_own_lockfile(repository: Repository, shapes: Shapes) -> None:
    """Two images of two resolves, built in one run, each hold the version that their own lockfile has."""
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
    """Pants' own PEX rules build it, one warning says so, and what was not built has the layer it always has."""
    write_service(repository, ["cube"])
    plain = package_from_pip_lock(repository, shapes, ["cube", "side"])
    write_service(repository, ["torus", "cone", "cube"])
    names = ["torus", "cone", "cube", "side"]
    image = package_from_pip_lock(repository, shapes, names, HOST_BUILT)
    assert image.distributions == {f"{name}-for-tests" for name in names}
    assert image.run.warnings == (
        "The distributions of src/shapes:image are packed by Pants' own PEX rules, since cone-for-tests 1.0 and "
        "torus-for-tests 1.0 have no wheel and are built on this machine.",
    )
    for suffix in ("/cube_for_tests.py", "/cube_for_tests-1.0.dist-info/RECORD", "/measure-cube"):
        (content,) = plain.layout.read(suffix).values()
        assert list(image.layout.read(suffix).values()) == [content]


def test_pex_lockfile_may_hold_what_is_built_from_version_control(
    repository: Repository, shapes: Shapes, tmp_path: Path
) -> None:
    """Of a Pex lockfile, a distribution from a Git repository and one from a source distribution are built."""
    git = executable("git")
    with tarfile.open(next(shapes.folder.glob("cone*"))) as source:
        source.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "Add a cone")):
        subprocess.run([git, *command], cwd=folder, check=True)
    place = f"git+file://localhost{folder}"
    write_service(repository, ["torus", "cone", "side"], places={"cone": place})
    generate_pex_lock(repository, shapes)
    refused = assert_fails(repository, TARGET, *shapes.options())
    assert "2 of the distributions that src/shapes:image needs have no wheel" in refused, refused
    assert f"cone-for-tests 1.0: {place}" in refused
    image = repository.package(TARGET, *shapes.options(), HOST_BUILT)
    assert image.distributions == {"cone-for-tests", "side-for-tests", "torus-for-tests"}
    assert len(image.run.warnings) == 1


# --- What is wrong with a lockfile


def check_error(
    repository: Repository, shapes: Shapes, golden: Golden, name: str, *options: str
) -> None:
    """Package the service, which must fail with the whole text of a golden file."""
    text = message_of(assert_fails(repository, TARGET, *shapes.options(), *options))
    # The base's Python gets patches.
    golden.check(f"errors/{name}.txt", re.sub(r"CPython 3\.10\.\d+", "CPython 3.10.0", text))


@pytest.mark.parametrize(
    ("name", "locked", "error"),
    [
        ("cube", ["cube", "side:wrong"], "package_wrong_hash"),
        ("cube", ["cube"], "package_lock_without_an_entry"),
        ("sphere", ["sphere"], "package_wheel_for_another_python"),
        ("torus", ["torus"], "package_no_wheel"),
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


def test_pex_lockfile_that_does_not_do_is_an_error(
    repository: Repository, shapes: Shapes, golden: Golden
) -> None:
    """Each kind of mistake in a Pex lockfile has one error, in our words and not in Pex's."""
    cube = shapes.pex_locked("cube", requires=["side"])
    for names, locked, error in (
        (["cube", "side"], [cube], "package_pex_lock_without_an_entry"),
        (["cube"], [cube], "package_pex_lock_without_a_needed_entry"),
        (["sphere"], [shapes.pex_locked("sphere")], "package_pex_lock_for_another_python"),
        (
            ["torus"],
            [shapes.pex_locked("torus", requires_python=">=3.12")],
            "package_pex_lock_of_a_newer_python",
        ),
        (
            ["torus", "cone"],
            [shapes.pex_locked(n) for n in ("torus", "cone")],
            "package_pex_no_wheel",
        ),
    ):
        write_service(repository, names)
        repository.write(LOCKFILE, pex_lock(*locked))
        check_error(repository, shapes, golden, error)


def test_lockfile_that_is_not_there_is_an_error(
    repository: Repository, shapes: Shapes, golden: Golden
) -> None:
    """The error names the lockfile and its resolve."""
    write_service(repository, ["cube"])
    check_error(repository, shapes, golden, "package_no_lockfile")


# --- Without a network


@pytest.fixture
def no_network() -> tuple[str, ...]:
    """A command that runs another where no host answers, this machine's own addresses included."""
    command = ("unshare", "--net")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("Only root can run a program without a network.")
    return command


def write_drivers(repository: Repository, resolve: str, **imports: Sequence[str]) -> None:
    """Write a driver for each keyword, that imports modules, and its image."""
    lines = [f'python_sources(resolve="{resolve}")']
    for name, modules in imports.items():
        repository.write(f"src/offline/{name}.py", "".join(f"import {m}\n" for m in modules))
        lines.append(f'slim_ray_image(name="{name}", entry_point="{name}.py", resolve="{resolve}")')
    repository.write("src/offline/BUILD", "\n".join(lines) + "\n")


@pytest.mark.parametrize("resolve", ["ray-default", RESOLVE])
def test_warm_caches_need_no_network(
    repository: Repository, shapes: Shapes, no_network: tuple[str, ...], resolve: str
) -> None:
    """With lock and caches, new imports and new targets are packaged where no index answers; of either format."""
    options: tuple[str, ...] = ()
    if resolve == RESOLVE:
        repository.write(
            "src/offline/requirements/BUILD",
            "".join(
                f'python_requirement(name="{name}", requirements=["{name}"], resolve="{RESOLVE}")\n'
                for name in ("redis", "starlette")
            ),
        )
        generate_pex_lock(repository, shapes)
        options = shapes.options()
    write_drivers(repository, resolve, first=["starlette"], second=["redis"])
    repository.pants(*options, "package", "src/offline:first", "src/offline:second")
    both = ["starlette", "redis"]
    write_drivers(repository, resolve, first=both, third=both)
    targets = ("src/offline:first", "src/offline:third")
    run = repository.pants("--no-pantsd", *options, "package", *targets, within=no_network)
    assert "Find what src/offline:first needs" in "\n".join(run.started)
    for target in targets:
        image = PackagedImage(target, repository.output_of(target), run)
        assert {"redis", "starlette"} <= image.distributions


# --- What distributions do to each other and to the base


@pytest.fixture(scope="module")
def unruly_shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    """A plane and a line that disagree on a file, the line a layer of its own; a point that brings `grep` and `pip`."""
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
        (["line", "plane"], "package_two_contents_of_a_path"),
        (["point"], "package_command_hides_another"),
    ],
)
def test_distributions_that_conflict_are_an_error(
    repository: Repository, unruly_shapes: Shapes, golden: Golden, names: list[str], error: str
) -> None:
    """Whatever layers they would be in, distributions that write over each other or the base are refused."""
    write_service(repository, names)
    repository.write(LOCKFILE, "".join(map(unruly_shapes.locked, names)))
    text = assert_fails(repository, TARGET, *unruly_shapes.options())
    golden.check(f"errors/{error}.txt", message_of(text))
