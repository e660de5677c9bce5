"""Install the Python tools that the plugin's programs use, from requirements files that lock hashes.

In: the lockfile. Out: `tools/`, a folder for PYTHONPATH. If the request has `platform`, `glibc` and `python_version`,
the tools are for the base's interpreter, else for the Python that runs this program.

If the request has `source_lockfile`, its distributions, which are pure Python and have no wheel on indexes, are built
first, with only the build tools that `build_lockfile` locks. uv's own build isolation would run unlocked build tools
from an index: https://docs.astral.sh/uv/concepts/projects/config/#build-isolation.
"""

from __future__ import annotations

import re
import sys
from typing import Sequence

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.tools_request import InstallToolsRequest
from slim_ray_image.core.wheels.uv_call import UvCall
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.tools.run_uv import install_locked, make_environment, message_lines

_BUILD_ENVIRONMENT = "build"
_TARGET = ("--target", "tools")


def _install(lockfile: str, arguments: Sequence[str], uv: UvCall) -> None:
    result = install_locked(lockfile, arguments, uv)
    if result.returncode != 0:
        raise SlimRayImageError(
            f"Cannot install the tools of slim_ray_image that {lockfile} names.",
            evidence=message_lines(result.stderr),
            fixes=["check that `[python-repos].indexes` names a reachable index that has them"],
        )


def _build(lockfile: str, build_lockfile: str, uv: UvCall) -> None:
    """Build and install tools from source, in a new virtual environment that contains only locked build tools."""
    python = ("--python", make_environment(_BUILD_ENVIRONMENT, uv))
    _install(build_lockfile, python, uv)
    with open(lockfile, encoding="utf-8") as file:
        names = re.findall(r"^([\w.-]+)==", file.read(), re.MULTILINE)
    sources = [argument for name in names for argument in ("--no-binary", name)]
    _install(lockfile, [*python, *_TARGET, "--no-build-isolation", *sources], uv)


def main(request: InstallToolsRequest) -> None:
    """Install the Python tools that the requested lockfiles pin into `tools/`."""
    if request.source_lockfile and request.build_lockfile:
        _build(request.source_lockfile, request.build_lockfile, request.uv)
    arguments = [*_TARGET, "--python", sys.executable]
    if request.python_version:
        arguments += ["--python-version", request.python_version]
    _install(request.lockfile, arguments, request.uv)


if __name__ == "__main__":
    run_program(main, InstallToolsRequest)
