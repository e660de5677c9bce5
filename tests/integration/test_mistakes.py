"""What a user is told of a mistake in the code, the BUILD file or the lockfile: one clear error, and dist/ as it was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from textwrap import dedent

import pytest
from conftest import make_wheel

from integration.failures import assert_fails
from integration.repository import Repository

pytestmark = pytest.mark.integration

LOCKFILE = "3rdparty/python/shapes.lock"
WRONG_HASH = "0" * 64


# --- Code and BUILD files


@pytest.mark.parametrize(
    ("app", "serve_app", "parts"),
    [
        pytest.param(
            "app = 1\n",
            "services.mistaken.app:application",
            [
                "The module services.mistaken.app does not define 'application'",
                "src/services/mistaken/app.py defines app",
            ],
            id="attribute",
        ),
        pytest.param(
            "def app(:\n",
            "services.mistaken.app:app",
            ["src/services/mistaken/app.py is not valid Python 3.10", "line 1: "],
            id="syntax",
        ),
        pytest.param(
            "app = 1\n",
            "services.mistaken.main:app",
            ["No target owns the module services.mistaken.main", "services.mistaken.main:app"],
            id="module",
        ),
    ],
)
def test_serve_app_that_is_not_there_is_an_error(
    app: str, serve_app: str, parts: list[str], repository: Repository
) -> None:
    """The error names the file, and what it should have."""
    repository.write("src/services/mistaken/app.py", app)
    repository.write(
        "src/services/mistaken/BUILD",
        f'python_sources()\nslim_ray_image(name="image", serve_app="{serve_app}")\n',
    )
    error = assert_fails(repository, "src/services/mistaken:image")
    for part in parts:
        assert part in error, error
    assert not repository.output_of("src/services/mistaken:image").exists()


# --- Lockfiles


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Distributions that no index has: a cube that needs a side; a sphere for CPython 3.12; of a torus, the source."""
    folder = tmp_path_factory.mktemp("wheels")
    for name, requires in (("cube", ["side-for-tests"]), ("side", []), ("sphere", [])):
        files = {f"{name}_for_tests.py": ""}
        make_wheel(folder, f"{name}_for_tests", "1.0", files=files, requires=requires)
    (sphere,) = folder.glob("sphere*")
    sphere.rename(folder / "sphere_for_tests-1.0-cp312-cp312-manylinux_2_17_x86_64.whl")
    (folder / "torus_for_tests-1.0.tar.gz").write_bytes(b"never opened")
    return folder


def locked(wheels: Path, name: str, digest: str = "") -> str:
    """Return the line of a lockfile for the one file of a distribution."""
    (file,) = wheels.glob(f"{name}_for_tests-*")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{name}-for-tests==1.0 --hash=sha256:{digest or found}\n"


def write_shapes(repository: Repository, lock: str, name: str) -> None:
    """Write a resolve of its own with the lockfile, and a driver that imports the distribution `name`."""
    repository.write(LOCKFILE, lock)
    repository.write(
        "src/shapes/BUILD",
        dedent(
            f"""\
            python_requirement(name="shape", requirements=["{name}-for-tests"], resolve="shapes")
            python_source(name="driver", source="driver.py", resolve="shapes")
            slim_ray_image(name="image", entry_point="driver.py", resolve="shapes")
            """
        ),
    )
    repository.write("src/shapes/driver.py", f"import {name}_for_tests\n")


def options(wheels: Path) -> tuple[str, str]:
    """Return the options by which the resolve and its wheels are known."""
    resolves = {"shapes": LOCKFILE}
    return (f"--python-resolves=+{resolves!r}", f"--python-repos-find-links=+{[wheels.as_uri()]!r}")


def test_lockfile_is_enough_to_package(repository: Repository, wheels: Path) -> None:
    """What is wrong in the tests below is wrong there alone."""
    write_shapes(repository, locked(wheels, "cube") + locked(wheels, "side"), "cube")
    image = repository.package("src/shapes:image", *options(wheels))
    assert image.distributions == {"cube-for-tests", "side-for-tests"}


@pytest.mark.parametrize(
    ("name", "entries", "parts"),
    [
        pytest.param(
            "cube",
            ["cube", "side:wrong"],
            ["its hash is not one the lock has", "side-for-tests"],
            id="hash",
        ),
        pytest.param(
            "cube",
            ["cube"],
            [
                f"The lockfile {LOCKFILE} of resolve 'shapes' does not hold",
                "side-for-tests==1.0 is needed, but has no entry",
            ],
            id="missing requirement",
        ),
        pytest.param(
            "sphere",
            ["sphere"],
            ["src/shapes:image for linux/amd64, CPython 3.10", "sphere-for-tests"],
            id="wheel for another Python",
        ),
        pytest.param(
            "torus",
            ["torus"],
            ["src/shapes:image for linux/amd64, CPython 3.10", "torus-for-tests"],
            id="no wheel",
        ),
    ],
)
def test_lockfile_that_does_not_do_is_an_error(
    name: str, entries: list[str], parts: list[str], repository: Repository, wheels: Path
) -> None:
    """The error names the distribution, and the lockfile or the platform."""
    lock = "".join(
        locked(wheels, locked_name, WRONG_HASH if wrong else "")
        for locked_name, _, wrong in (entry.partition(":") for entry in entries)
    )
    write_shapes(repository, lock, name)
    error = assert_fails(repository, "src/shapes:image", *options(wheels))
    for part in parts:
        assert part in error, error


def test_lockfile_that_is_not_there_is_an_error(repository: Repository, wheels: Path) -> None:
    """The error names the lockfile and its resolve."""
    write_shapes(repository, "", "cube")
    (repository.path / LOCKFILE).rename(repository.path / "elsewhere.lock")
    try:
        error = assert_fails(repository, "src/shapes:image", *options(wheels))
    finally:
        (repository.path / "elsewhere.lock").rename(repository.path / LOCKFILE)
    assert f"The lockfile {LOCKFILE} of resolve 'shapes'" in error
    assert "does not exist" in error
