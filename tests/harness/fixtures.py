"""Fixtures for tests of real runs: a base image, a registry, Docker, a copy of this repository, packaged services.

In: the needs that markers of tests/needs.py name; a fixture assumes that they are met. Out: one temporary folder for
each test process, removed at its end. The test processes, two at a time, share the base image and the user's Pants
caches, and so the results of each other's builds: no test may rely on being the first to package a target.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator
from uuid import uuid4

import pytest
from needs import cache_folder, named_base_source, program, stand_in_folder

from harness.container import Docker
from harness.other_machine import make_other_machine
from harness.registry import Registry
from harness.repository import ROOT, PackagedImage, Repository
from harness.targets import package_archive
from harness.workspace import make_workspace, remove_workspace

# A conftest.py imports these fixtures with `*`.
__all__ = (
    "archive",
    "archive_name",
    "base_layout",
    "base_source",
    "docker",
    "echo",
    "other_machine",
    "ranker",
    "registry",
    "repository",
    "shared_repository",
    "workspace",
)

BASE_REFERENCE = "python:3.10-slim"
_STAND_IN_TAG = "3.10-slim"


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Hold a lock called `name`, which no other process of this user has at the same time."""
    folder = cache_folder() / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def workspace() -> Iterator[Path]:
    """A temporary folder, which may get gigabytes large."""
    folder = make_workspace()
    yield folder
    remove_workspace(folder)


def build_stand_in(name: str, *arguments: str, **environment: str) -> Path:
    """Return the OCI image layout of a stand-in base image, cached as `name`; build the layout if it is missing."""
    folder = stand_in_folder(name)
    with one_at_a_time(f"stand-in-{name}"):
        if not (folder / "index.json").exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            build = str(ROOT / "build-support/stand-in-base/build")
            subprocess.run(
                [sys.executable, build, *arguments, str(folder)],
                env={**os.environ, **environment},
                check=True,
            )
    return folder


def _copy_layout(reference: str, folder: Path) -> Path:
    """Copy an image of a registry into a new OCI image layout."""
    source, target = f"docker://{reference}", f"oci:{folder}:{_STAND_IN_TAG}"
    local = ("--src-tls-verify=false",) if reference.startswith(("127.", "localhost")) else ()
    subprocess.run([program("skopeo"), "copy", "--quiet", *local, source, target], check=True)
    return folder


@pytest.fixture(scope="session")
def base_source(workspace: Path) -> str:
    """The base image in the form of [slim-ray].base_image_sources: `oci:FOLDER:TAG`."""
    source = named_base_source()
    if source is None:
        return f"oci:{build_stand_in('3.10-bookworm')}:{_STAND_IN_TAG}"
    if source.startswith("oci:"):
        return source
    return f"oci:{_copy_layout(source, workspace / 'base')}:{_STAND_IN_TAG}"


@pytest.fixture(scope="session")
def base_layout(base_source: str) -> Path:
    """The OCI image layout that contains only the base image."""
    return Path(re.sub(r"^oci:|:[^:/]*$", "", base_source))


@pytest.fixture(scope="session")
def registry(workspace: Path, base_source: str) -> Iterator[Registry]:
    """A registry that has the base image as library/python:3.10-slim."""
    found = Registry(program("docker-registry"), workspace / "registry")
    try:
        target = f"docker://{found.address}/library/{BASE_REFERENCE}"
        subprocess.run(
            [program("skopeo"), "copy", "--quiet", "--dest-tls-verify=false", base_source, target],
            check=True,
        )
        yield found
    finally:
        found.close()


@pytest.fixture(scope="session")
def docker() -> Docker:
    """The Docker of this machine, which the need `docker` has tested."""
    return Docker(program("docker"))


@pytest.fixture(scope="session")
def shared_repository(workspace: Path, base_source: str) -> Iterator[Repository]:
    """The copy of the repository that most tests of a process run Pants in, with the user's own caches."""
    sources = {BASE_REFERENCE: base_source}
    environment = {"PANTS_SLIM_RAY_BASE_IMAGE_SOURCES": repr(sources)}
    copy = Repository.copy(workspace / "repository", environment, umask=0o022)
    yield copy
    copy.close()


@pytest.fixture
def repository(shared_repository: Repository) -> Iterator[Repository]:
    """The shared copy of the repository; after the test its files are restored."""
    yield shared_repository
    shared_repository.restore()


def _package(repository: Repository, service: str, folder: Path) -> PackagedImage:
    """Package a service while no other process does, so that the second process finds everything in Pants' caches."""
    with one_at_a_time(f"package-{service}"):
        return repository.package(f"src/services/{service}:image").move_to(folder)


@pytest.fixture(scope="session")
def echo(workspace: Path, shared_repository: Repository) -> PackagedImage:
    """The image of the smallest service."""
    return _package(shared_repository, "echo", workspace / "echo")


@pytest.fixture(scope="session")
def ranker(workspace: Path, shared_repository: Repository) -> PackagedImage:
    """The image of the service with a model."""
    return _package(shared_repository, "ranker", workspace / "ranker")


@pytest.fixture(scope="session")
def other_machine(workspace: Path, base_source: str, base_layout: Path) -> Iterator[Repository]:
    """A copy of the repository that shares only its content with the shared copy."""
    tag = base_source.rpartition(":")[2]
    copy = make_other_machine(workspace / "other-machine", base_layout, tag, BASE_REFERENCE)
    yield copy
    copy.close()


@pytest.fixture(scope="session")
def archive_name() -> str:
    """An image repository's name for this process alone, since all users of this machine share its Docker."""
    return f"outputs-{uuid4().hex}"


@pytest.fixture(scope="session")
def archive(workspace: Path, shared_repository: Repository, archive_name: str) -> PackagedImage:
    """A driver's image as image.tar alone, named in two registries."""
    try:
        return package_archive(shared_repository, archive_name).move_to(workspace / "archive")
    finally:
        shared_repository.restore()
