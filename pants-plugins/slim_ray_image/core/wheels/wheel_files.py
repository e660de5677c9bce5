"""Stage 2 of 6: request and result of the program that lists the files in wheels of `python_distribution`s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

RESULT = "wheel_files.json"


@dataclass(frozen=True)
class WheelFilesRequest:
    """A request for the files in wheels.

    Attributes:
        wheels: Paths of the wheels in the sandbox.
    """

    wheels: tuple[str, ...]


@dataclass(frozen=True)
class WheelFilesResult:
    """The files in wheels.

    Attributes:
        files: Path of a wheel -> paths of its files, relative to site-packages, sorted.
    """

    files: Mapping[str, tuple[str, ...]]
