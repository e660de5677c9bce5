"""Fixtures for the tests of this folder."""

from harness.fixtures import *  # noqa: F403
