"""Stage 1 of 6: what the program that reads a base's layers is told, and what it tells of the base."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Mapping

FACTS = "base.json"
# The folder of the base's own interpreter, in the sandbox of the program that writes it and of those that run on it.
BASE = "base"


@dataclass(frozen=True)
class BaseFactsRequest:
    """A request for the interpreter of a base image and the facts about it.

    Attributes:
        reference: The image's name, for messages.
        blobs: Paths of its layers in the sandbox, lowest first.
        environment: Variables of its containers, PATH among them.
    """

    reference: str
    blobs: tuple[str, ...]
    platform: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class MarkerEnvironment:
    """Values of the variables of environment markers, in the image.

    Spec: https://packaging.python.org/en/latest/specifications/dependency-specifiers/#environment-markers.
    """

    implementation_name: str
    implementation_version: str
    os_name: str
    platform_machine: str
    platform_python_implementation: str
    platform_release: str
    platform_system: str
    platform_version: str
    python_full_version: str
    python_version: str
    sys_platform: str

    def to_mapping(self) -> dict[str, str]:
        """Return variable -> value, which `packaging` evaluates markers with."""
        return asdict(self)


@dataclass(frozen=True)
class LayerSize:
    """Regular files of one layer, those that a layer above hides included."""

    unpacked_bytes: int
    file_count: int


@dataclass(frozen=True)
class BaseFacts:
    """Facts of a base that a build needs.

    Attributes:
        launcher: Path in `BASE` of the program that runs the interpreter.
        python: The interpreter's path in the image.
        glibc: Its version, such as "2.36".
        directories: Every directory, and every symlink to one, sorted.
        commands: Names in /usr/local/bin, sorted.
        programs: (command, path) of commands on PATH outside the interpreter's own directory.
        has_bytecode: Whether the standard library has its bytecode.
        passwd: The text of /etc/passwd.
        group: The text of /etc/group.
        layer_sizes: Size of each layer, lowest first.
    """

    launcher: str
    python: str
    python_version: str
    glibc: str
    marker_environment: MarkerEnvironment
    directories: tuple[str, ...]
    commands: tuple[str, ...]
    programs: tuple[tuple[str, str], ...]
    has_bytecode: bool
    passwd: str
    group: str
    layer_sizes: tuple[LayerSize, ...]
