"""Stages 1 and 3 of 6: the part of a request that a program needs to run uv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

# Folder of a named cache of Pants, which all builds on this machine share.
UV_CACHE = ".uv-cache"


@dataclass(frozen=True)
class NetworkPlaces:
    """Places to look for distributions. The URLs contain no credentials.

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
    """A request for uv itself.

    Attributes:
        lockfile: Path in the sandbox of a requirements file that pins uv with hashes.
    """

    lockfile: str
    places: NetworkPlaces


@dataclass(frozen=True)
class UvCall:
    """The executable of uv, and the options that depend on the machine that it installs for.

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
