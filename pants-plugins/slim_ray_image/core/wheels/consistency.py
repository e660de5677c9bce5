"""Stage 3 of 6: check that manifest and image agree on Ray's version, and resolve and base image on Python's."""

from __future__ import annotations

import calendar
import datetime
from typing import Iterable, Optional, Sequence

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.serve.serve_config import RayVersion

# Minor version -> year and month in which its last release is due: the release schedules, from PEP 569 on.
_END_OF_LIFE = {
    "3.8": (2024, 10),
    "3.9": (2025, 10),
    "3.10": (2026, 10),
    "3.11": (2027, 10),
    "3.12": (2028, 10),
    "3.13": (2029, 10),
    "3.14": (2030, 10),
}


def _is_same_release(first: str, second: str) -> bool:
    """Return whether two versions are of one release, such as 2.48.0 and 2.48.0+cpu; invalid ones must be equal."""
    try:
        return Version(Version(first).base_version) == Version(Version(second).base_version)
    except InvalidVersion:
        return first == second


def check_ray_versions(image: str, named: Iterable[RayVersion], packed: Optional[str]) -> None:
    """Check that `rayVersion` in manifests, by which KubeRay chooses commands and probes, is the image's Ray version.

    Args:
        named: Values of `rayVersion`, with their places.
        packed: Version of the distribution `ray` in the image; None if the image has no Ray.

    Raises:
        SlimRayImageError: If a manifest names another release.
    """
    if packed is None:
        return
    wrong = [found for found in named if not _is_same_release(found.version, packed)]
    if wrong:
        raise SlimRayImageError(
            f"The image {image} has Ray {packed}, but its manifest names another version.",
            evidence=[f"{found.place}: rayVersion is {found.version!r}" for found in wrong],
            fixes=[
                f'write `rayVersion: "{packed}"`',
                f"require ray=={wrong[0].version}, and refresh the lockfile",
            ],
        )


def _takes(constraint: str, version: str) -> bool:
    """Return whether an interpreter constraint, such as `CPython>=3.9,<3.12`, allows a version of CPython."""
    name_end = next((i for i, c in enumerate(constraint) if c in "=<>!~ "), len(constraint))
    name, specifier = constraint[:name_end].partition("[")[0], constraint[name_end:]
    if name.lower() not in ("", "cpython"):
        return False
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:  # Pants reports this itself.
        return True


def check_python(
    image: str, resolve: str, constraints: Sequence[str], base: str, python_version: str
) -> None:
    """Check that one of the interpreter constraints of the Pants resolve allows the base image's Python.

    Args:
        constraints: Interpreter constraints of the resolve. One that allows the Python is enough.
        base: Reference of the base image.

    Raises:
        SlimRayImageError: If no constraint allows the Python.
    """
    if any(_takes(constraint, python_version) for constraint in constraints):
        return
    minor = ".".join(python_version.split(".")[:2])
    raise SlimRayImageError(
        f"The base image {base} of {image} has CPython {python_version}, which the resolve {resolve!r} does not allow.",
        evidence=[f"its interpreter constraints are {', '.join(map(repr, constraints))}"],
        fixes=[
            "set `base_image` to an image with a Python that the constraints allow",
            f"set `resolve` to a resolve that allows CPython {minor}",
            f"add CPython {minor} to the resolve's constraints (`[python].resolves_to_interpreter_constraints`, or "
            "`[python].interpreter_constraints`), and refresh its lockfile",
        ],
    )


def end_of_life_warning(base: str, python_version: str, today: datetime.date) -> Optional[str]:
    """Return a warning if the base image's Python is past its end of life, with no more security fixes; else None."""
    minor = ".".join(python_version.split(".")[:2])
    year, month = _END_OF_LIFE.get(minor, (datetime.MAXYEAR, 12))
    if today <= datetime.date(year, month, calendar.monthrange(year, month)[1]):
        return None
    return (
        f"The base image {base} has CPython {minor}, whose end of life was in {calendar.month_name[month]} {year}: "
        "it gets no more fixes, not even security fixes.\n\n"
        "To fix, move the resolve and `base_image` to a newer Python; `[slim-ray].warn_end_of_life` silences this."
    )
