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


def build_stand_in(name: str, *arguments: str, **environment: str) -> Path:
    """Return an OCI image layout of a stand-in base image, kept as `name`; built where there is none."""
    folder = cache_folder() / "stand-in-base" / name
    if not (folder / "index.json").exists():
        if os.geteuid() != 0:
            pytest.skip("Only root can build a stand-in base image.")
        executable("debootstrap")
        folder.parent.mkdir(parents=True, exist_ok=True)
        program = str(ROOT / "build-support/stand-in-base/build")
        subprocess.run(
            [sys.executable, program, *arguments, str(folder)],
            env={**os.environ, **environment},
            check=True,
        )
    return folder


@pytest.fixture(scope="session")
def base_layout() -> Path:
    """An OCI image layout of the stand-in base image, named `3.10-slim` in it."""
    named = os.environ.get("SLIM_RAY_IMAGE_TEST_BASE")
    return Path(named) if named else build_stand_in("3.10-bookworm")


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
