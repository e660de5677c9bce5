"""Stage 3 of 6: the part of a lock of pip-style hashed requirements.

Such a lock does not say what requires what, so uv resolves the part with the lock as constraints; what it finds is then
held against the lock, so an index cannot add or change a thing.
Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pip_requirements_parser import RequirementsFile

from slim_ray_image.core.lockfiles import format_fixes, unmet_requirements
from slim_ray_image.sandbox.locked_subset import (
    Locked,
    LockedSubset,
    Wheelless,
    not_held_error,
    unreadable_error,
    unresolvable,
    wheelless_error,
)
from slim_ray_image.sandbox.run_uv import message_lines, run_uv_pip

_WANTED = "wanted.in"
_LEFT_OUT = "left-out.in"
_RESOLVED = "resolved.txt"
# Of uv's reasons, that there is no wheel, and what there is; of which it says "usable", that has a source.
_NO_WHEEL = re.compile(r"([\w.-]+)==([^\s,]+) has no (usable wheels|wheels with a matching)")
_OTHER_WHEELS = r"`{name}` \(v[^)]*\) (?:with|on) the following [\w ]+: (.*)"


@dataclass(frozen=True)
class PipLock:
    """A lock of pip-style requirements, as the image sees it.

    Attributes:
        locked: Of the lines whose markers hold for the image.
        markers: Name -> the markers of its other lines.
    """

    locked: Locked
    markers: Mapping[str, Sequence[str]]


def read_pip_lock(path: str, environment: Mapping[str, str]) -> PipLock:
    """Return what a lockfile pins for an image with these marker variables."""
    locked: dict[str, tuple[str, tuple[str, ...]]] = {}
    markers: dict[str, list[str]] = defaultdict(list)
    for line in RequirementsFile.from_file(path).requirements:
        pinned = line.get_pinned_version
        if not line.name or not pinned:
            continue
        name = canonicalize_name(line.name)
        if line.marker is not None and not line.marker.evaluate(dict(environment)):
            markers[name].append(str(line.marker))
        else:
            locked[name] = (str(pinned), tuple(sorted(line.hash_options)))
    return PipLock(locked, markers)


def _wheelless(stderr: str) -> Optional[Wheelless]:
    """Return the distribution that uv found no wheel of, if that is why it failed."""
    found = _NO_WHEEL.search(stderr)
    if found is None:
        return None
    name, version, reason = found.groups()
    others = re.search(_OTHER_WHEELS.format(name=re.escape(name)), stderr)
    if others:
        return Wheelless(name, version, f"wheels for {others[1]} alone", has_source=False)
    has_source = reason == "usable wheels"
    has = "a source distribution alone" if has_source else "wheels for other platforms alone"
    return Wheelless(name, version, has, has_source)


def _compile(
    request: Mapping[str, Any], built: Sequence[str], left_out: Sequence[Wheelless]
) -> subprocess.CompletedProcess[str]:
    with open(_LEFT_OUT, "w", encoding="utf-8") as file:
        file.writelines(f"{distribution.name}\n" for distribution in left_out)
    arguments = [
        *("compile", _WANTED, "--constraint", request["lockfile"], "--output-file", _RESOLVED),
        *("--no-header", "--no-annotate", "--strip-extras"),
        # Without --python uv looks for one on the host, and fails where there is none.
        *("--python", sys.executable, "--python-version", request["python_version"]),
        *(argument for name in built for argument in ("--no-binary", name)),
        *(("--excludes", _LEFT_OUT) if left_out else ()),
    ]
    return run_uv_pip(arguments, request)


def _resolve(request: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return (name, version) of everything the requirements need, and the names of what is to be built.

    uv tells of one distribution without a wheel at a time, so it is asked again with that one built or left out.
    """
    with open(_WANTED, "w", encoding="utf-8") as file:
        file.write("\n".join(request["requirements"]) + "\n")
    built: list[str] = []
    wheelless: list[Wheelless] = []
    while (result := _compile(request, built, wheelless)).returncode != 0:
        found = _wheelless(result.stderr)
        known = {*built, *(distribution.name for distribution in wheelless)}
        if found is None or found.name in known:
            if wheelless:
                break
            raise unresolvable(request, message_lines(result.stderr))
        if found.name in request["host_built"]:
            built.append(found.name)
        else:
            wheelless.append(found)
    if wheelless:
        raise wheelless_error(request, wheelless)
    lines = RequirementsFile.from_file(_RESOLVED).requirements
    return [(canonicalize_name(line.name), str(line.get_pinned_version)) for line in lines], built


def check_locked(
    request: Mapping[str, Any], pins: Sequence[tuple[str, str]], locked: Locked
) -> None:
    """Raise if the lock does not have each of `pins`, with a hash.

    Raises:
        SlimRayImageError: With all that it lacks.
    """
    problems = []
    for name, version in pins:
        if name not in locked:
            problems.append(f"{name}=={version} is needed, but has no entry")
        elif locked[name][0] != version:
            problems.append(f"{name}=={version} is needed, but {name}=={locked[name][0]} is locked")
        elif not locked[name][1]:
            problems.append(f"{name}=={version} is locked without a hash")
    if problems:
        raise not_held_error(request, sorted(problems))


def _check_requirements(request: Mapping[str, Any], lock: PipLock) -> None:
    """Raise if the lockfile is none, or cannot hold what is required; uv would ask an index, and blame that."""
    requirements, path = request["requirements"], request["lockfile_path"]
    if lock.locked and not any(hashes for _, hashes in lock.locked.values()):
        raise unreadable_error(
            request,
            "has no hashes, so it does not say which files are meant",
            [f"add them, as with `uv pip compile {path} --universal --generate-hashes -o {path}`"],
        )
    if requirements and not lock.locked and not lock.markers:
        raise unreadable_error(
            request, "has no requirement of the form `name==version`", format_fixes(None, path)
        )
    direct = sorted(text for text in requirements if Requirement(text).url)
    if direct:
        raise unreadable_error(
            request,
            f"is of pip's format, which has no hash for {' and '.join(direct)}",
            [f"make {path} with `pants generate-lockfiles`, whose format has", "require a release"],
        )
    versions = {name: [version] for name, (version, _) in lock.locked.items()}
    environment = request["marker_environment"]
    problems = unmet_requirements(requirements, versions, lock.markers, environment)
    if problems:
        raise not_held_error(request, problems)


def subset_of_pip_lock(request: Mapping[str, Any]) -> LockedSubset:
    """Return the part of the lock that `requirements` need.

    Raises:
        SlimRayImageError: If the lock does not hold it, or if a distribution has no wheel and may not be built.
    """
    lock = read_pip_lock(request["lockfile"], request["marker_environment"])
    _check_requirements(request, lock)
    pins, built = _resolve(request)
    check_locked(request, pins, lock.locked)
    subset = {name: lock.locked[name] for name, _ in pins}
    return LockedSubset(subset, tuple(sorted(f"{name} {subset[name][0]}" for name in built)))
