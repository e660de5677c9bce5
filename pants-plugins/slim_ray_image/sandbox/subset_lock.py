"""Stage 3 of 6, first half: the exact part of the lock that the image needs.

In: the resolve's lockfile, the closure's requirement strings, the platform. Out: subset.txt, pip-style hashed
requirements `name==version --hash=...`, sorted; names, versions and hashes are all the lock's own.

Two formats are read. Of pip-style hashed requirements, which do not say what requires what, uv resolves the part with
the lock as constraints; what it finds is then held against the lock, so an index cannot add or change a thing. Of Pex's
JSON, Pex exports the part. Formats: https://pip.pypa.io/en/stable/reference/requirements-file-format/ and
https://docs.pex-tool.org/ (`pex3 lock`).
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Mapping, Sequence

from packaging.utils import canonicalize_name
from pip_requirements_parser import RequirementsFile

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.run_pex import pex_environment
from slim_ray_image.sandbox.run_uv import message_lines, run_uv_pip

_WANTED = "wanted.in"
_RESOLVED = "resolved.txt"
_PEX_LOCK = "pex-lock.json"


def _read_pip_lock(
    path: str, environment: Mapping[str, str]
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return name -> (version, hashes) of the lock's lines whose markers hold for the image."""
    locked: dict[str, tuple[str, tuple[str, ...]]] = {}
    for line in RequirementsFile.from_file(path).requirements:
        marker = line.marker
        if marker is not None and not marker.evaluate(dict(environment)):
            continue
        pinned = line.get_pinned_version
        if line.name and pinned:
            locked[canonicalize_name(line.name)] = (str(pinned), tuple(sorted(line.hash_options)))
    return locked


def _uv_compile(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, version) of everything the requirements need, as uv resolves them within the lock."""
    with open(_WANTED, "w", encoding="utf-8") as file:
        file.write("\n".join(request["requirements"]) + "\n")
    arguments = [
        *("compile", _WANTED, "--constraint", request["lockfile"], "--output-file", _RESOLVED),
        *("--no-header", "--no-annotate", "--strip-extras"),
        # Without --python uv looks for one on the host, and fails where there is none.
        *("--python", sys.executable, "--python-version", request["python_version"]),
    ]
    result = run_uv_pip(arguments, request)
    if result.returncode != 0:
        raise _unresolvable(request, result.stderr)
    pins: list[tuple[str, str]] = []
    for line in RequirementsFile.from_file(_RESOLVED).requirements:
        pins.append((canonicalize_name(line.name), str(line.get_pinned_version)))
    return pins


def _unresolvable(request: Mapping[str, Any], stderr: str) -> SlimRayImageError:
    return SlimRayImageError(
        f"Cannot resolve the requirements of {request['address']} for {request['platform']}, "
        f"CPython {request['python_version']}, glibc {request['glibc']} ({request['base']}).",
        evidence=message_lines(stderr),
        fixes=[
            f"require versions that have wheels for this platform, then refresh {request['lockfile_path']}",
            "use a base image whose Python and glibc the wheels in the lock are for",
        ],
    )


def _check_locked(
    request: Mapping[str, Any],
    pins: Sequence[tuple[str, str]],
    locked: Mapping[str, tuple[str, tuple[str, ...]]],
) -> None:
    problems = []
    for name, version in pins:
        if name not in locked:
            problems.append(f"{name}=={version} is needed, but has no entry")
        elif locked[name][0] != version:
            problems.append(f"{name}=={version} is needed, but {name}=={locked[name][0]} is locked")
        elif not locked[name][1]:
            problems.append(f"{name}=={version} is locked without a hash")
    if problems:
        raise SlimRayImageError(
            f"The lockfile {request['lockfile_path']} of resolve {request['resolve']!r} does not hold "
            f"what {request['address']} needs.",
            evidence=sorted(problems),
            fixes=[f"refresh {request['lockfile_path']} from its requirements"],
        )


def _is_pex_lock(path: str) -> bool:
    """Whether a lockfile is of Pex's JSON format, before which Pants puts a header of `//` lines."""
    with open(path, encoding="utf-8") as file:
        return next((line for line in file if line.strip()), "").startswith(("{", "//"))


def _pex_export(request: Mapping[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return name -> (version, hashes) of everything the requirements need, as Pex finds it in its own lock.

    Pex evaluates the lock for the interpreter that this program runs on, which is the base's; it asks no index.
    """
    with open(request["lockfile"], encoding="utf-8") as file:
        content = "".join(line for line in file if not line.lstrip().startswith("//"))
    with open(_PEX_LOCK, "w", encoding="utf-8") as file:
        file.write(content)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pex.cli", "lock", "export-subset", *request["requirements"]),
            *("--lock", _PEX_LOCK, "--format", "pip", "--output", _RESOLVED),
        ],
        env=pex_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise _unresolvable(request, result.stderr)
    return _read_pip_lock(_RESOLVED, request["marker_environment"])


def main(request: Mapping[str, Any]) -> None:
    """Write subset.txt."""
    if _is_pex_lock(request["lockfile"]):
        locked = _pex_export(request)
        pins = [(name, version) for name, (version, _) in locked.items()]
    else:
        locked = _read_pip_lock(request["lockfile"], request["marker_environment"])
        pins = _uv_compile(request)
    _check_locked(request, pins, locked)
    with open("subset.txt", "w", encoding="utf-8") as file:
        for name, version in sorted(pins):
            hashes = " ".join(f"--hash={value}" for value in locked[name][1])
            file.write(f"{name}=={version} {hashes}\n")


if __name__ == "__main__":
    run_program(main)
