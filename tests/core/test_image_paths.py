"""Tests of core.image_paths."""

from __future__ import annotations

import pytest

from slim_ray_image.core.image_paths import (
    has_control_character,
    missing_parents,
    parents,
    site_packages_of,
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a", ()),
        ("/a/b", ("/a",)),
        ("/opt/venv/bin/ray", ("/opt", "/opt/venv", "/opt/venv/bin")),
    ],
)
def test_parents_are_the_directories_above_outermost_first(
    path: str, expected: tuple[str, ...]
) -> None:
    """All directories above a path are returned, except the root."""
    assert parents(path) == expected


def test_missing_parents_are_those_that_the_base_lacks() -> None:
    """Each directory that the base lacks is returned once, parents first."""
    assert missing_parents(
        ["/opt/venv/bin/ray", "/opt/venv/lib/a.py", "/etc/passwd", "/usr/local/bin/ray"],
        frozenset(["/opt", "/etc", "/usr", "/usr/local", "/usr/local/bin"]),
    ) == ("/opt/venv", "/opt/venv/bin", "/opt/venv/lib")


@pytest.mark.parametrize("python", ["python3.10", "/usr/local/bin/python3.10"])
def test_distributions_are_where_the_image_s_python_looks(python: str) -> None:
    """The interpreter's name or path decides the path of site-packages."""
    assert site_packages_of(python) == "/opt/venv/lib/python3.10/site-packages"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/app/a b.py", False),
        ("/app/\u00e9\u2028.py", False),
        ("/app/a\nb.py", True),
        ("/app/a\x7f.py", True),
        ("/app/a\x85.py", True),
        ("\0", True),
    ],
    ids=ascii,
)
def test_control_characters_are_told_from_others(path: str, expected: bool) -> None:
    """Line breaks and other control characters count; spaces and letters of any language do not."""
    assert has_control_character(path) == expected
