"""Stage 3 of 6: selects the wheels that an image needs from a lockfile of pip-style requirements with hashes.

Such a lock does not contain the dependencies of each distribution, so uv resolves the requirements with the lock as
constraints. The result is then compared with the lock, so an index cannot add or change a distribution.
Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, Mapping, Optional, Sequence

import tomli
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from pip_requirements_parser import InstallRequirement, RequirementsFile

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.indexes import file_of
from slim_ray_image.core.wheels.lockfiles import format_fixes, unmet_requirements
from slim_ray_image.core.wheels.subset import SubsetRequest
from slim_ray_image.core.wheels.wheels import LockedWheel, LockedWheels
from slim_ray_image.sandbox.tools.run_uv import (
    UnreadableIndexError,
    empty_cache,
    message_lines,
    run_uv_pip,
)
from slim_ray_image.sandbox.wheels.locked_subset import (
    Locked,
    LockedSubset,
    Wheelless,
    best_wheel,
    not_held_error,
    unreadable_error,
    unresolvable,
    wheelless_error,
    without_login,
)

_WANTED = "wanted.in"
_LEFT_OUT = "left-out.in"
_RESOLVED = "pylock.toml"
_EMPTY_CACHE = ".uv-empty-cache"
# uv's messages for a distribution that has no suitable wheel, and for the wheels that exist. uv writes "usable wheels"
# if the distribution has a source distribution.
_NO_WHEEL = re.compile(r"([\w.-]+)==([^\s,]+) has no (usable wheels|wheels with a matching)")
_OTHER_WHEELS = r"`{name}` \(v[^)]*\) (?:with|on) the following [\w ]+: (.*)"


@dataclass(frozen=True)
class PipLock:
    """The lines of a pip-style lockfile: pins whose markers are true for the image, and markers that are false.

    Attributes:
        locked: Pins of the lines whose markers are true for the image.
        markers: Name -> the markers of its lines that are false for the image.
    """

    locked: Locked
    markers: Mapping[str, Sequence[str]]


def _version_of_wheel(line: InstallRequirement) -> Optional[str]:
    """Return the version of a wheel that a line of a lockfile pins by URL and hash; None for other lines."""
    if not line.link or not line.hash_options:
        return None
    try:
        return str(parse_wheel_filename(file_of(line.link.url))[1])
    except InvalidWheelFilename:
        return None


def read_pip_lock(path: str, environment: Mapping[str, str]) -> PipLock:
    """Read a pip-style lockfile, with its markers evaluated for an image with these marker variables."""
    locked: dict[str, tuple[str, tuple[str, ...]]] = {}
    markers: dict[str, list[str]] = defaultdict(list)
    for line in RequirementsFile.from_file(path).requirements:
        pinned = line.get_pinned_version or _version_of_wheel(line)
        if not line.name or not pinned:
            continue
        name = canonicalize_name(line.name)
        if line.marker is not None and not line.marker.evaluate(dict(environment)):
            markers[name].append(str(line.marker))
        else:
            locked[name] = (str(pinned), tuple(sorted(line.hash_options)))
    return PipLock(locked, markers)


def _wheelless(stderr: str) -> Optional[Wheelless]:
    """Return the distribution that uv found no wheel for; None if uv failed for another reason."""
    found = _NO_WHEEL.search(stderr)
    if found is None:
        return None
    name, version, reason = found.groups()
    others = re.search(_OTHER_WHEELS.format(name=re.escape(name)), stderr)
    if others:
        return Wheelless(name, version, f"only wheels for {others[1]}", has_source=False)
    has_source = reason == "usable wheels"
    has = "only a source distribution" if has_source else "only wheels for other platforms"
    return Wheelless(name, version, has, has_source)


def _compile(
    request: SubsetRequest, built: Sequence[str], left_out: Sequence[Wheelless]
) -> subprocess.CompletedProcess[str]:
    with open(_LEFT_OUT, "w", encoding="utf-8") as file:
        file.writelines(f"{distribution.name}\n" for distribution in left_out)
    arguments = [
        *("compile", _WANTED, "--constraint", request.lockfile, "--output-file", _RESOLVED),
        *("--no-header", "--format", "pylock.toml", "--generate-hashes"),
        # Without --python, uv searches the host for an interpreter and fails if there is none.
        *("--python", sys.executable, "--python-version", request.python_version),
        *(argument for name in built for argument in ("--no-binary", name)),
        *(("--excludes", _LEFT_OUT) if left_out else ()),
    ]
    return run_uv_pip(arguments, request.uv)


def _resolve(request: SubsetRequest) -> tuple[Mapping[str, Mapping[str, Any]], list[str]]:
    """Find the distributions that the image's requirements need, with their wheels, by uv and at the locked versions.

    uv reports one distribution without a wheel at a time, so uv is run again with that distribution built or left out.

    Returns:
        Canonical name -> entry of pylock.toml for each needed distribution, and the names of distributions to build.
    """
    with open(_WANTED, "w", encoding="utf-8") as file:
        file.write("\n".join(request.requirements) + "\n")
    built: list[str] = []
    wheelless: list[Wheelless] = []
    while (result := _compile(request, built, wheelless)).returncode != 0:
        found = _wheelless(result.stderr)
        known = {*built, *(distribution.name for distribution in wheelless)}
        if found is None or found.name in known:
            if wheelless:
                break
            raise unresolvable(request, message_lines(result.stderr))
        if found.name in request.host_built:
            built.append(found.name)
        else:
            wheelless.append(found)
    if wheelless:
        raise wheelless_error(request, wheelless)
    with open(_RESOLVED, "rb") as resolved:
        packages = tomli.load(resolved).get("packages", [])
    return {canonicalize_name(package["name"]): package for package in packages}, built


def check_locked(request: SubsetRequest, pins: Sequence[tuple[str, str]], locked: Locked) -> None:
    """Check that the lockfile pins each of these distributions at this version and with a hash.

    Args:
        pins: (name, version) pairs.

    Raises:
        SlimRayImageError: With each pin that the lock lacks.
    """
    problems = []
    for name, version in pins:
        if name not in locked:
            problems.append(f"{name}=={version} is needed, but is not in the lockfile")
        elif locked[name][0] != version:
            problems.append(f"{name}=={version} is needed, but {name}=={locked[name][0]} is locked")
        elif not locked[name][1]:
            problems.append(f"{name}=={version} is locked without a hash")
    if problems:
        raise not_held_error(request, sorted(problems))


def _check_requirements(request: SubsetRequest, lock: PipLock) -> None:
    """Check that a pip-style lockfile has hashes and meets the requirements; uv would blame an index instead."""
    requirements, path = request.requirements, request.lockfile_path
    if lock.locked and not any(hashes for _, hashes in lock.locked.values()):
        raise unreadable_error(
            request,
            "has no hashes, so it does not say which files to install",
            [
                f"add them, for example with `uv pip compile {path} --universal --generate-hashes -o {path}`"
            ],
        )
    if requirements and not lock.locked and not lock.markers:
        raise unreadable_error(
            request, "has no requirement of the form `name==version`", format_fixes(None, path)
        )
    direct = sorted(
        text
        for text in requirements
        if Requirement(text).url and canonicalize_name(Requirement(text).name) not in lock.locked
    )
    if direct:
        raise unreadable_error(
            request,
            f"has no wheel with a hash for {' and '.join(direct)}",
            [
                "lock the URL of a wheel in the form `name @ URL --hash=sha256:...`, or require a released version",
                f"make {path} with `pants generate-lockfiles`, whose format also has hashes of other sources",
            ],
        )
    versions = {name: [version] for name, (version, _) in lock.locked.items()}
    environment = request.marker_environment
    problems = unmet_requirements(requirements, versions, lock.markers, environment)
    if problems:
        raise not_held_error(request, problems)


def _candidates(name: str, version: str, package: Mapping[str, Any]) -> list[LockedWheel]:
    """Return the wheels that uv found for a distribution and that have a SHA-256.

    Format: https://packaging.python.org/en/latest/specifications/pylock-toml/ (`packages.wheels`, `packages.archive`).
    """
    archive = package.get("archive")
    rows = [archive] if archive else package.get("wheels", [])
    return [
        LockedWheel(
            name,
            version,
            row.get("name") or file_of(row["url"]),
            row["hashes"]["sha256"],
            row.get("size"),
            without_login(row["url"]),
        )
        for row in rows
        if "sha256" in row["hashes"]
    ]


def _find(request: SubsetRequest, lock: PipLock) -> LockedSubset:
    packages, built = _resolve(request)
    pins = [(name, package["version"]) for name, package in sorted(packages.items())]
    check_locked(request, pins, lock.locked)
    wheels = tuple(
        best_wheel(_candidates(name, version, packages[name]), lock.locked[name][1], request)
        for name, version in pins
        if name not in built
    )
    names = tuple(sorted(f"{name} {lock.locked[name][0]}" for name in built))
    return LockedSubset(
        LockedWheels(wheels, names, is_pex_lock=False), {name: lock.locked[name] for name in built}
    )


def _find_without_cache(request: SubsetRequest, lock: PipLock) -> Optional[LockedSubset]:
    """Return the part of the lockfile that uv selects with an empty cache; None if the selection fails again."""
    asking = replace(request, uv=replace(request.uv, cache=_EMPTY_CACHE))
    try:
        return _find(asking, lock)
    except SlimRayImageError:
        return None


def subset_of_pip_lock(request: SubsetRequest) -> LockedSubset:
    """Return the part of a pip-style lockfile that the image's requirements need.

    uv trusts its cached answers of indexes, which have no hash. So if a resolve with the cache fails, it is repeated
    with an empty cache; if the repetition succeeds, the cache is emptied.

    Raises:
        SlimRayImageError: If the lock lacks a needed distribution, or if one has no wheel and may not be built.
    """
    lock = read_pip_lock(request.lockfile, request.marker_environment)
    _check_requirements(request, lock)
    had_cache = os.path.isdir(request.uv.cache) and bool(os.listdir(request.uv.cache))
    try:
        return _find(request, lock)
    except UnreadableIndexError:
        raise
    except SlimRayImageError:
        found = _find_without_cache(request, lock) if had_cache else None
        if found is None:
            raise
    empty_cache(request.uv)
    return replace(found, wheels=replace(found.wheels, was_cache_changed=True))
