"""Stage 3 of 6: whether the things that name a version agree: the manifest, the lock, the base and the resolve."""

from __future__ import annotations

import calendar
import datetime
from typing import Iterable, Optional, Sequence

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.serve.serve_config import RayVersion

# The month in which the last release of a minor version is due; each version's release schedule, from PEP 596 on.
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
    """Whether two versions are builds of one release; text that is no version is compared as it is."""
    try:
        return Version(Version(first).base_version) == Version(Version(second).base_version)
    except InvalidVersion:
        return first == second


def check_ray_versions(image: str, named: Iterable[RayVersion], packed: Optional[str]) -> None:
    """Check that a manifest's `rayVersion` is that of the image: KubeRay chooses commands and probes by it.

    Args:
        packed: The version of the distribution `ray`; None where the image has none.

    Raises:
        SlimRayImageError: If it is another release.
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
                f"require ray=={wrong[0].version}, and make the lockfile again",
            ],
        )


def _takes(constraint: str, version: str) -> bool:
    """Whether an interpreter constraint, as `CPython>=3.9,<3.12`, takes a CPython."""
    name_end = next((i for i, c in enumerate(constraint) if c in "=<>!~ "), len(constraint))
    name, specifier = constraint[:name_end].partition("[")[0], constraint[name_end:]
    if name.lower() not in ("", "cpython"):
        return False
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:  # which Pants tells of itself
        return True


def check_python(
    image: str, resolve: str, constraints: Sequence[str], base: str, python_version: str
) -> None:
    """Check that the base's Python is one that the resolve is for.

    Args:
        constraints: Of the resolve, one of which is enough.
        base: The base image's reference.

    Raises:
        SlimRayImageError: If it is another.
    """
    if any(_takes(constraint, python_version) for constraint in constraints):
        return
    minor = ".".join(python_version.split(".")[:2])
    raise SlimRayImageError(
        f"The base image {base} of {image} has CPython {python_version}, which the resolve {resolve!r} is not for.",
        evidence=[f"its interpreter constraints are {', '.join(map(repr, constraints))}"],
        fixes=[
            "name a base image of such a Python in `base_image`",
            f"set `resolve` to one that is for CPython {minor}",
            f"take CPython {minor} into the resolve's constraints (`[python].resolves_to_interpreter_constraints`, or "
            "`[python].interpreter_constraints`), and make its lockfile again",
        ],
    )


def end_of_life_warning(base: str, python_version: str, today: datetime.date) -> Optional[str]:
    """Return what to say of a base whose Python gets no more fixes, not even of security; None of any other."""
    minor = ".".join(python_version.split(".")[:2])
    year, month = _END_OF_LIFE.get(minor, (datetime.MAXYEAR, 12))
    if today <= datetime.date(year, month, calendar.monthrange(year, month)[1]):
        return None
    return (
        f"The base image {base} has CPython {minor}, whose end of life was in {calendar.month_name[month]} {year}: "
        "it gets no more fixes, not even of security.\n\n"
        "To fix, move the resolve and `base_image` to a newer Python; `[slim-ray].warn_end_of_life` silences this."
    )
