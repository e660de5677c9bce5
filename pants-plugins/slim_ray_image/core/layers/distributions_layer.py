"""Stage 4 of 6: what the process of a layer of distributions is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob

# A slice's own outputs.
SLICE = "slice.deflate"
SLICE_RESULT = "slice.json"


@dataclass(frozen=True)
class PieceRequest:
    """A request for a distribution, or for a part of it.

    Attributes:
        key: What the result calls it; pieces are written in the order of their keys.
        file: Of the wheel.
        name: Canonical.
        part: Its name; "" for all but the parts.
    """

    key: str
    file: str
    sha256: str
    name: str
    part: str


@dataclass(frozen=True)
class PiecesRequest:
    """A request for distributions, or parts of them, as a layer of their own or as a slice of one.

    Attributes:
        prune: Names of fixed rules.
        exclude_files: Absolute patterns.
        commands: Those of `image_paths.LINKED_SCRIPTS` that the base has itself.
    """

    pieces: tuple[PieceRequest, ...]
    prune: tuple[str, ...]
    exclude_files: tuple[str, ...]
    bytecode: bool
    commands: tuple[str, ...]
    base: LayerBase


@dataclass(frozen=True)
class Saved:
    """A sum of what a rule took from a distribution; bytes without bytecode."""

    bytes: int = 0
    files: int = 0

    def __add__(self, other: Saved) -> Saved:
        return Saved(self.bytes + other.bytes, self.files + other.files)


@dataclass(frozen=True)
class SavedRow:
    """A sum of what a rule took from a piece, or of what of it is in the layer of a part.

    Attributes:
        name: Of the rule or the part.
    """

    key: str
    name: str
    saved: Saved


@dataclass(frozen=True)
class PiecesFacts:
    """Facts of the pieces as they were written.

    Attributes:
        compressed_bytes_of: Key -> bytes of the blob.
        unpacked_bytes_of: Key -> bytes, without bytecode.
        pruned: By rule.
        parts: Of the pieces that are in the layer without their parts.
        matched: The patterns of `exclude_files` that took something, sorted.
    """

    compressed_bytes_of: Mapping[str, int]
    unpacked_bytes_of: Mapping[str, int]
    pruned: tuple[SavedRow, ...]
    parts: tuple[SavedRow, ...]
    matched: tuple[str, ...]


@dataclass(frozen=True)
class DistributionLayerResult:
    """A written layer of one piece."""

    blob: LayerBlob
    facts: PiecesFacts


@dataclass(frozen=True)
class SliceResult:
    """A written slice.

    Attributes:
        directories: Those that it needs and the base does not have, sorted.
        unpacked_bytes: Sum of its regular files.
        file_count: Their number.
    """

    directories: tuple[str, ...]
    unpacked_bytes: int
    file_count: int
    facts: PiecesFacts


@dataclass(frozen=True)
class JoinRequest:
    """A request for the layer of the virtual environment and of slices.

    Attributes:
        slices: Their files, in order.
        directories: Those that the slices need, sorted.
        unpacked_bytes: Of the slices together.
        file_count: Likewise.
    """

    slices: tuple[str, ...]
    directories: tuple[str, ...]
    unpacked_bytes: int
    file_count: int
    base: LayerBase


@dataclass(frozen=True)
class JoinResult:
    """The written layer."""

    blob: LayerBlob
