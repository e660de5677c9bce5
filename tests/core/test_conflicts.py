"""Tests of core.layers.plan.conflicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping

import pytest
from conftest import Golden, error_text, make_distribution

from slim_ray_image.core.layers.conflicts import check_paths, check_scripts
from slim_ray_image.core.wheels.distributions import Distribution

IMAGE, BASE = "src/app:image", "python:3.10-slim"
PROGRAMS = {"grep": "/usr/bin/grep", "tar": "/bin/tar"}
SITE_PACKAGES = "/opt/venv/lib/python3.10/site-packages"


def with_files(name: str, files: Mapping[str, str]) -> Distribution:
    """Return a distribution that has files which others have too: path -> content."""
    shared = tuple((f"{SITE_PACKAGES}/{path}", content) for path, content in files.items())
    return replace(make_distribution(name), shared_files=shared)


def with_scripts(name: str, *scripts: str) -> Distribution:
    return replace(make_distribution(name), scripts=scripts)


def test_one_content_in_two_layers_is_no_conflict() -> None:
    """A namespace package's `__init__.py` is the same in each distribution of it."""
    check_paths(IMAGE, [with_files(name, {"google/__init__.py": "same"}) for name in "abc"])


def test_different_contents_of_one_path_are_an_error(golden: Golden) -> None:
    """Whatever layers they are in, distributions that disagree on a file are refused, with every such file."""
    distributions = [
        with_files("foo", {"tests/__init__.py": "", "tests/a.py": "foo", "tests/b.py": "foo"}),
        with_files("bar", {"tests/__init__.py": "", "tests/a.py": "bar", "tests/b.py": "bar"}),
        with_files("baz", {"tests/b.py": "foo"}),
    ]
    golden.check(
        "errors/two_contents_of_a_path.txt", error_text(lambda: check_paths(IMAGE, distributions))
    )


@pytest.mark.parametrize("script", ["pip", "ray", "pythonic", "python-config", "grep2"])
def test_other_commands_are_no_conflict(script: str) -> None:
    """What is not in the base, or only beside its interpreter, a distribution may bring."""
    check_scripts(IMAGE, BASE, [with_scripts("foo", script)], PROGRAMS)


def test_commands_that_hide_others_are_an_error(golden: Golden) -> None:
    """A command of the base, or the interpreter, that PATH would no longer find is told with who hides it."""
    distributions = [
        with_scripts("foo", "foo", "grep", "python3"),
        with_scripts("bar", "python3.10", "tar"),
    ]
    golden.check(
        "errors/command_hides_another.txt",
        error_text(lambda: check_scripts(IMAGE, BASE, distributions, PROGRAMS)),
    )
