"""Stages 1 and 3 of 6: what a program that runs uv is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

# A named cache of Pants, shared by every build on this machine.
UV_CACHE = ".uv-cache"


@dataclass(frozen=True)
class NetworkPlaces:
    """Where distributions are looked for; URLs are without logins.

    Attributes:
        certificates: A CA bundle in the sandbox, or "".
    """

    indexes: tuple[str, ...]
    find_links: tuple[str, ...]
    certificates: str


@dataclass(frozen=True)
class FetchUvRequest:
    """A request for uv itself.

    Attributes:
        lockfile: A requirements file in the sandbox that pins uv with hashes.
    """

    lockfile: str
    places: NetworkPlaces


@dataclass(frozen=True)
class UvCall:
    """How uv is called.

    Attributes:
        executable: In the sandbox.
        platform: Of the base, as "linux/amd64"; None for this host.
        glibc: Of the base; None for this host.
        cache: The folder of uv's cache, in the sandbox.
    """

    executable: str
    places: NetworkPlaces
    platform: Optional[str] = None
    glibc: Optional[str] = None
    cache: str = UV_CACHE
