"""Tests that the image of a service with a model is the same on every machine."""

from __future__ import annotations

import pytest
from harness.other_machine import assert_same
from harness.repository import PackagedImage, Repository
from needs import needs

pytestmark = needs("base")


@pytest.mark.parametrize("service", ["ranker"])
def test_image_is_the_same_on_another_machine(
    service: str, request: pytest.FixtureRequest, other_machine: Repository
) -> None:
    """With another path, home, umask, time zone, locale, hash seed and Python, and empty caches, the image is equal."""
    expected: PackagedImage = request.getfixturevalue(service)
    assert_same(other_machine.package(expected.target), expected)
