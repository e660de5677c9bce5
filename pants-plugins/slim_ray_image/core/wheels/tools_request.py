"""Stage 1 of 6: what the program that installs the tools of this plugin is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from slim_ray_image.core.wheels.uv_call import UvCall


@dataclass(frozen=True)
class InstallToolsRequest:
    """A request for tools.

    Attributes:
        source_lockfile: What has no wheel and is built first; None where everything has one.
        build_lockfile: What builds it.
        python_version: Of the base; None for the Python that the program runs on.
    """

    lockfile: str
    source_lockfile: Optional[str]
    build_lockfile: Optional[str]
    python_version: Optional[str]
    uv: UvCall
