"""What both readers of lockfiles share: what they find, and the errors about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.lockfiles import refresh_command

# name -> (version, hashes)
Locked = Mapping[str, tuple[str, tuple[str, ...]]]


@dataclass(frozen=True)
class LockedSubset:
    """The part of a lock that the image needs.

    Attributes:
        locked: All of it that has a version and hashes.
        built: "name version" of what has no wheel and is to be built, sorted; of a Pex lock that includes what `locked`
            lacks, as what is required from a version control system.
    """

    locked: Locked
    built: tuple[str, ...] = ()
    is_pex_lock: bool = False


@dataclass(frozen=True)
class Wheelless:
    """A distribution that has no wheel for the image's platform.

    Attributes:
        has: What there is instead, for people.
        has_source: Whether it is known that it could be built.
    """

    name: str
    version: str
    has: str
    has_source: bool


def _platform(request: Mapping[str, Any]) -> str:
    return (
        f"{request['platform']}, CPython {request['python_version']}, glibc {request['glibc']} "
        f"({request['base']})"
    )


def _lockfile(request: Mapping[str, Any]) -> str:
    return f"The lockfile {request['lockfile_path']} of resolve {request['resolve']!r}"


def _wheel_fixes(request: Mapping[str, Any]) -> list[str]:
    return [
        f"require versions that have wheels for this platform, then refresh {request['lockfile_path']}",
        "use a base image whose Python and glibc the wheels in the lock are for",
    ]


def check_requirements(request: Mapping[str, Any]) -> None:
    """Check that the requirements are of PEP 508: old Pants takes specifiers that no installer of today does.

    Raises:
        SlimRayImageError: With each that is not.
    """
    wrong = []
    for text in sorted(request["requirements"]):
        try:
            Requirement(text)
        except InvalidRequirement as error:
            wrong.append(f"{text!r}: {str(error).splitlines()[0]}")
    if wrong:
        raise SlimRayImageError(
            f"{request['address']} has requirements that are not valid.",
            evidence=wrong,
            fixes=[
                "correct them where they are required; "
                "https://packaging.python.org/specifications/version-specifiers/ has the grammar"
            ],
        )


def unresolvable(request: Mapping[str, Any], reasons: Sequence[str]) -> SlimRayImageError:
    """Return the error for what a tool could not resolve, with the tool's own reasons."""
    return SlimRayImageError(
        f"Cannot resolve the requirements of {request['address']} for {_platform(request)}.",
        evidence=[*request["added_extras"], *reasons],
        fixes=_wheel_fixes(request),
    )


def wheelless_error(request: Mapping[str, Any], found: Sequence[Wheelless]) -> SlimRayImageError:
    """Return the error for distributions that have no wheel for the image and may not be built."""
    sources = [distribution.name for distribution in found if distribution.has_source]
    allowed = ", ".join(f'"{name}"' for name in sorted({*sources, *request["host_built"]}))
    build = (
        "let this machine build it, against its own libraries: "
        f"`host_built_distributions = [{allowed}]` in `[slim-ray]` of pants.toml"
    )
    return SlimRayImageError(
        f"{len(found)} of the distributions that {request['address']} needs "
        f"{'has' if len(found) == 1 else 'have'} no wheel for {_platform(request)}.",
        evidence=sorted(f"{d.name} {d.version}: {d.has}" for d in found),
        fixes=[*_wheel_fixes(request), *([build] if sources else [])],
    )


def _require_extras(request: Mapping[str, Any]) -> str:
    """What has to come first where the code needs extras that no requirement names: `ray[serve] is there for ...`."""
    extras = [line.split(" ")[0] for line in request["added_extras"]]
    return f"require {' and '.join(extras)}, then " if extras else ""


def _refresh(request: Mapping[str, Any]) -> str:
    """How to refresh the lockfile, with the command in its header, where there is one."""
    with open(request["lockfile"], encoding="utf-8", errors="replace") as file:
        command = refresh_command(file.read())
    return (
        f"refresh {request['lockfile_path']} from its requirements, for CPython {request['python_version']} and "
        f"{request['platform']}{f'; its header has the command: `{command}`' if command else ''}"
    )


def not_held_error(request: Mapping[str, Any], problems: Sequence[str]) -> SlimRayImageError:
    """Return the error for a lockfile that is older than the requirements."""
    return SlimRayImageError(
        f"{_lockfile(request)} does not hold what {request['address']} needs.",
        evidence=[*request["added_extras"], *problems],
        fixes=[_require_extras(request) + _refresh(request)],
    )


def unreadable_error(
    request: Mapping[str, Any], problem: str, fixes: Sequence[str]
) -> SlimRayImageError:
    """Return the error for a lockfile of no format that is read. `problem` goes on from its name."""
    return SlimRayImageError(f"{_lockfile(request)} {problem}.", fixes=fixes)
