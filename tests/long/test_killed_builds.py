"""A build that is killed, at whatever moment, leaves nothing behind that the next one stumbles over.

Twenty cold builds are killed, spread over the steps of a build: each even one as a user or a supervisor kills Pants,
whose processes then run on; each odd one with its processes, as a machine that stops does.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path
from typing import Callable

import pytest
from harness.cold_builds import ColdBuild
from harness.repository import PackagedImage, Repository
from needs import needs

pytestmark = needs("base")

KILLS = 20


@pytest.fixture(scope="module")
def not_killed(
    workspace: Path, shared_repository: Repository, wheels_of_echo: Path
) -> PackagedImage:
    """The image of a build that nobody killed. The folder may have other wheels than an index has."""
    return ColdBuild(shared_repository, wheels_of_echo, workspace / "not-killed").package()


@pytest.mark.parametrize("seed", range(KILLS))
def test_build_after_a_killed_one_is_right(
    seed: int,
    record_property: Callable[[str, object], None],
    workspace: Path,
    shared_repository: Repository,
    wheels_of_echo: Path,
    not_killed: PackagedImage,
) -> None:
    """The digest is that of a build that nobody killed, and each wheel of the cache is what its name says."""
    folder = workspace / f"killed-{seed}"
    build = ColdBuild(shared_repository, wheels_of_echo, folder)
    steps = len(not_killed.run.started)
    moment = random.Random(seed).uniform(0, 0.5)
    started = build.kill_at(1 + seed * (steps - 2) // KILLS, moment, bool(seed % 2))
    record_property("started", f"{started} of {steps}")
    again = build.package()
    assert again.description["manifest_digest"] == not_killed.description["manifest_digest"]
    whole = [path for path in build.wheels.iterdir() if path.suffix != ".partial"]
    assert whole
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in whole)
    shutil.rmtree(folder)
