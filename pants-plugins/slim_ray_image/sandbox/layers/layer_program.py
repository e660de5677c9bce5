"""Stage 4 of 6: a layer's blob, written whole or not at all."""

from __future__ import annotations

from typing import Callable, TypeVar

from slim_ray_image.core.layers.layer_blob import BLOB, LayerBase, LayerBlob
from slim_ray_image.sandbox.layers.deterministic_tar import LayerWriter
from slim_ray_image.sandbox.report import whole_file

T = TypeVar("T")


def write_blob(write: Callable[[LayerWriter], T], base: LayerBase) -> tuple[LayerBlob, T]:
    """Write the blob by `write`, and return what it is, and what `write` returned."""
    with whole_file(BLOB) as file:
        writer = LayerWriter(file, base.timestamp)
        found = write(writer)
        digest, diff_id, size = writer.close()
    return LayerBlob(digest, size, diff_id, writer.unpacked_bytes, writer.file_count), found
