"""The same commit gives the same image on every machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Iterator, Optional

import pytest

from integration.conftest import BASE_REFERENCE, cache_folder
from integration.repository import PackagedImage, Repository

pytestmark = pytest.mark.integration

# Those that the plugin's own tools run on; the other machine has the newest that there is here, alone.
TOOL_PYTHONS = ("python3.11", "python3.10", "python3.9")


def _pyenv_versions() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"


def other_python() -> Optional[Path]:
    """Return the folder of a CPython for the plugin's tools that Pants would not choose by itself."""
    for name in TOOL_PYTHONS:
        for path in sorted(_pyenv_versions().glob(f"*/bin/{name}"), reverse=True):
            return path.parent
        found = shutil.which(name)
        if found:
            return Path(found).parent
    return None


@pytest.fixture(scope="module")
def other_machine(workspace: Path, base_layout: Path) -> Iterator[Repository]:
    """A copy that has nothing in common with the shared one but its content.

    Another path, user's home, umask, time zone, locale and hash seed; caches that are empty; another Python for the
    tools, where this machine has one; the base image from another folder.
    """
    home = workspace / "other-machine" / "home"
    home.mkdir(parents=True)
    base = workspace / "bases" / "base"
    shutil.copytree(base_layout, base)
    environment = {
        "HOME": str(home),
        "LC_ALL": "C",
        "PANTS_LOCAL_STORE_DIR": str(home / "store"),
        "PANTS_NAMED_CACHES_DIR": str(home / "named"),
        "PANTS_SLIM_RAY_BASE_IMAGE_SOURCES": repr({BASE_REFERENCE: f"oci:{base}:3.10-slim"}),
        "PYENV_ROOT": str(_pyenv_versions().parent),
        "PYTHONHASHSEED": "12345",
        "SLIM_RAY_IMAGE_CACHE": str(cache_folder()),
        "TZ": "Pacific/Auckland",
        "USER": "someone",
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    python = other_python()
    if python:
        environment["PANTS_PYTHON_BOOTSTRAP_SEARCH_PATH"] = repr([str(python)])
    copy = Repository.copy(workspace / "monorepo-of-someone", environment, umask=0o077)
    yield copy
    copy.close()


FULL = pytest.mark.skipif(
    not os.environ.get("SLIM_RAY_IMAGE_TEST_FULL"), reason="SLIM_RAY_IMAGE_TEST_FULL is not set."
)


@pytest.mark.parametrize("service", ["echo", pytest.param("ranker", marks=FULL)])
def test_image_is_the_same_on_another_machine(
    service: str, other_machine: Repository, request: pytest.FixtureRequest
) -> None:
    """Another path, home, umask, time zone, locale, hash seed and Python, and empty caches: the same digest."""
    expected: PackagedImage = request.getfixturevalue(service)
    found = other_machine.package(expected.target)
    assert written_layers(found) == written_layers(expected)  # neither took one from a cache
    # Layer by layer before the whole, to tell what differs.
    assert diff_ids(found) == diff_ids(expected)
    assert found.layout.config == expected.layout.config
    assert found.description["manifest_digest"] == expected.description["manifest_digest"]


def written_layers(image: PackagedImage) -> set[str]:
    return {step for step in image.run.started if step.startswith("Write the layer")}


def diff_ids(image: PackagedImage) -> dict[str, str]:
    return {row["name"]: row["diff_id"] for row in image.description["layers"]}
