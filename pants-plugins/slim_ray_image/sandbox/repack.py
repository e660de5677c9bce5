"""Stage 3 of 6, second half, where something was built on this machine: what Pants' own PEX rules packed, packed anew.

In: a PEX of layout `packed`. Out: requirements.pex and inventory.json, as `packed_pex` says, so that a distribution
that was not built here has the layer that it has in every other image.
First the wheels' own tags are held against the base: Pants chose them for a Python of this machine.
"""

from __future__ import annotations

import email
import os
import posixpath
import zipfile
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from packaging.utils import canonicalize_name

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.wheel_tags import fits, is_built_on_host
from slim_ray_image.sandbox.deps_zip import metadata_path
from slim_ray_image.sandbox.packed_pex import (
    ENVIRONMENT,
    find_shared_files,
    pack_environment,
)
from slim_ray_image.sandbox.report import run_program, run_tool
from slim_ray_image.sandbox.run_pex import pex_command, pex_environment


@dataclass(frozen=True)
class _Wheel:
    """What a distribution says of itself; `tags` are those of its WHEEL file."""

    name: str
    version: str
    tags: tuple[str, ...]


def _read_wheel(path: str) -> _Wheel:
    with zipfile.ZipFile(path) as wheel:
        metadata_file = metadata_path(wheel)
        metadata = email.message_from_bytes(wheel.read(metadata_file))
        wheel_file = f"{posixpath.dirname(metadata_file)}/WHEEL"
        tags = email.message_from_bytes(wheel.read(wheel_file)).get_all("Tag") or []
    return _Wheel(canonicalize_name(metadata["Name"]), metadata["Version"], tuple(tags))


def _problem_of(wheel: _Wheel, request: Mapping[str, Any]) -> Optional[str]:
    """Return why a wheel must not go into the image."""
    platform, python = parse_platform(request["platform"]), request["python_version"]
    tags = f"{wheel.name} {wheel.version}: {', '.join(wheel.tags)}"
    if fits(wheel.tags, python, platform, request["glibc"]):
        return None
    if not is_built_on_host(wheel.tags, python, platform):
        return f"{tags}, for another platform"
    if wheel.name not in request["host_built"]:
        return f"{tags}, built on this machine, which `[slim-ray].host_built_distributions` does not allow"
    return None


def _check_wheels(wheels: Sequence[_Wheel], request: Mapping[str, Any]) -> None:
    problems = sorted(filter(None, (_problem_of(wheel, request) for wheel in wheels)))
    if problems:
        raise SlimRayImageError(
            f"What Pants' own PEX rules packed for {request['address']} does not run on {request['platform']}, "
            f"CPython {request['python_version']}, glibc {request['glibc']} ({request['base']}).",
            evidence=problems,
            fixes=[
                "build on a machine whose glibc is not newer than the base's",
                f"require versions that have wheels for this platform, then refresh {request['lockfile_path']}",
            ],
        )


def main(request: Mapping[str, Any]) -> None:
    """Write requirements.pex and inventory.json."""
    distributions = os.path.join(request["pex"], ".deps")
    wheels = [
        _read_wheel(os.path.join(distributions, f)) for f in sorted(os.listdir(distributions))
    ]
    _check_wheels(wheels, request)
    shared_files = find_shared_files(distributions)
    install = (
        "pex.cli",
        "venv",
        "create",
        "--dest-dir",
        ENVIRONMENT,
        "--copies",
        "--collisions-ok",
    )
    run_tool(pex_command(*install, "--pex-repository", request["pex"]), pex_environment())
    pack_environment([f"{wheel.name}=={wheel.version}" for wheel in wheels], shared_files)


if __name__ == "__main__":
    run_program(main)
