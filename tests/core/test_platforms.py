"""Tests of core.platforms."""

from __future__ import annotations

import pytest
from conftest import error_text

from slim_ray_image.core.platforms import LINUX_AMD64, parse_platform, uv_python_platform


def test_platform_is_found_by_its_oci_name() -> None:
    """A platform is found by its OCI name, which is also its string."""
    assert parse_platform("linux/amd64") is LINUX_AMD64
    assert str(LINUX_AMD64) == "linux/amd64"


@pytest.mark.parametrize("text", ["", "linux/arm64", "amd64", "linux/amd64/v3", "Linux/AMD64"])
def test_platform_of_another_name_is_an_error(text: str) -> None:
    """An unsupported platform is refused, and the error names the supported platforms."""
    assert error_text(lambda: parse_platform(text)) == (
        f"must be one of 'linux/amd64', but was {text!r}.\n"
        "\n"
        "To fix, use 'linux/amd64', the one platform that this version builds for."
    )


@pytest.mark.parametrize(
    ("glibc", "expected"),
    [
        pytest.param("2.28", "x86_64-manylinux_2_28", id="oldest"),
        pytest.param("2.30", "x86_64-manylinux_2_28", id="between two names, the older"),
        pytest.param("2.31", "x86_64-manylinux_2_31", id="Debian 11"),
        pytest.param("2.36", "x86_64-manylinux_2_36", id="Debian 12"),
        pytest.param("2.40", "x86_64-manylinux_2_40", id="newest"),
        pytest.param("2.41", "x86_64-manylinux_2_40", id="newer than uv's newest"),
        pytest.param("3.0", "x86_64-manylinux_2_40", id="major"),
        pytest.param("2.36.1", "x86_64-manylinux_2_36", id="patch"),
    ],
)
def test_uv_platform_is_the_newest_that_the_base_can_run(glibc: str, expected: str) -> None:
    """The platform is that of the base's glibc, or of the newest glibc below it that uv has a name for."""
    assert uv_python_platform(LINUX_AMD64, glibc) == expected


@pytest.mark.parametrize("glibc", ["2.27", "2.9", "1.99"])
def test_uv_platform_of_an_old_glibc_is_an_error(glibc: str) -> None:
    """A base with a glibc older than uv supports is refused."""
    assert error_text(lambda: uv_python_platform(LINUX_AMD64, glibc)) == (
        f"The base image has glibc {glibc}, older than the 2.28 that wheels of today are built for.\n"
        "\n"
        "To fix, use a base image of Debian 10, RHEL 8 or newer."
    )
