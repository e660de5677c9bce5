"""Stage 3 of 6, second half: the subset of the lock, installed and packed.

In: subset.txt (pip-style hashed requirements). Out: requirements.pex and inventory.json, as `packed_pex` says.
uv installs into a virtual environment of the base's own interpreter and checks every hash; Pex then packs that
environment.
"""

from __future__ import annotations

import subprocess
from typing import Any, Mapping

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.packed_pex import ENVIRONMENT, pack_environment
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.run_uv import install_locked, make_environment, message_lines


def install(requirements: str, request: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Install hashed requirements into a new virtual environment. The caller reads the exit code."""
    python = make_environment(ENVIRONMENT, request)
    return install_locked(requirements, ["--python", python], request)


def _install_subset(request: Mapping[str, Any]) -> None:
    result = install(request["subset"], request)
    if result.returncode == 0:
        return
    lines = message_lines(result.stderr)
    if "hash mismatch" in result.stderr.lower():
        raise SlimRayImageError(
            "A distribution is not what the lockfile says it is: its hash is not one the lock has.",
            evidence=lines,
            fixes=[
                "find out who changed the file on the index; if the change is meant, refresh the lockfile"
            ],
        )
    raise SlimRayImageError(
        f"Cannot install the locked distributions for {request['platform']}, CPython {request['python_version']}, "
        f"glibc {request['glibc']}.",
        evidence=lines,
        fixes=[
            "require versions that have wheels for this platform, then refresh the lockfile",
            "use a base image whose Python and glibc the wheels in the lock are for",
        ],
    )


def pack(requirements: str) -> None:
    """Write requirements.pex and inventory.json of the virtual environment, which has the hashed requirements."""
    with open(requirements, encoding="utf-8") as file:
        pack_environment([line.split()[0] for line in file])


def main(request: Mapping[str, Any]) -> None:
    """Write requirements.pex and inventory.json."""
    _install_subset(request)
    pack(request["subset"])


if __name__ == "__main__":
    run_program(main)
