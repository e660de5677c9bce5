"""Tests that changes in a cache of the plugin, by a bad disk or by a person, are found, reported and repaired."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable

import pytest
from harness.cold_builds import ColdBuild
from harness.repository import Repository
from needs import needs

pytestmark = needs("base")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _add(path: Path) -> None:
    path.with_name(f"{path.name}.added").write_bytes(b"not of this cache")


DAMAGES = {"a flipped bit": _flip, "truncated": _truncate, "an added file": _add}


@pytest.fixture(scope="module")
def build(workspace: Path, shared_repository: Repository, wheels_of_echo: Path) -> ColdBuild:
    return ColdBuild(shared_repository, wheels_of_echo, workspace / "changed")


@pytest.fixture(scope="module")
def digest(build: ColdBuild) -> str:
    """The digest of the image with empty caches, built from the folder, whose wheels may differ from an index's."""
    return build.package().description["manifest_digest"]


@pytest.mark.parametrize("cache", ["slim_ray_image_wheels", "slim_ray_image_uv"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_image_is_right_whatever_is_in_a_named_cache(
    damage: Callable[[Path], None], cache: str, build: ColdBuild, digest: str
) -> None:
    """With every file of a named cache damaged, and without Pants' store, the image is the same; one run reports it."""
    shutil.rmtree(build.store)
    damaged = [
        path for path in (build.named / cache).rglob("*") if path.is_file() and path.stat().st_size
    ]
    assert damaged
    for path in damaged:
        damage(path)
    again = build.package()
    assert again.description["manifest_digest"] == digest
    named = [line for line in again.run.warnings if "changed since they were fetched" in line]
    assert bool(named) == (damage is not _add)
    assert all(cache in line for line in named)
    assert build.package().run.warnings == ()
