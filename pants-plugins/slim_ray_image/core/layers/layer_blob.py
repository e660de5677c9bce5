"""Stage 4 of 6: the parts of request and result that all programs that write layers share."""

from __future__ import annotations

from dataclasses import dataclass

BLOB = "layer.tar.gz"
RESULT = "layer.json"


@dataclass(frozen=True)
class LayerBase:
    """Facts of the base that the bytes of a layer depend on, and no more: they are part of the layer's cache key.

    Attributes:
        python: Path of the interpreter in the image.
        directories: Directories of the base that may be parents of the layer's paths, sorted.
        timestamp: Modification time of every entry of the layer, in seconds since 1970.
    """

    python: str
    python_version: str
    directories: tuple[str, ...]
    timestamp: int = 0


@dataclass(frozen=True)
class LayerBlob:
    """A layer's blob (https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md).

    Attributes:
        digest: Digest of the compressed blob.
        size: Size of the compressed blob, in bytes.
        diff_id: Digest of the uncompressed tar.
        unpacked_bytes: Sum of the sizes of the layer's regular files.
        file_count: Number of the layer's regular files.
    """

    digest: str
    size: int
    diff_id: str
    unpacked_bytes: int
    file_count: int
