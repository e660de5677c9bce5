"""A simulated other machine, for tests that an image does not depend on the machine that builds it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Optional

from needs import cache_folder

from harness.repository import PackagedImage, Repository

# Pythons that the plugin's own tools run on, newest first. The other machine has only the first of these found here.
TOOL_PYTHONS = ("python3.11", "python3.10", "python3.9")


def _pyenv_versions() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"


def other_python() -> Optional[Path]:
    """Return the folder of a CPython for the plugin's tools that Pants would not choose by itself; None without one."""
    for name in TOOL_PYTHONS:
        for path in sorted(_pyenv_versions().glob(f"*/bin/{name}"), reverse=True):
            return path.parent
        found = shutil.which(name)
        if found:
            return Path(found).parent
    return None


def make_other_machine(
    folder: Path, base_layout: Path, base_tag: str, reference: str
) -> Repository:
    """Return a copy of the repository, below the new `folder`, that shares only its content with other copies.

    The copy has another path, home, umask, time zone, locale and hash seed; empty caches; another Python for the
    tools, if this machine has one; and the base image in another folder.
    """
    home, base = folder / "home", folder / "base"
    home.mkdir(parents=True)
    shutil.copytree(base_layout, base)
    environment = {
        "HOME": str(home),
        "LC_ALL": "C",
        "PANTS_LOCAL_STORE_DIR": str(home / "store"),
        "PANTS_NAMED_CACHES_DIR": str(home / "named"),
        "PANTS_SLIM_RAY_BASE_IMAGE_SOURCES": repr({reference: f"oci:{base}:{base_tag}"}),
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
    return Repository.copy(folder / "monorepo-of-someone", environment, umask=0o077)


def diff_ids(image: PackagedImage) -> dict[str, str]:
    return {row["name"]: row["diff_id"] for row in image.description["layers"]}


def assert_same(found: PackagedImage, expected: PackagedImage) -> None:
    """Assert that two builds of an image are equal; layers are compared first, so that a failure names the layer."""
    assert diff_ids(found) == diff_ids(expected)
    assert found.layout.config == expected.layout.config
    assert found.description["manifest_digest"] == expected.description["manifest_digest"]
