"""Tests of sandbox.repack: which wheels that Pants chose may go into the image."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from conftest import Golden, error_text, make_deps_zip

from slim_ray_image.sandbox.repack import _check_wheels, _read_wheel, _Wheel

REQUEST: dict[str, Any] = {
    "address": "src/app:image",
    "base": "python:3.10-slim",
    "glibc": "2.36",
    "host_built": ["torus"],
    "lockfile_path": "3rdparty/python/ray.lock",
    "platform": "linux/amd64",
    "python_version": "3.10",
}


def test_wheel_is_what_its_files_say(sandbox: Path) -> None:
    """Name and version are those of METADATA, tags those of WHEEL; the file's own name says nothing."""
    file = make_deps_zip(Path("deps"), "Foo.Bar")
    with zipfile.ZipFile(f"deps/{file}", "a") as wheel:
        wheel.writestr(
            "Foo.Bar-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: a-b-c\nTag: d-e-f\n"
        )
    assert _read_wheel(f"deps/{file}") == _Wheel("foo-bar", "1.0", ("a-b-c", "d-e-f"))


def test_wheels_for_the_base_are_taken_and_what_may_be_built() -> None:
    """A wheel for an older glibc, for any platform, or built here by leave, does not stop the build."""
    wheels = [
        _Wheel("cube", "1.0", ("py3-none-any",)),
        _Wheel("native", "1.0", ("cp310-cp310-manylinux_2_28_x86_64",)),
        _Wheel("torus", "1.0", ("cp310-cp310-linux_x86_64",)),
    ]
    _check_wheels(wheels, REQUEST)


def test_wheels_that_do_not_run_on_the_base_are_an_error(golden: Golden) -> None:
    """Wheels for the glibc or the Python of this machine are told, and what was built without leave."""
    wheels = [
        _Wheel("cube", "1.0", ("py3-none-any",)),
        _Wheel("native", "1.0", ("cp310-cp310-manylinux_2_39_x86_64",)),
        _Wheel("torus", "1.0", ("cp311-cp311-linux_x86_64",)),
        _Wheel("cone", "1.0", ("cp310-cp310-linux_x86_64",)),
    ]
    golden.check(
        "errors/packed_for_another_base.txt", error_text(lambda: _check_wheels(wheels, REQUEST))
    )
