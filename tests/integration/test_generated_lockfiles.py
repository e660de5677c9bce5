"""Tests of images from lockfiles that Pants itself generates, and from either format without a network."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Sequence
from uuid import uuid4

import pytest
from conftest import Golden
from harness.failures import assert_fails
from harness.repository import PackagedImage, Repository
from harness.shapes import (
    HOST_BUILT,
    LOCKFILE,
    RESOLVE,
    TARGET,
    Shapes,
    check_error,
    generate_pex_lock,
    make_shapes,
    pex_lock,
    write_service,
)
from needs import needs, no_network, program

pytestmark = needs("base")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    return make_shapes(tmp_path_factory.mktemp("shapes"))


def test_both_formats_of_a_lockfile_give_the_same_image(
    repository: Repository, shapes: Shapes
) -> None:
    """A Pex lockfile, with Pants' header, and a pip-style one with the same pins give the same manifest digest."""
    write_service(repository, ["cube"])
    # Pants locks the newest version of side.
    repository.write(LOCKFILE, shapes.locked("cube") + shapes.locked("side", "2.0"))
    by_pip = repository.package(TARGET, *shapes.options()).description
    lock = generate_pex_lock(repository, shapes)
    assert lock.startswith("// ") and '"locked_resolves"' in lock
    by_pex = repository.package(TARGET, *shapes.options())
    assert by_pex.distributions == {"cube-for-tests", "side-for-tests"}
    assert by_pex.description["manifest_digest"] == by_pip["manifest_digest"]
    assert by_pex.run.warnings == ()


@needs("git")
def test_pex_lockfile_may_hold_what_is_built_from_version_control(
    repository: Repository, shapes: Shapes, tmp_path: Path
) -> None:
    """A Pex lockfile may contain a distribution from a Git repository and a source distribution; both are built."""
    git = program("git")
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


def test_pex_lockfile_that_does_not_do_is_an_error(
    repository: Repository, shapes: Shapes, golden: Golden
) -> None:
    """Each kind of mistake in a Pex lockfile gives one error, in the plugin's words and not in Pex's."""
    cube = shapes.pex_locked("cube", requires=["side"])
    for names, locked, error in (
        (["cube", "side"], [cube], "package-pex-lock-without-an-entry"),
        (["cube"], [cube], "package-pex-lock-without-a-needed-entry"),
        (["sphere"], [shapes.pex_locked("sphere")], "package-pex-lock-for-another-python"),
        (
            ["torus"],
            [shapes.pex_locked("torus", requires_python=">=3.12")],
            "package-pex-lock-of-a-newer-python",
        ),
        (
            ["torus", "cone"],
            [shapes.pex_locked(n) for n in ("torus", "cone")],
            "package-pex-no-wheel",
        ),
    ):
        write_service(repository, names)
        repository.write(LOCKFILE, pex_lock(*locked))
        check_error(repository, shapes, golden, error)


# --- Without a network


def write_drivers(repository: Repository, resolve: str, **imports: Sequence[str]) -> None:
    """Write a driver and an image for each keyword argument; the driver imports the argument's modules."""
    lines = [f'python_sources(resolve="{resolve}")']
    for name, modules in imports.items():
        repository.write(f"src/offline/{name}.py", "".join(f"import {m}\n" for m in modules))
        lines.append(f'slim_ray_image(name="{name}", entry_point="{name}.py", resolve="{resolve}")')
    repository.write("src/offline/BUILD", "\n".join(lines) + "\n")


def make_unique(repository: Repository, resolve: str) -> None:
    """Add a unique comment to a lockfile, so that no earlier run's results for the lockfile are in the caches."""
    path, mark = ("3rdparty/python/ray.lock", "#") if resolve != RESOLVE else (LOCKFILE, "//")
    repository.write(path, f"{mark} {uuid4()}\n{repository.read(path)}")


@needs("no-network")
@pytest.mark.parametrize("resolve", ["ray-default", RESOLVE])
def test_warm_caches_need_no_network(repository: Repository, shapes: Shapes, resolve: str) -> None:
    """With warm caches, new imports and new targets are packaged without a network, from either format."""
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
    make_unique(repository, resolve)
    write_drivers(repository, resolve, first=["starlette"], second=["redis"])
    repository.pants(*options, "package", "src/offline:first", "src/offline:second")
    both = ["starlette", "redis"]
    write_drivers(repository, resolve, first=both, third=both)
    targets = ("src/offline:first", "src/offline:third")
    run = repository.pants("--no-pantsd", *options, "package", *targets, within=no_network())
    assert "Find the wheels of src/offline:first" in "\n".join(run.started)
    for target in targets:
        image = PackagedImage(target, repository.output_of(target), run)
        assert {"redis", "starlette"} <= image.distributions
