"""Stage 3 of 6, second half: the subset of the lock, installed and packed.

In: subset.txt (pip-style hashed requirements). Out: requirements.pex, a PEX of layout `packed`, whose `.deps` has one
uncompressed zip for each distribution, and inventory.json, what is in each.
uv installs into a virtual environment of the base's own interpreter and checks every hash; Pex then packs that
environment: https://docs.pex-tool.org/ (`--venv-repository`).
"""

from __future__ import annotations

import email
import os
import subprocess
import sys
import zipfile
from typing import Any, Mapping

from packaging.utils import canonicalize_name

from slim_ray_image.core.dynamic_imports import outermost_modules
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.deps_zip import LAYOUT, metadata_path
from slim_ray_image.sandbox.report import run_program, write_json
from slim_ray_image.sandbox.run_pex import pex_environment
from slim_ray_image.sandbox.run_uv import install_locked, message_lines, uv_environment

_VENV = "venv"
_PEX = "requirements.pex"


def install(requirements: str, request: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Install hashed requirements into a new virtual environment. The caller reads the exit code."""
    uv = os.path.abspath(request["uv"])
    subprocess.run(
        [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, _VENV],
        env=uv_environment(request["certificates"]),
        check=True,
    )
    return install_locked(requirements, ["--python", f"{_VENV}/bin/python"], request)


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


def _pack(requirements: str) -> None:
    with open(requirements, encoding="utf-8") as file:
        pins = [line.split()[0] for line in file]
    subprocess.run(
        [
            # Every distribution is named. A wheel of the repository may require another whose code is in the sources.
            *(sys.executable, "-m", "pex", *pins, "--intransitive"),
            *("--venv-repository", _VENV, "--pre"),
            *("--layout", "packed", "--no-compress", "--output-file", _PEX),
        ],
        env=pex_environment(),
        stdout=sys.stderr,
        check=True,
    )


def _describe(file: str) -> Mapping[str, Any]:
    """Return a row of inventory.json for one zip of `.deps` (core metadata: packaging.python.org)."""
    with zipfile.ZipFile(os.path.join(_PEX, ".deps", file)) as wheel:
        files = [info for info in wheel.infolist() if not info.is_dir() and info.filename != LAYOUT]
        metadata = email.message_from_bytes(wheel.read(metadata_path(wheel)))
    return {
        "file": file,
        "name": canonicalize_name(metadata["Name"]),
        "version": metadata["Version"],
        "unpacked_bytes": sum(info.file_size for info in files),
        "file_count": len(files),
        "requires_dist": metadata.get_all("Requires-Dist") or [],
        "provides_extra": metadata.get_all("Provides-Extra") or [],
        "modules": outermost_modules(info.filename for info in files),
    }


def pack(requirements: str) -> None:
    """Write requirements.pex and inventory.json of the virtual environment, which has the hashed requirements."""
    _pack(requirements)
    distributions = os.path.join(_PEX, ".deps")
    os.makedirs(distributions, exist_ok=True)  # code that needs none has a PEX without the folder
    write_json("inventory.json", [_describe(file) for file in sorted(os.listdir(distributions))])


def main(request: Mapping[str, Any]) -> None:
    """Write requirements.pex and inventory.json."""
    _install_subset(request)
    pack(request["subset"])


if __name__ == "__main__":
    run_program(main)
