"""Stage 4 of 6: what every layer's process is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass

BLOB = "layer.tar.gz"
RESULT = "layer.json"


@dataclass(frozen=True)
class LayerBase:
    """Facts of the base that a layer must know, and no more: they are part of the layer's cache key.

    Attributes:
        python: The interpreter's path in the image.
        directories: Those of the base that the layer's paths are below, sorted.
        timestamp: The time of every entry of the layer, in seconds since 1970.
    """

    python: str
    python_version: str
    directories: tuple[str, ...]
    timestamp: int = 0


@dataclass(frozen=True)
class LayerBlob:
    """A layer's blob (https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md).

    Attributes:
        size: In bytes, as `digest` of the blob itself.
        diff_id: Digest of the uncompressed tar.
        unpacked_bytes: Sum of its regular files.
        file_count: Their number.
    """

    digest: str
    size: int
    diff_id: str
    unpacked_bytes: int
    file_count: int
