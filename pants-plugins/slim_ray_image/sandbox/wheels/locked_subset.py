"""Code that the readers of pip-style and Pex lockfiles share: their result, the choice of a wheel, and their errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.wheels.indexes import split_credentials
from slim_ray_image.core.wheels.lockfiles import refresh_command
from slim_ray_image.core.wheels.subset import SubsetRequest
from slim_ray_image.core.wheels.wheel_tags import rank_of
from slim_ray_image.core.wheels.wheels import LockedWheel, LockedWheels, other_hash_error

# name -> (version, hashes)
Locked = Mapping[str, tuple[str, tuple[str, ...]]]
_SHA256 = "sha256:"


@dataclass(frozen=True)
class LockedSubset:
    """The part of a lockfile that the image needs: wheels, and distributions to build.

    Attributes:
        built: Distributions of a pip-style lock that have to be built, with their hashes.
    """

    wheels: LockedWheels
    built: Locked


NOTHING = LockedSubset(LockedWheels((), (), is_pex_lock=False), {})


@dataclass(frozen=True)
class Wheelless:
    """A distribution that has no wheel for the image's platform.

    Attributes:
        has: Description of the files that exist instead, such as "only a source distribution".
        has_source: Whether the distribution is known to have a source distribution.
    """

    name: str
    version: str
    has: str
    has_source: bool


def _platform(request: SubsetRequest) -> str:
    return (
        f"{request.platform}, CPython {request.python_version}, glibc {request.glibc} "
        f"({request.base})"
    )


def _lockfile(request: SubsetRequest) -> str:
    return f"The lockfile {request.lockfile_path} of resolve {request.resolve!r}"


def _wheel_fixes(request: SubsetRequest) -> list[str]:
    return [
        f"require versions that have wheels for this platform, then refresh {request.lockfile_path}",
        "use a base image whose Python and glibc match the wheels in the lock",
    ]


def without_login(url: str) -> str:
    """Return a URL without user and password; "" for a URL with a query, which may contain a secret signature."""
    return "" if urlsplit(url).query else split_credentials(url.partition("#")[0])[0]


def best_wheel(
    found: Sequence[LockedWheel], hashes: Sequence[str], request: SubsetRequest
) -> LockedWheel:
    """Return the locked wheel of a distribution that an installer prefers on the image's platform.

    Args:
        found: The wheels of one distribution.
        hashes: Hashes of the distribution in the lock, in the form `sha256:...`.

    Raises:
        SlimRayImageError: If the lock has the hash of no wheel that fits the platform.
    """
    platform = parse_platform(request.platform)
    python = ".".join(request.python_version.split(".")[:2])
    ranked = sorted(
        (rank, wheel.file, wheel)
        for wheel in found
        if (rank := rank_of(wheel.file, python, platform, request.glibc)) is not None
    )
    for _, _, wheel in ranked:
        if f"{_SHA256}{wheel.sha256}" in hashes:
            return wheel
    raise other_hash_error(
        [
            *(f"{wheel.file} has {_SHA256}{wheel.sha256}" for _, _, wheel in ranked),
            *(f"{request.lockfile_path} has {value}" for value in hashes),
        ]
    )


def check_requirements(request: SubsetRequest) -> None:
    """Check that the requirements follow PEP 508: old Pants accepts specifiers that current installers reject.

    Raises:
        SlimRayImageError: With each invalid requirement.
    """
    wrong = []
    for text in sorted(request.requirements):
        try:
            Requirement(text)
        except InvalidRequirement as error:
            wrong.append(f"{text!r}: {str(error).splitlines()[0]}")
    if wrong:
        raise SlimRayImageError(
            f"{request.address} has requirements that are not valid.",
            evidence=wrong,
            fixes=[
                "correct them; "
                "https://packaging.python.org/specifications/version-specifiers/ has the grammar"
            ],
        )


def unresolvable(request: SubsetRequest, reasons: Sequence[str]) -> SlimRayImageError:
    """Return the error for requirements that uv or Pex could not resolve, with the tool's own reasons."""
    return SlimRayImageError(
        f"Cannot resolve the requirements of {request.address} for {_platform(request)}.",
        evidence=[*request.added_extras, *reasons],
        fixes=_wheel_fixes(request),
    )


def wheelless_error(request: SubsetRequest, found: Sequence[Wheelless]) -> SlimRayImageError:
    """Return the error for distributions that have no wheel for the image and may not be built."""
    sources = [distribution.name for distribution in found if distribution.has_source]
    allowed = ", ".join(f'"{name}"' for name in sorted({*sources, *request.host_built}))
    build = (
        "let this machine build it, against its own libraries: "
        f"`host_built_distributions = [{allowed}]` in `[slim-ray]` of pants.toml"
    )
    return SlimRayImageError(
        f"{len(found)} of the distributions that {request.address} needs "
        f"{'has' if len(found) == 1 else 'have'} no wheel for {_platform(request)}.",
        evidence=sorted(f"{d.name} {d.version}: {d.has}" for d in found),
        fixes=[*_wheel_fixes(request), *([build] if sources else [])],
    )


def _require_extras(request: SubsetRequest) -> str:
    """Return the start of advice, such as "require ray[serve], then ", if the code needs unrequired extras, else "".

    An entry of `added_extras` is a sentence that starts with the requirement, such as `ray[serve] is there for ...`.
    """
    extras = [line.split(" ")[0] for line in request.added_extras]
    return f"require {' and '.join(extras)}, then " if extras else ""


def _refresh(request: SubsetRequest) -> str:
    """Return the advice to refresh the lockfile, with the command in the lockfile's header, if there is one."""
    with open(request.lockfile, encoding="utf-8", errors="replace") as file:
        command = refresh_command(file.read())
    return (
        f"refresh {request.lockfile_path} from its requirements, for CPython {request.python_version} and "
        f"{request.platform}{f'; its header has the command: `{command}`' if command else ''}"
    )


def not_held_error(request: SubsetRequest, problems: Sequence[str]) -> SlimRayImageError:
    """Return the error for a lockfile that does not meet the requirements of the image."""
    return SlimRayImageError(
        f"{_lockfile(request)} does not meet the requirements of {request.address}.",
        evidence=[*request.added_extras, *problems],
        fixes=[_require_extras(request) + _refresh(request)],
    )


def unreadable_error(
    request: SubsetRequest, problem: str, fixes: Sequence[str]
) -> SlimRayImageError:
    """Return the error for a lockfile that cannot be used, such as one of an unknown format or without hashes.

    Args:
        problem: The rest of the sentence that starts with the lockfile's name.
    """
    return SlimRayImageError(f"{_lockfile(request)} {problem}.", fixes=fixes)
