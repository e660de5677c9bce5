"""Stage 4 of 6: writes a layer's blob, whole or not at all."""

from __future__ import annotations

from typing import Callable, TypeVar

from slim_ray_image.core.layers.layer_blob import BLOB, LayerBase, LayerBlob
from slim_ray_image.sandbox.layers.deterministic_tar import LayerWriter
from slim_ray_image.sandbox.report import whole_file

T = TypeVar("T")


def write_blob(write: Callable[[LayerWriter], T], base: LayerBase) -> tuple[LayerBlob, T]:
    """Write the blob of a layer, whose entries `write` adds; return the blob's description and the value of `write`."""
    with whole_file(BLOB) as file:
        writer = LayerWriter(file, base.timestamp)
        found = write(writer)
        digest, diff_id, size = writer.close()
    return LayerBlob(digest, size, diff_id, writer.unpacked_bytes, writer.file_count), found
