"""Installs tools of ours from a hash-locked requirements file.

In: the lockfile. Out: `tools/`, a folder for PYTHONPATH: for the base's interpreter where the request has `platform`,
`glibc` and `python_version`, else for the Python that this program runs on.
"""

from __future__ import annotations

import sys
from typing import Any, Mapping

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.run_uv import install_locked, message_lines

# The registry client needs it. Pure Python, of which indexes have no wheel: uv builds it from the file that is locked.
_WITHOUT_WHEEL = "www-authenticate"


def main(request: Mapping[str, Any]) -> None:
    """Write `tools/`."""
    arguments = ["--target", "tools", "--python", sys.executable]
    if "python_version" in request:
        arguments += ["--python-version", request["python_version"]]
    else:
        arguments += ["--no-binary", _WITHOUT_WHEEL]
    result = install_locked(request["lockfile"], arguments, request)
    if result.returncode != 0:
        raise SlimRayImageError(
            f"Cannot install the tools of slim_ray_image that {request['lockfile']} names.",
            evidence=message_lines(result.stderr),
            fixes=[
                "see that `[python-repos].indexes` names an index that answers and that has them"
            ],
        )


if __name__ == "__main__":
    run_program(main)
