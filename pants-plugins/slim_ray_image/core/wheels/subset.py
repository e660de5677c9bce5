"""Stage 3 of 6: input of the program that selects the part of a lockfile that an image needs.

`core/wheels/wheels.py` has the output, `LockedWheels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from slim_ray_image.core.wheels.uv_call import UvCall


@dataclass(frozen=True)
class SubsetRequest:
    """Input of the program that selects the part of a lockfile that an image's requirements need.

    Attributes:
        address: Address of the target that has the requirements, for errors.
        added_extras: Extras that the code needs and no requirement of the repository names, with reasons, for errors.
        base: Reference of the base image, for errors.
        host_built: Canonical names of the distributions that may be built on this machine.
        lockfile: Path of the lockfile in the sandbox.
        lockfile_path: Path of the lockfile in the repository.
        marker_environment: Marker variables of the image.
        requirements: Requirements in the syntax of PEP 508.
        resolve: Name of the resolve that the lockfile belongs to.
        platform: Platform of the image, such as "linux/amd64".
        python_version: Version of the base's Python, such as "3.10.18".
        glibc: Version of the base's glibc, such as "2.36".
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
