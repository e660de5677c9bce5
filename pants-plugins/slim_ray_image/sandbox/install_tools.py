"""Installs the tools that run on the base's interpreter, for its Python and its glibc.

In: a hash-locked requirements file. Out: `tools/`, a folder for PYTHONPATH, with uv's executable in `tools/bin`.
"""

from __future__ import annotations

import sys
from typing import Any, Mapping

import uv

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.run_uv import install_locked, message_lines


def main(request: Mapping[str, Any]) -> None:
    """Write `tools/`."""
    arguments = [
        *("--target", "tools", "--python", sys.executable),
        *("--python-version", request["python_version"]),
    ]
    result = install_locked(uv.find_uv_bin(), request["lockfile"], arguments, request)
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
