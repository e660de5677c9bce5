"""Stage 4 of 6: the facts of the base image that programs that write layers get, and the facts that they return."""

from __future__ import annotations

from dataclasses import dataclass

BLOB = "layer.tar.gz"
RESULT = "layer.json"


@dataclass(frozen=True)
class LayerBase:
    """The facts of the base image that a layer's bytes depend on, and no others: they are part of its cache key.

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
    """Digests, sizes and number of files of a written layer, which is a compressed tar (a blob).

    Format: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md.

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
