"""Stages 1 and 3 of 6: inputs of the programs that download uv or run it, such as the URLs of package indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

# Folder of a named cache of Pants, which all builds on this machine share.
UV_CACHE = ".uv-cache"


@dataclass(frozen=True)
class NetworkPlaces:
    """URLs, without credentials, of the package indexes and pages of links that have distributions; and a CA bundle.

    Attributes:
        indexes: URLs of package indexes, in order.
        find_links: URLs of pages of links, in order.
        certificates: Path of a CA bundle in the sandbox; "" if there is none.
    """

    indexes: tuple[str, ...]
    find_links: tuple[str, ...]
    certificates: str


@dataclass(frozen=True)
class FetchUvRequest:
    """Input of the program that downloads uv, the installer of Python distributions.

    Attributes:
        lockfile: Path in the sandbox of a requirements file that pins uv with hashes.
    """

    lockfile: str
    places: NetworkPlaces


@dataclass(frozen=True)
class UvCall:
    """Inputs of a run of uv: its executable, package indexes, cache, and the platform that it installs for.

    Attributes:
        executable: Path of uv in the sandbox.
        platform: Platform of the base, such as "linux/amd64"; None to install for this host.
        glibc: Version of the base's glibc, such as "2.36"; None to install for this host.
        cache: Folder of uv's cache in the sandbox.
    """

    executable: str
    places: NetworkPlaces
    platform: Optional[str] = None
    glibc: Optional[str] = None
    cache: str = UV_CACHE
