"""Stage 4 of 6: inputs and outputs of the programs that write layers of Python distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob

# Output files of the program that writes a slice.
SLICE = "slice.deflate"
SLICE_RESULT = "slice.json"


@dataclass(frozen=True)
class PieceRequest:
    """A piece to write into a layer: a distribution, or one part of it, such as Ray's Java JARs.

    Attributes:
        key: Name of the piece in the result. Pieces are written in the order of their keys.
        file: File name of the wheel.
        sha256: SHA-256 of the wheel, in hex.
        name: Canonical name of the distribution.
        part: Name of the part; "" for the distribution without its parts.
    """

    key: str
    file: str
    sha256: str
    name: str
    part: str


@dataclass(frozen=True)
class PiecesRequest:
    """Input of the programs that write distributions, or parts of them, as a layer or as a slice of a shared layer.

    Attributes:
        prune: Names of the fixed rules to apply, sorted.
        exclude_files: Absolute patterns of paths to leave out.
        bytecode: Whether to add the bytecode of the modules.
        commands: Names in `image_paths.LINKED_SCRIPTS` that the base has already; no link is made for them.
    """

    pieces: tuple[PieceRequest, ...]
    prune: tuple[str, ...]
    exclude_files: tuple[str, ...]
    bytecode: bool
    commands: tuple[str, ...]
    base: LayerBase


@dataclass(frozen=True)
class Saved:
    """Total bytes and number of the files that are left out of an image or a layer; bytecode is not counted."""

    bytes: int = 0
    files: int = 0

    def __add__(self, other: Saved) -> Saved:
        return Saved(self.bytes + other.bytes, self.files + other.files)


@dataclass(frozen=True)
class SavedRow:
    """Size of the files that a distribution or part is written without, by a rule of `prune` or as a separate part.

    Attributes:
        key: Key of the piece.
        name: Name of the rule or the part.
    """

    key: str
    name: str
    saved: Saved


@dataclass(frozen=True)
class PiecesFacts:
    """Facts of the written distributions or parts: sizes, files left out, and patterns of `exclude_files` that matched.

    Attributes:
        compressed_bytes_of: Key of a piece -> its bytes in the blob.
        unpacked_bytes_of: Key of a piece -> its unpacked bytes, without bytecode.
        pruned: Savings of each rule in each piece.
        parts: Size of each part that a piece was written without, before pruning.
        matched: Patterns of `exclude_files` that matched a path, sorted.
    """

    compressed_bytes_of: Mapping[str, int]
    unpacked_bytes_of: Mapping[str, int]
    pruned: tuple[SavedRow, ...]
    parts: tuple[SavedRow, ...]
    matched: tuple[str, ...]


@dataclass(frozen=True)
class DistributionLayerResult:
    """Output of the program that writes a layer of one piece: a distribution, or one part of it."""

    blob: LayerBlob
    facts: PiecesFacts


@dataclass(frozen=True)
class SliceResult:
    """Output of the program that writes a slice: some of the small distributions that share a layer.

    Attributes:
        directories: Directories that the slice needs and the base lacks, sorted.
        unpacked_bytes: Sum of the sizes of the slice's regular files.
        file_count: Number of the slice's regular files.
    """

    directories: tuple[str, ...]
    unpacked_bytes: int
    file_count: int
    facts: PiecesFacts


@dataclass(frozen=True)
class JoinRequest:
    """Input of the program that joins slices (groups of small distributions) and the virtual environment to a layer.

    Attributes:
        slices: Paths of the slices in the sandbox, in order.
        directories: Directories that the slices need and the base lacks, sorted.
        unpacked_bytes: Sum of the sizes of the regular files in all slices.
        file_count: Number of the regular files in all slices.
    """

    slices: tuple[str, ...]
    directories: tuple[str, ...]
    unpacked_bytes: int
    file_count: int
    base: LayerBase


@dataclass(frozen=True)
class JoinResult:
    """Output of the program that joins slices (groups of small distributions) to one layer: the layer's blob."""

    blob: LayerBlob
