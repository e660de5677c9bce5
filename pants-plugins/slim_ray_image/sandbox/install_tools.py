"""Installs the tools that run on the base's interpreter, for its Python and its glibc.

In: a hash-locked requirements file. Out: `tools/`, a folder for PYTHONPATH, with uv's executable in `tools/bin`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Mapping

import uv

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.platforms import parse_platform, uv_python_platform
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.run_uv import index_arguments, message_lines, uv_environment


def main(request: Mapping[str, Any]) -> None:
    """Write `tools/`."""
    platform = parse_platform(request["platform"])
    result = subprocess.run(
        [
            *(
                uv.find_uv_bin(),
                "pip",
                "install",
                "--quiet",
                "--target",
                "tools",
                "--python",
                sys.executable,
            ),
            *(
                "--no-deps",
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--requirement",
                request["lockfile"],
            ),
            *("--python-version", request["python_version"]),
            *("--python-platform", uv_python_platform(platform, request["glibc"])),
            *index_arguments(request["indexes"], request["find_links"]),
        ],
        env=uv_environment(request["certificates"]),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise SlimRayImageError(
            f"Cannot install the tools that slim_ray_image itself runs on CPython {request['python_version']}, "
            f"glibc {request['glibc']}.",
            evidence=message_lines(result.stderr),
            fixes=[
                "see that `[python-repos].indexes` names an index that answers and that has them"
            ],
        )


if __name__ == "__main__":
    run_program(main)
