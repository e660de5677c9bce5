"""Fixtures for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.cold_builds import download_wheels
from harness.fixtures import *  # noqa: F403
from harness.repository import PackagedImage, Repository


@pytest.fixture(scope="session")
def wheels_of_echo(workspace: Path, shared_repository: Repository, echo: PackagedImage) -> Path:
    """A folder with all wheels that a cold build of echo fetches."""
    return download_wheels(shared_repository, echo, workspace / "wheels-of-echo")
