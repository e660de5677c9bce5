"""Stage 3 of 6: what the programs that find, fetch, describe and pack wheels are told, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Mapping, Optional, Sequence

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.uv_call import NetworkPlaces

PEX = "requirements.pex"


@dataclass(frozen=True)
class LockedWheel:
    """A wheel that the lock has.

    Attributes:
        name: Canonical (PEP 503).
        file: Its name on the index.
        byte_count: None where neither lock nor index says it.
        url: Where it is, without a login; "" where only an index knows.
    """

    name: str
    version: str
    file: str
    sha256: str
    byte_count: Optional[int]
    url: str


def other_hash_error(evidence: Sequence[str]) -> SlimRayImageError:
    """Return the error for a wheel that is there with another hash than the lock has."""
    return SlimRayImageError(
        "A distribution is not what the lockfile says it is: its hash is not one the lock has.",
        evidence=evidence,
        fixes=[
            "find out who changed the file on the index; if the change is meant, refresh the lockfile"
        ],
    )


@dataclass(frozen=True)
class LockedWheels:
    """The part of a lock that an image needs.

    Attributes:
        wheels: Sorted by name.
        built: "name version" of what has no wheel and is to be built, sorted.
        is_pex_lock: Whether the lock is of Pex's format.
        was_cache_changed: Whether uv's cache had something else than what indexes say, and was emptied.
    """

    wheels: tuple[LockedWheel, ...]
    built: tuple[str, ...]
    is_pex_lock: bool
    was_cache_changed: bool = False


@dataclass(frozen=True)
class FetchRequest:
    """A request for wheels."""

    wheels: tuple[LockedWheel, ...]
    places: NetworkPlaces


@dataclass(frozen=True)
class FetchResult:
    """A result of fetching, besides the files.

    Attributes:
        replaced: Files that were in the cache and were not what their names say, fetched again.
    """

    replaced: tuple[str, ...]


@dataclass(frozen=True)
class DescribeRequest:
    """A request for what is in wheels.

    Attributes:
        wheels: (file, SHA-256).
        site_packages: In the image.
        marker_environment: The image's marker variables.
    """

    wheels: tuple[tuple[str, str], ...]
    site_packages: str
    marker_environment: Mapping[str, str]


@dataclass(frozen=True)
class Need:
    """A distribution that another requires on the image's platform. Names are canonical (PEP 503).

    Attributes:
        extras: Of the one that is required, sorted.
        without_extras: Whether it is required where no extra of the other is wanted.
        is_of_extras: Whether extras make a difference.
        with_extras: The extras of the other with which it is required, sorted.
    """

    name: str
    extras: tuple[str, ...]
    without_extras: bool
    is_of_extras: bool
    with_extras: tuple[str, ...]

    def applies(self, wanted: Collection[str]) -> bool:
        """Tell whether the other is required where these extras are wanted."""
        if not wanted or not self.is_of_extras:
            return self.without_extras
        return any(extra in self.with_extras for extra in wanted)


@dataclass(frozen=True)
class WheelFacts:
    """Facts of a wheel, the same in every service.

    Attributes:
        name: Canonical.
        needs: What it requires.
        requires_python: Its Requires-Python; "" where there is none.
        modules: The outermost ones, sorted.
        scripts: Commands, by name, sorted.
        part_bytes: Of a distribution that has parts, by name.
        roots: The outermost paths that it takes in the image.
        uses: Names below distributions with parts.
        files: (path in the image, its hash as RECORD spells it), sorted.
    """

    file: str
    name: str
    version: str
    unpacked_bytes: int
    file_count: int
    needs: tuple[Need, ...]
    requires_python: str
    modules: tuple[str, ...]
    scripts: tuple[str, ...]
    part_bytes: Mapping[str, int]
    roots: tuple[str, ...]
    uses: tuple[str, ...]
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DescribeResult:
    """Facts of wheels, in the order of the request."""

    wheels: tuple[WheelFacts, ...]


@dataclass(frozen=True)
class PexRequest:
    """A request for a PEX of wheels.

    Attributes:
        requirements: `name==version` of each.
        excluded: Names that wheels of the repository require and whose code is among the sources.
        sha256: File -> SHA-256 of each wheel.
    """

    requirements: tuple[str, ...]
    excluded: tuple[str, ...]
    sha256: Mapping[str, str]
