"""Tests of core.layers.conflicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping

import pytest
from conftest import Golden, error_text, make_distribution

from slim_ray_image.core.layers.conflicts import check_contents, check_scripts
from slim_ray_image.core.wheels.distributions import Distribution

IMAGE, BASE = "src/app:image", "python:3.10-slim"
PROGRAMS = {"grep": "/usr/bin/grep", "tar": "/bin/tar"}
SITE_PACKAGES = "/opt/venv/lib/python3.10/site-packages"


def with_files(name: str, files: Mapping[str, str]) -> Distribution:
    """Return a distribution with shared files: path relative to site-packages -> content."""
    shared = tuple((f"{SITE_PACKAGES}/{path}", content) for path, content in files.items())
    return replace(make_distribution(name), shared_files=shared)


def with_scripts(name: str, *scripts: str) -> Distribution:
    return replace(make_distribution(name), scripts=scripts)


def test_one_content_in_two_layers_is_no_conflict() -> None:
    """Distributions may have the same content at one path, such as the `__init__.py` of a namespace package."""
    check_contents(IMAGE, [with_files(name, {"google/__init__.py": "same"}) for name in "abc"])


def test_different_contents_of_one_path_are_an_error(golden: Golden) -> None:
    """Distributions with different content at one path are refused, and the error has every such path."""
    distributions = [
        with_files("foo", {"tests/__init__.py": "", "tests/a.py": "foo", "tests/b.py": "foo"}),
        with_files("bar", {"tests/__init__.py": "", "tests/a.py": "bar", "tests/b.py": "bar"}),
        with_files("baz", {"tests/b.py": "foo"}),
    ]
    golden.check(
        "errors/layers/two-contents-of-a-path.txt",
        error_text(lambda: check_contents(IMAGE, distributions)),
    )


@pytest.mark.parametrize("script", ["pip", "ray", "pythonic", "python-config", "grep2"])
def test_other_commands_are_no_conflict(script: str) -> None:
    """A distribution may have a command that the base lacks or has only beside its interpreter."""
    check_scripts(IMAGE, BASE, [with_scripts("foo", script)], PROGRAMS)


def test_commands_that_hide_others_are_an_error(golden: Golden) -> None:
    """The error has each program, or interpreter, that PATH would not find, and the command that hides it."""
    distributions = [
        with_scripts("foo", "foo", "grep", "python3"),
        with_scripts("bar", "python3.10", "tar"),
    ]
    golden.check(
        "errors/layers/command-hides-another.txt",
        error_text(lambda: check_scripts(IMAGE, BASE, distributions, PROGRAMS)),
    )
