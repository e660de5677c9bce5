"""Stage 1 of 6: request and result of the program that reads the layers of a base image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Mapping

FACTS = "base.json"
# Folder of the base's own interpreter in sandboxes: of the program that writes the folder, and of programs that run on
# the interpreter.
BASE = "base"


@dataclass(frozen=True)
class BaseFactsRequest:
    """A request for a base image's Python interpreter, and for facts such as its glibc version and its users.

    Attributes:
        reference: Reference of the base image, for messages.
        blobs: Paths of the base's layers in the sandbox, lowest first.
        platform: Platform of the image, such as "linux/amd64".
        environment: Environment variables in the base's config, such as PATH.
    """

    reference: str
    blobs: tuple[str, ...]
    platform: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class MarkerEnvironment:
    """Values that the variables of environment markers, such as `python_version`, have in the image.

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
        """Return marker variable -> value, in the form that `packaging` evaluates markers with."""
        return asdict(self)


@dataclass(frozen=True)
class LayerSize:
    """Total bytes and number of the regular files in one layer, including files that a layer above hides."""

    unpacked_bytes: int
    file_count: int


@dataclass(frozen=True)
class BaseFacts:
    """Facts of a base image that a build needs, such as its Python, its glibc, its directories and its users.

    Attributes:
        launcher: Path in `BASE` of the program that runs the interpreter.
        python: Path of the interpreter in the image.
        python_version: Version of the interpreter, such as "3.10.18".
        glibc: Version of glibc, such as "2.36".
        directories: Paths of all directories and of all symlinks to directories, sorted.
        commands: Names of the entries of /usr/local/bin, sorted.
        programs: (command, path) of the commands on PATH outside the interpreter's directory, sorted.
        has_bytecode: Whether the base has bytecode of the standard library.
        passwd: Text of /etc/passwd.
        group: Text of /etc/group.
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
