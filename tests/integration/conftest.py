"""What the integration tests share: a base image, a registry, Docker, and one packaged copy of this repository.

Everything is made once a run, in one temporary folder, and removed at its end. What a machine lacks skips the tests
that need it, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from integration.container import Docker
from integration.registry import Registry
from integration.repository import ROOT, PackagedImage, Repository
from integration.workspace import make_workspace, remove_workspace

BASE_REFERENCE = "python:3.10-slim"
_STAND_IN = "stand-in-base/3.10-bookworm"


def executable(name: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"There is no `{name}` on PATH.")
    return path


@pytest.fixture(scope="session")
def workspace() -> Iterator[Path]:
    """A temporary folder, for gigabytes."""
    folder = make_workspace()
    yield folder
    remove_workspace(folder)


def cache_folder() -> Path:
    """Return where `./pants` and the stand-in base image are kept."""
    named = os.environ.get("SLIM_RAY_IMAGE_CACHE")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache, "slim_ray_image")


@pytest.fixture(scope="session")
def base_layout() -> Path:
    """An OCI image layout of the stand-in base image, named `3.10-slim` in it; built where there is none."""
    named = os.environ.get("SLIM_RAY_IMAGE_TEST_BASE")
    if named:
        return Path(named)
    folder = cache_folder() / _STAND_IN
    if not (folder / "index.json").exists():
        if os.geteuid() != 0:
            pytest.skip(
                "Only root can build the stand-in base image; name one in SLIM_RAY_IMAGE_TEST_BASE."
            )
        executable("debootstrap")
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, str(ROOT / "build-support/stand-in-base/build"), str(folder)],
            check=True,
        )
    return folder


@pytest.fixture(scope="session")
def registry(workspace: Path, base_layout: Path) -> Iterator[Registry]:
    """A registry that has the base image as library/python:3.10-slim."""
    found = Registry(executable("docker-registry"), workspace / "registry")
    try:
        subprocess.run(
            [
                *(executable("skopeo"), "copy", "--quiet", "--dest-tls-verify=false"),
                *(
                    f"oci:{base_layout}:3.10-slim",
                    f"docker://{found.address}/library/{BASE_REFERENCE}",
                ),
            ],
            check=True,
        )
        yield found
    finally:
        found.close()


@pytest.fixture(scope="session")
def docker() -> Docker:
    """Docker, if it answers."""
    found = Docker(executable("docker"))
    problem = found.problem()
    if problem:
        pytest.skip(f"Docker does not answer: {problem}")
    return found


@pytest.fixture(scope="session")
def shared_repository(workspace: Path, base_layout: Path) -> Iterator[Repository]:
    """The copy that most tests run Pants in. It starts without a cached process, and shares the user's downloads."""
    copy = Repository.copy(
        workspace / "repository",
        {
            "PANTS_LOCAL_STORE_DIR": str(workspace / "store"),
            "PANTS_SLIM_RAY_BASE_IMAGE_SOURCES": repr(
                {BASE_REFERENCE: f"oci:{base_layout}:3.10-slim"}
            ),
        },
        umask=0o022,
    )
    yield copy
    copy.close()


@pytest.fixture
def repository(shared_repository: Repository) -> Iterator[Repository]:
    """The shared copy, which gets its files back after the test."""
    yield shared_repository
    shared_repository.restore()


@pytest.fixture(scope="session")
def echo(workspace: Path, shared_repository: Repository) -> PackagedImage:
    """The image of the smallest service, packaged with no process cached."""
    return shared_repository.package("src/services/echo:image").move_to(workspace / "echo")


@pytest.fixture(scope="session")
def ranker(workspace: Path, shared_repository: Repository, echo: PackagedImage) -> PackagedImage:
    """The image of the service with a model, packaged after echo."""
    return shared_repository.package("src/services/ranker:image").move_to(workspace / "ranker")
