"""`pants check`: request and result of the program that tries Python imports on the files of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

RESULT = "imports.json"
# Folder of first-party files, in the sandbox.
FIRST_PARTY = "first_party"


@dataclass(frozen=True)
class ImportJob:
    """A Python import to try: a module, with a name that it must define or the script file that it is.

    Attributes:
        attribute: Name that the module must define, dotted for a name inside another.
        script: First-party file, relative to the working directory, for a module that the image runs as a program.
        is_by_path: Whether the image runs the script by its path, so that the script is no part of a package.
    """

    module: str
    attribute: Optional[str]
    script: Optional[str]
    is_by_path: bool


@dataclass(frozen=True)
class Frame:
    """A line of a file in the image, from the traceback of a failed import.

    Attributes:
        path: Absolute in the image.
        text: The source line without blanks around it; "" where it cannot be read.
    """

    path: str
    line: int
    text: str


@dataclass(frozen=True)
class ImportOutcome:
    """The failure of a Python import: its error, its cause, and the lines of the image's files in the traceback.

    Attributes:
        error: Name of the exception's class; "" for an import that ended the process.
        text: Message of the exception, or how the process ended.
        is_of_content: Whether the cause lies in the image's content, wherever the image runs.
        missing: Modules that were not found, from the exception to its root cause.
        wanted: A thing outside the image that the import asked for, such as "the network".
        frames: Innermost first.
    """

    error: str
    text: str
    is_of_content: bool
    missing: tuple[str, ...] = ()
    wanted: Optional[str] = None
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True)
class ImportModulesRequest:
    """A request to try Python imports on the files of an image, in a process on this machine.

    Attributes:
        layers: Folders in the sandbox, one for each layer, with the files of the virtual environment in the layer.
        venv: Path of the virtual environment in the image.
        site_packages: Path of site-packages, relative to `venv`.
        workdir: Path of first-party files in the image.
        environment: Environment variables of the image config.
    """

    jobs: tuple[ImportJob, ...]
    layers: tuple[str, ...]
    venv: str
    site_packages: str
    workdir: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class ImportModulesResult:
    """Results of Python imports: their failures, and the shared libraries loaded from outside the image.

    Attributes:
        outcomes: In the order of the jobs; None for an import that succeeded.
        outside: Shared objects that the process mapped from outside the image, sorted.
    """

    outcomes: tuple[Optional[ImportOutcome], ...]
    outside: tuple[str, ...]
