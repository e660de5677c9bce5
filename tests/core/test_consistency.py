"""Tests of core.wheels.consistency."""

from __future__ import annotations

import datetime
from typing import Optional

import pytest
from conftest import Golden, error_text

from slim_ray_image.core.serve.serve_config import RayVersion
from slim_ray_image.core.wheels.consistency import (
    check_python,
    check_ray_versions,
    end_of_life_warning,
)

IMAGE = "src/shop:image"


@pytest.mark.parametrize(
    ("named", "packed"),
    [
        ("2.48.0", "2.48.0"),
        ("2.48", "2.48.0"),
        ("2.48.0", "2.48.0+cpu"),
        ("2.48.0", "2.48.0.post1"),
        ("nightly", "nightly"),
        ("2.48.0", None),
    ],
)
def test_same_release_of_ray_is_fine(named: str, packed: Optional[str]) -> None:
    """Builds of one release match, and an image without Ray matches any version."""
    check_ray_versions(IMAGE, [RayVersion(named, "shop.yaml:3")], packed)


def test_other_release_of_ray_is_an_error(golden: Golden) -> None:
    """The error has the image's version, and version and line of each manifest that names another release."""
    named = [
        RayVersion("2.46.0", "shop.yaml:3"),
        RayVersion("2.48.0", "shop.yaml:9"),
        RayVersion("nightly", "shop.yaml:12"),
    ]
    text = error_text(lambda: check_ray_versions(IMAGE, named, "2.48.0"))
    golden.check("errors/wheels/ray-version-of-manifest.txt", text)


@pytest.mark.parametrize(
    "constraints",
    [
        ["CPython==3.10.*"],
        ["CPython>=3.9,<3.12"],
        [">=3.10.5"],
        ["==3.11.*", "cpython==3.10.*"],
        ["CPython[gil]==3.10.*"],
        ["CPython"],
    ],
    ids=str,
)
def test_python_of_the_resolve_is_fine(constraints: list[str]) -> None:
    """The base's Python must satisfy one of the constraints, as in Pants itself."""
    check_python(IMAGE, "main", constraints, "python:3.10-slim", "3.10.13")


@pytest.mark.parametrize(
    "constraints",
    [["CPython==3.11.*"], ["CPython>=3.10.14,<3.11"], ["PyPy==3.10.*"], []],
    ids=str,
)
def test_python_of_another_resolve_is_an_error(constraints: list[str]) -> None:
    """A base is refused if no constraint allows its minor version, patch version and implementation."""
    with_prefix = error_text(
        lambda: check_python(IMAGE, "main", constraints, "python:3.10-slim", "3.10.13")
    )
    assert "has CPython 3.10.13, which the resolve 'main' does not allow." in with_prefix


def test_python_of_another_resolve_is_told_with_the_ways_out(golden: Golden) -> None:
    """The error names the base, its version, the resolve and the resolve's constraints."""
    text = error_text(
        lambda: check_python(
            IMAGE, "main", ["CPython==3.11.*", "CPython==3.12.*"], "python:3.10-slim", "3.10.13"
        )
    )
    golden.check("errors/wheels/base-of-another-python.txt", text)


def test_base_past_its_end_of_life_is_told_with_the_date(golden: Golden) -> None:
    """The warning starts on the day after the month in which the last release is due."""
    text = end_of_life_warning("python:3.10-slim", "3.10.13", datetime.date(2026, 11, 1))
    assert text is not None
    golden.check("errors/wheels/base-past-its-end.txt", text)


@pytest.mark.parametrize(
    ("version", "today"),
    [
        ("3.10.13", datetime.date(2026, 10, 31)),
        ("3.11.9", datetime.date(2026, 11, 1)),
        ("3.99.0", datetime.date(9999, 12, 31)),
    ],
)
def test_base_that_gets_fixes_is_not_told(version: str, today: datetime.date) -> None:
    """There is no warning before the end of life, nor for a Python whose end of life is unknown."""
    assert end_of_life_warning("python:slim", version, today) is None
