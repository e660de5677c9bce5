"""Stage 3 of 6: selects the wheels that an image needs from a lockfile in Pex's JSON format.

Such a lock contains the dependencies of each distribution, so Pex exports the part for the interpreter that runs this
program, which is the base's. No index is read. Format: https://docs.pex-tool.org/ (`pex3 lock`).
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from collections import defaultdict
from typing import Any, Iterator, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.indexes import file_of, split_credentials
from slim_ray_image.core.wheels.lockfiles import format_fixes, parse_pex_lock, unmet_requirements
from slim_ray_image.core.wheels.subset import SubsetRequest
from slim_ray_image.core.wheels.wheels import LockedWheel, LockedWheels
from slim_ray_image.sandbox.report import raise_if_disk_is_full, write_whole
from slim_ray_image.sandbox.tools.run_pex import pex_command, pex_environment
from slim_ray_image.sandbox.wheels.locked_subset import (
    Locked,
    LockedSubset,
    Wheelless,
    best_wheel,
    not_held_error,
    unreadable_error,
    unresolvable,
    wheelless_error,
)
from slim_ray_image.sandbox.wheels.pip_lock import read_pip_lock

_PEX_LOCK = "pex-lock.json"
_EXPORTED = "exported.txt"
_SHA256 = "sha256:"
_DIRECT = re.compile(r"^(\S+) @ (\S+)", re.MULTILINE)
# Pex's messages for distributions that are locked for other platforms, for other Pythons, and not at all.
_NO_ARTIFACT = re.compile(
    r"\.\) (\S+) (\S+) \(via: [^)]*\) does not have any compatible artifacts:\n((?: +\S+\n?)+)"
)
_OTHER_PYTHON = re.compile(r"\.\) (\S+) (\S+) \(via: [^)]*\) requires Python (\S+)")
_NO_ENTRY = re.compile(r"Dependency on (.*) \(via: (.*)\) not satisfied, no candidates found")


def _without_login(url: str) -> str:
    return split_credentials(url.partition("#")[0])[0]


def _artifacts(lock: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Yield (name, version, artifact) for every artifact, a file with URL and hash, that a Pex lockfile pins."""
    for resolve in lock["locked_resolves"]:
        for locked in resolve["locked_requirements"]:
            for artifact in locked["artifacts"]:
                yield canonicalize_name(locked["project_name"]), locked["version"], artifact


def _versions(lock: Mapping[str, Any]) -> dict[str, list[str]]:
    """Map the name of each distribution in a Pex lockfile to all its locked versions, for any platform."""
    versions: dict[str, list[str]] = defaultdict(list)
    for name, version, _ in _artifacts(lock):
        if version not in versions[name]:
            versions[name].append(version)
    return versions


def _direct(lock: Mapping[str, Any], locked: Locked) -> Iterator[Wheelless]:
    """Yield distributions that Pex exported from the lockfile by URL and that are no wheels, but sources or folders."""
    versions = _versions(lock)
    with open(_EXPORTED, encoding="utf-8") as file:
        for name, url in _DIRECT.findall(file.read()):
            name = canonicalize_name(name)
            if name not in locked:
                yield Wheelless(name, versions[name][0], split_credentials(url)[0], has_source=True)


def _files(lock: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    """Map the name of each distribution in a Pex lockfile to a map from the hash of each of its files to the URL."""
    files: dict[str, dict[str, str]] = defaultdict(dict)
    for name, _, artifact in _artifacts(lock):
        files[name][f"{artifact['algorithm']}:{artifact['hash']}"] = artifact["url"]
    return files


def _wheels(name: str, version: str, files: Mapping[str, str]) -> list[LockedWheel]:
    """Return the wheels among the files that a Pex lockfile pins for a distribution.

    Args:
        files: Hash -> URL.
    """
    return [
        LockedWheel(name, version, file_of(url), value[len(_SHA256) :], None, _without_login(url))
        for value, url in files.items()
        if value.startswith(_SHA256) and _is_wheel(file_of(url))
    ]


def _sources(files: Mapping[str, Mapping[str, str]], locked: Locked) -> Iterator[Wheelless]:
    """Yield distributions that Pex exported without the hash of a wheel: none of their wheels fits the image."""
    for name, (version, hashes) in locked.items():
        if not any(_is_wheel(file_of(files[name][value])) for value in hashes):
            others = sorted(filter(_is_wheel, map(file_of, files[name].values())))
            has = "only a source distribution"
            if others:
                has = f"a source distribution, and {', '.join(others)}"
            yield Wheelless(name, version, has, has_source=True)


def _is_wheel(file: str) -> bool:
    return file.endswith(".whl")


def _without_place(text: str) -> str:
    """Return the text of a requirement without its URL: `name` for `name @ URL`.

    Pex compares URLs as text, which may differ in spelling, and a lock has only one source for each name.
    """
    requirement = Requirement(text)
    if not requirement.url:
        return text
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{f'; {requirement.marker}' if requirement.marker else ''}"


def _export(request: SubsetRequest) -> subprocess.CompletedProcess[str]:
    command = pex_command(
        *("pex.cli", "lock", "export-subset", *map(_without_place, request.requirements)),
        *("--lock", _PEX_LOCK, "--format", "pip", "--output", _EXPORTED),
    )
    result = subprocess.run(
        command, env=pex_environment(), capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise_if_disk_is_full(result.stderr)
    return result


def _export_error(
    request: SubsetRequest, lock: Mapping[str, Any], stderr: str
) -> SlimRayImageError:
    """Return the error for requirements that Pex cannot export from the lockfile, with the most specific reasons."""
    environment = request.marker_environment
    missing = ((name, by.split(" -> ")) for name, by in _NO_ENTRY.findall(stderr))
    problems = [
        *unmet_requirements(request.requirements, _versions(lock), {}, environment),
        *(
            f"{name} is needed by {by[-2]}, but is not in the lockfile"
            for name, by in missing
            if by[1:]
        ),
    ]
    if problems:
        return not_held_error(request, sorted(problems))
    wheelless = [
        Wheelless(name, version, ", ".join(map(posixpath.basename, urls.split())), False)
        for name, version, urls in _NO_ARTIFACT.findall(stderr)
    ] + [
        Wheelless(name, version, f"requires Python {python}", False)
        for name, version, python in _OTHER_PYTHON.findall(stderr)
    ]
    if wheelless:
        return wheelless_error(request, wheelless)
    return unresolvable(request, [line.strip() for line in stderr.splitlines() if line.strip()])


def subset_of_pex_lock(text: str, request: SubsetRequest) -> LockedSubset:
    """Return the part of a Pex lockfile that the image's requirements need.

    Args:
        text: The lock, without Pants' header.

    Raises:
        SlimRayImageError: If the lock lacks a needed distribution, or if one has no wheel and may not be built.
    """
    try:
        lock = parse_pex_lock(text)
    except ValueError as error:
        fixes = format_fixes(None, request.lockfile_path)
        raise unreadable_error(request, str(error), fixes) from error
    write_whole(_PEX_LOCK, text)
    exported = _export(request)
    if exported.returncode != 0:
        raise _export_error(request, lock, exported.stderr)
    locked, files = read_pip_lock(_EXPORTED, request.marker_environment).locked, _files(lock)
    to_build = [*_direct(lock, locked), *_sources(files, locked)]
    refused = [found for found in to_build if found.name not in request.host_built]
    if refused:
        raise wheelless_error(request, refused)
    names = {found.name for found in to_build}
    wheels = tuple(
        best_wheel(_wheels(name, version, files[name]), hashes, request)
        for name, (version, hashes) in sorted(locked.items())
        if name not in names
    )
    built = tuple(sorted(f"{found.name} {found.version}" for found in to_build))
    return LockedSubset(LockedWheels(wheels, built, is_pex_lock=True), {})
