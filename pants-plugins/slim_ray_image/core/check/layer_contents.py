"""Contents of a layer, as `sandbox/check/list_layer.py` lists them, and contents of an image of such layers.

In: the contents of each layer, lowest first. Out: the entries that a container sees, and the distributions of our
layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Optional

from slim_ray_image.core.image.root_filesystem import RootFilesystem

RESULT = "layer_contents.json"
# Folder of the files of an unpacked layer.
UNPACKED = "files"

KIND_DIRECTORY = "directory"
KIND_FILE = "file"
KIND_SYMLINK = "symlink"
KIND_OTHER = "other"

_ANY_EXECUTE = 0o111


@dataclass(frozen=True)
class ListRequest:
    """A request to list the files and the Python distributions in a layer of an image.

    Attributes:
        blob: File of the layer, in the sandbox.
    """

    blob: str


@dataclass(frozen=True)
class UnpackRequest:
    """A request to unpack the regular files that a layer has below one folder of the image.

    Attributes:
        blob: File of the layer, in the sandbox.
        folder: Absolute path in the image.
    """

    blob: str
    folder: str


@dataclass(frozen=True)
class Elf:
    """The dynamic section of an ELF file (https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html).

    Attributes:
        machine: Machine and word size, such as "EM_X86_64/64". A loader maps only files for its own machine.
        needed: DT_NEEDED, in order.
        search: Directories of DT_RUNPATH, else of DT_RPATH, unexpanded.
    """

    machine: str
    needed: tuple[str, ...]
    soname: Optional[str]
    search: tuple[str, ...]


@dataclass(frozen=True)
class ImageFile:
    """A file, directory, symlink or other entry of a layer. Only the few files that a check reads have a `text`."""

    kind: str
    mode: int
    uid: int
    gid: int
    link: Optional[str] = None
    elf: Optional[Elf] = None
    text: Optional[str] = None

    @property
    def is_directory(self) -> bool:
        return self.kind == KIND_DIRECTORY

    @property
    def is_executable(self) -> bool:
        return self.kind == KIND_FILE and bool(self.mode & _ANY_EXECUTE)


@dataclass(frozen=True)
class LayerDistribution:
    """A Python distribution whose metadata (METADATA, RECORD and so on) is in a layer of an image.

    Attributes:
        name: Canonical (PEP 503).
        requires: Lines of Requires-Dist.
        scripts: Console scripts as (command, "module:attribute"), sorted.
        binaries: Absolute paths of the files in RECORD whose names allow for an ELF file.
    """

    name: str
    version: str
    requires: tuple[str, ...]
    scripts: tuple[tuple[str, str], ...]
    binaries: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class LayerContents:
    """Entries of a layer, named as in its tar and with whiteouts, and the Python distributions in the layer."""

    entries: tuple[tuple[str, ImageFile], ...]
    distributions: tuple[LayerDistribution, ...]


@dataclass(frozen=True)
class ImageContents:
    """Contents of an image, as a container of the image sees them.

    Attributes:
        files: Entries of all layers.
        own: Paths of the entries that our layers add or replace, with symlinks of directories resolved.
        distributions: Distributions of our layers, sorted by name.
    """

    files: RootFilesystem[ImageFile]
    own: frozenset[str]
    distributions: tuple[LayerDistribution, ...]

    def has_command(self, path: str) -> bool:
        entry = self.files.find(path)
        return entry is not None and entry.is_executable


def image_contents(
    base_layers: Iterable[LayerContents], own_layers: Iterable[LayerContents]
) -> ImageContents:
    """Return the contents of an image that has the base image's layers and then ours, each lowest first."""
    files: RootFilesystem[ImageFile] = RootFilesystem()
    for layer in base_layers:
        files.apply(layer.entries)
    of_base = dict(files.entries)
    distributions: list[LayerDistribution] = []
    for layer in own_layers:
        files.apply(layer.entries)
        distributions += layer.distributions
    own = frozenset(path for path, e in files.entries.items() if of_base.get(path) is not e)
    return ImageContents(files, own, tuple(sorted(distributions, key=lambda d: d.name)))
