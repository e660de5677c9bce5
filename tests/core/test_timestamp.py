"""Tests of core.timestamp."""

from __future__ import annotations

import pytest
from conftest import Golden, error_text

from slim_ray_image.core.timestamp import spelled, timestamp_of


@pytest.mark.parametrize(
    ("variables", "timestamp", "text"),
    [
        ({}, 0, "1970-01-01T00:00:00Z"),
        ({"SOURCE_DATE_EPOCH": "1704067200"}, 1704067200, "2024-01-01T00:00:00Z"),
        ({"SOURCE_DATE_EPOCH": "253402300799"}, 253402300799, "9999-12-31T23:59:59Z"),
    ],
)
def test_time_is_that_of_the_variable(variables: dict[str, str], timestamp: int, text: str) -> None:
    """The timestamp is the variable's; without the variable it is the start of 1970."""
    assert timestamp_of(variables) == timestamp
    assert spelled(timestamp) == text


@pytest.mark.parametrize("value", ["", "yesterday", "-1", "1.5", "253402300800", "\u0661"])
def test_what_is_no_time_is_refused(value: str) -> None:
    """A value with anything but digits is refused, and so is a time that no image config can express."""
    text = error_text(lambda: timestamp_of({"SOURCE_DATE_EPOCH": value}))
    assert f"SOURCE_DATE_EPOCH={value}" in text


def test_error_says_how_to_get_one(golden: Golden) -> None:
    """The error names the variable, its value and a command that prints a timestamp."""
    golden.check(
        "errors/image/timestamp.txt", error_text(lambda: timestamp_of({"SOURCE_DATE_EPOCH": "now"}))
    )
