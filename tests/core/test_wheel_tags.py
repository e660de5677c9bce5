"""Tests of core.wheel_tags."""

from __future__ import annotations

import pytest

from slim_ray_image.core.platforms import LINUX_AMD64
from slim_ray_image.core.wheel_tags import fits, is_built_on_host


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py310-none-any", True),
        ("cp310-cp310-manylinux_2_36_x86_64", True),
        ("cp310-cp310-manylinux_2_17_x86_64", True),
        ("cp310-cp310-manylinux2014_x86_64", True),
        ("cp310-cp310-manylinux1_x86_64", True),
        ("cp38-abi3-manylinux_2_28_x86_64", True),
        ("py3-none-manylinux_2_5_x86_64", True),
        ("cp310-cp310-manylinux_2_37_x86_64", False),
        ("cp311-cp311-manylinux_2_17_x86_64", False),
        ("cp311-abi3-manylinux_2_17_x86_64", False),
        ("cp310-cp310-manylinux_2_17_aarch64", False),
        ("cp310-cp310-musllinux_1_2_x86_64", False),
        ("cp310-cp310-macosx_11_0_arm64", False),
        ("cp310-cp310-linux_x86_64", False),
        ("py2-none-any", False),
    ],
)
def test_wheel_fits_by_its_python_and_glibc(tag: str, expected: bool) -> None:
    """A wheel runs on a base whose Python it is for and whose glibc is not older than its own."""
    assert fits([tag], "3.10", LINUX_AMD64, "2.36") == expected


def test_one_tag_that_fits_is_enough() -> None:
    """A wheel of several platforms runs on each."""
    tags = ["cp310-cp310-macosx_11_0_arm64", "cp310-cp310-manylinux_2_17_x86_64"]
    assert fits(tags, "3.10", LINUX_AMD64, "2.36")
    assert not fits([], "3.10", LINUX_AMD64, "2.36")


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("cp310-cp310-linux_x86_64", True),
        ("py3-none-linux_x86_64", True),
        ("cp311-cp311-linux_x86_64", False),
        ("cp310-cp310-linux_aarch64", False),
        ("cp310-cp310-manylinux_2_99_x86_64", False),
    ],
)
def test_wheel_of_one_machine_is_known_by_its_tag(tag: str, expected: bool) -> None:
    """What was built without regard to others names no glibc."""
    assert is_built_on_host([tag], "3.10", LINUX_AMD64) == expected
