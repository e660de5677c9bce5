"""Tests of core.wheels.wheel_tags."""

from __future__ import annotations

import random
from typing import Any

import pytest

from slim_ray_image.core.platforms import LINUX_AMD64
from slim_ray_image.core.wheels.wheel_tags import fits, is_built_on_host, rank_of


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
    """A wheel fits a base if it is for the base's Python and its glibc is not newer than the base's."""
    assert fits([tag], "3.10", LINUX_AMD64, "2.36") == expected


def test_one_tag_that_fits_is_enough() -> None:
    """A wheel with several tags fits if one of the tags fits."""
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
    """The tags of a wheel that was built for one machine name no glibc."""
    assert is_built_on_host([tag], "3.10", LINUX_AMD64) == expected


def rank(file: str) -> Any:
    """Return the rank of a wheel, typed `Any` so that ranks can be sorted."""
    return rank_of(file, "3.10", LINUX_AMD64, "2.36")


# From the best wheel to the one that any Python can run, in the order in which installers choose.
BEST_FIRST = [
    "x-1.0-cp310-cp310-manylinux_2_36_x86_64.whl",
    "x-1.0-cp310-cp310-manylinux_2_28_x86_64.whl",
    "x-1.0-cp310-cp310-manylinux_2_17_x86_64.whl",
    "x-1.0-cp310-cp310-manylinux2014_x86_64.whl",
    "x-1.0-cp310-cp310-manylinux1_x86_64.whl",
    "x-1.0-cp310-abi3-manylinux_2_36_x86_64.whl",
    "x-1.0-cp38-abi3-manylinux_2_28_x86_64.whl",
    "x-1.0-py310-none-manylinux_2_17_x86_64.whl",
    "x-1.0-py3-none-manylinux_2_17_x86_64.whl",
    "x-1.0-py310-none-any.whl",
    "x-1.0-py3-none-any.whl",
]


def test_wheels_are_ranked_as_installers_rank_them() -> None:
    """A wheel for the image's Python and newest glibc ranks first, and a wheel that runs anywhere ranks last."""
    shuffled = random.Random(3).sample(BEST_FIRST, len(BEST_FIRST))
    assert sorted(shuffled, key=rank) == BEST_FIRST
    assert len(set(map(rank, BEST_FIRST))) == len(BEST_FIRST)


@pytest.mark.parametrize(
    ("file", "like"),
    [
        pytest.param(
            "x-1.0-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "x-1.0-cp310-cp310-manylinux_2_17_x86_64.whl",
            id="two names of one glibc",
        ),
        pytest.param(
            "x-1.0-cp310-cp310-manylinux_2_39_x86_64.manylinux_2_17_x86_64.whl",
            "x-1.0-cp310-cp310-manylinux_2_17_x86_64.whl",
            id="a newer glibc and an old one",
        ),
        pytest.param("x-1.0-py2.py3-none-any.whl", "x-1.0-py3-none-any.whl", id="two Pythons"),
        pytest.param(
            "x-1.0-cp39.cp310-cp39.cp310-macosx_11_0_arm64.manylinux_2_17_x86_64.whl",
            "x-1.0-cp310-cp310-manylinux_2_17_x86_64.whl",
            id="two of each",
        ),
        pytest.param("X_Y-1.0+cpu-py3-none-any.whl", "x-1.0-py3-none-any.whl", id="local version"),
    ],
)
def test_wheel_of_several_tags_has_the_best_rank(file: str, like: str) -> None:
    """A wheel with several tags has the rank of its best tag."""
    assert rank(file) == rank(like) is not None


def test_build_number_breaks_the_tie() -> None:
    """Between wheels with equal tags, the highest build number ranks first; better tags win over build numbers."""
    files = [
        "x-1.0-10-py3-none-any.whl",
        "x-1.0-9b-py3-none-any.whl",
        "x-1.0-2-py3-none-any.whl",
        "x-1.0-py3-none-any.whl",
    ]
    assert sorted(random.Random(1).sample(files, len(files)), key=rank) == files
    better = "x-1.0-cp310-cp310-manylinux_2_17_x86_64.whl"
    assert sorted([*files, better], key=rank)[0] == better


@pytest.mark.parametrize(
    "file",
    [
        "x-1.0-cp310-cp310-manylinux_2_37_x86_64.whl",
        "x-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "x-1.0-cp310-cp310-manylinux_2_17_aarch64.whl",
        "x-1.0-cp310-cp310-linux_x86_64.whl",
        "x-1.0-cp310-cp310-win_amd64.whl",
        "x-1.0.tar.gz",
        "x-1.0.whl",
        "",
    ],
)
def test_file_that_the_base_cannot_take_has_no_rank(file: str) -> None:
    """A wheel for other platforms or Pythons, and a file that is not a wheel, has no rank."""
    assert rank(file) is None
