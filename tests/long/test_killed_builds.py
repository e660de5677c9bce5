"""Tests that a build that is killed at any moment leaves nothing behind that breaks the next one.

Twenty cold builds are killed, spread over the steps of a build. In even builds only Pants is killed, as a user or a
supervisor does, and its processes run on; in odd builds its processes are killed too, as on a machine that stops.
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
    """The image of a build that was not killed, built from the folder, whose wheels may differ from an index's."""
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
    """The next build has the digest of one that was not killed, and each wheel in the cache matches its name's hash."""
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
