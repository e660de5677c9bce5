"""Stage 3 of 6: inputs and outputs of the programs that find, fetch, describe and pack wheels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Mapping, Optional, Sequence

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.uv_call import NetworkPlaces

PEX = "requirements.pex"


@dataclass(frozen=True)
class LockedWheel:
    """A wheel (.whl file) that the lockfile pins by its hash.

    Attributes:
        name: Canonical name of the distribution (PEP 503).
        file: File name of the wheel on the index.
        sha256: SHA-256 of the wheel, in hex.
        byte_count: Size in bytes; None if neither the lock nor the index gives it.
        url: URL of the wheel without credentials; "" if it has to be looked up on an index.
    """

    name: str
    version: str
    file: str
    sha256: str
    byte_count: Optional[int]
    url: str


def other_hash_error(evidence: Sequence[str]) -> SlimRayImageError:
    """Return the error for a distribution's file whose hash is not in the lockfile."""
    return SlimRayImageError(
        "A distribution does not match the lockfile: the lockfile does not have its hash.",
        evidence=evidence,
        fixes=[
            "find out who changed the file on the index; if the change is intended, refresh the lockfile"
        ],
    )


@dataclass(frozen=True)
class LockedWheels:
    """The part of a lockfile that an image needs: its wheels, and the distributions to build from source.

    Attributes:
        wheels: Wheels, sorted by name.
        built: "name version" of each distribution that has no wheel and is to be built, sorted.
        is_pex_lock: Whether the lock is a Pex lock.
        was_cache_changed: Whether uv's cache differed from the indexes, and was emptied.
    """

    wheels: tuple[LockedWheel, ...]
    built: tuple[str, ...]
    is_pex_lock: bool
    was_cache_changed: bool = False


@dataclass(frozen=True)
class FetchRequest:
    """Input of the program that downloads wheels or takes them from its cache."""

    wheels: tuple[LockedWheel, ...]
    places: NetworkPlaces


@dataclass(frozen=True)
class FetchResult:
    """Facts about fetched wheels: the files that had changed in the cache and were fetched again.

    Attributes:
        replaced: Names of files whose content in the cache did not match the hash in their name; fetched again.
    """

    replaced: tuple[str, ...]


@dataclass(frozen=True)
class DescribeRequest:
    """Input of the program that reads facts from wheels, such as modules and sizes.

    Attributes:
        wheels: (file name, SHA-256 in hex) of each wheel.
        site_packages: Path of site-packages in the image.
        marker_environment: Marker variables of the image.
    """

    wheels: tuple[tuple[str, str], ...]
    site_packages: str
    marker_environment: Mapping[str, str]


@dataclass(frozen=True)
class Need:
    """A requirement of a distribution for another one, on the image's platform. Names are canonical (PEP 503).

    Attributes:
        name: Name of the required distribution.
        extras: Extras of the required distribution, sorted.
        without_extras: Whether the requirement applies if no extra of the requiring distribution is wanted.
        is_of_extras: Whether the requirement depends on extras of the requiring distribution.
        with_extras: Extras of the requiring distribution with which the requirement applies, sorted.
    """

    name: str
    extras: tuple[str, ...]
    without_extras: bool
    is_of_extras: bool
    with_extras: tuple[str, ...]

    def applies(self, wanted: Collection[str]) -> bool:
        """Return whether the requirement applies if these extras of the requiring distribution are wanted."""
        if not wanted or not self.is_of_extras:
            return self.without_extras
        return any(extra in self.with_extras for extra in wanted)


@dataclass(frozen=True)
class WheelFacts:
    """Facts read from a wheel, such as requirements, modules and sizes; they are the same in every service.

    Attributes:
        file: File name of the wheel.
        name: Canonical name of the distribution.
        unpacked_bytes: Sum of the sizes of its files.
        needs: Requirements for other distributions, in the order of METADATA.
        requires_python: Value of Requires-Python; "" if there is none.
        modules: Names of the outermost modules, sorted.
        scripts: Names of the commands, sorted.
        part_bytes: Name of a part -> its bytes; empty if the distribution has no parts.
        roots: Outermost paths of the files in the image, sorted.
        uses: Names below distributions with parts that the modules use, sorted.
        files: (path in the image, hash as RECORD spells it) of each file, sorted.
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
    """Output of the program that reads facts from wheels: those of each wheel, in the order of the input."""

    wheels: tuple[WheelFacts, ...]


@dataclass(frozen=True)
class PexRequest:
    """Input of the program that packs an image's wheels, unchanged, into a PEX: a folder that Python can run.

    Attributes:
        requirements: `name==version` of each distribution.
        excluded: Names of distributions that the repository's wheels require and whose code is among the sources.
        sha256: File name of each wheel -> its SHA-256 in hex.
    """

    requirements: tuple[str, ...]
    excluded: tuple[str, ...]
    sha256: Mapping[str, str]
