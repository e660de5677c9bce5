"""Stage 2 of 6: input and output of the program that lists the files inside wheels of `python_distribution`s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

RESULT = "wheel_files.json"


@dataclass(frozen=True)
class WheelFilesRequest:
    """Input of the program that lists the files inside wheels (.whl files).

    Attributes:
        wheels: Paths of the wheels in the sandbox.
    """

    wheels: tuple[str, ...]


@dataclass(frozen=True)
class WheelFilesResult:
    """Output of the program that lists the files inside wheels (.whl files).

    Attributes:
        files: Path of a wheel -> paths of its files, relative to site-packages, sorted.
    """

    files: Mapping[str, tuple[str, ...]]
