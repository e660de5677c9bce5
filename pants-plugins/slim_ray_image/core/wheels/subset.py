"""Stage 3 of 6: what the program that finds the part of a lock is told; `core/wheels/wheels.py` has what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from slim_ray_image.core.wheels.uv_call import UvCall


@dataclass(frozen=True)
class SubsetRequest:
    """A request for the part of a lock that some requirements need.

    Attributes:
        address: Who requires, for errors.
        added_extras: Those that no requirement of the repository names, with their reasons, for errors.
        base: Its name, for errors.
        host_built: Canonical names of what may be built on this machine.
        lockfile: In the sandbox.
        lockfile_path: In the repository.
        marker_environment: The image's marker variables.
        requirements: PEP 508.
        python_version: The base's, as "3.10.18".
    """

    address: str
    added_extras: tuple[str, ...]
    base: str
    host_built: tuple[str, ...]
    lockfile: str
    lockfile_path: str
    marker_environment: Mapping[str, str]
    requirements: tuple[str, ...]
    resolve: str
    platform: str
    python_version: str
    glibc: str
    uv: UvCall
