"""Stage 1 of 6: input of the program that installs the distributions that the plugin's own programs import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from slim_ray_image.core.wheels.uv_call import UvCall


@dataclass(frozen=True)
class InstallToolsRequest:
    """Input of the program that installs the distributions that the plugin's own programs import (its tools).

    Attributes:
        lockfile: Lockfile of the tools that have a wheel, in the sandbox.
        source_lockfile: Lockfile of the tools that have no wheel and are built first; None if every tool has a wheel.
        build_lockfile: Lockfile of the build requirements of `source_lockfile`; None if there is no `source_lockfile`.
        python_version: Minor version of the base's Python; None to install for the Python that runs the program.
    """

    lockfile: str
    source_lockfile: Optional[str]
    build_lockfile: Optional[str]
    python_version: Optional[str]
    uv: UvCall
