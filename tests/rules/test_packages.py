"""Stage 2: the requirements on a package of the closure."""

from __future__ import annotations

from typing import Sequence

import pytest
from conftest import Golden, error_text
from pants.engine.addresses import Address
from pants.engine.fs import FileDigest, FileEntry

from slim_ray_image.packages import _check_wheel

IMAGE = Address("src/app", target_name="image")
DISTRIBUTION = Address("src/lib", target_name="dist")


def check(*files: str, allowed: Sequence[str] = ()) -> None:
    entries = [FileEntry(file, FileDigest("0" * 64, 1)) for file in files]
    _check_wheel(IMAGE, DISTRIBUTION, entries, allowed)


@pytest.mark.parametrize("tags", ["py3-none-any", "py2.py3-none-any", "cp310-none-any"])
def test_wheel_for_every_platform_is_accepted(tags: str) -> None:
    """A wheel without machine code does not depend on the machine that built it."""
    check(f"dist/lib-1.0-{tags}.whl")


@pytest.mark.parametrize("tags", ["cp310-cp310-linux_x86_64", "py3-none-manylinux_2_17_x86_64"])
def test_wheel_for_one_platform_is_accepted_by_name(tags: str) -> None:
    """The option names distributions, in any spelling."""
    wheel = f"Some_Lib-1.0-{tags}.whl"
    assert "cannot contain the distribution some-lib" in error_text(lambda: check(wheel))
    check(wheel, allowed=["some.LIB"])


def test_distribution_without_a_wheel_is_refused(golden: Golden) -> None:
    """A `python_distribution` that builds no wheel is an error, because nothing can be installed."""
    golden.check("errors/closure/distribution-without-a-wheel.txt", error_text(check))
