"""Stage 5 of 6: the layers of the base image, which are also the lowest layers of the image."""

from __future__ import annotations

import json
from typing import Sequence

from slim_ray_image.core.base.base_facts import LayerSize
from slim_ray_image.core.image.oci import BaseImage, BuiltLayer
from slim_ray_image.core.layers.kinds import KIND_BASE


def base_layers(base: BaseImage, sizes: Sequence[LayerSize]) -> tuple[BuiltLayer, ...]:
    """Return the layers of the base image, lowest first, with the names "base 1", "base 2" and so on.

    Args:
        sizes: Size of each layer, lowest first.
    """
    diff_ids = json.loads(base.config)["rootfs"]["diff_ids"]
    return tuple(
        BuiltLayer(
            name=f"base {number}",
            kind=KIND_BASE,
            descriptor=descriptor,
            diff_id=diff_id,
            unpacked_bytes=size.unpacked_bytes,
            file_count=size.file_count,
        )
        for number, (descriptor, diff_id, size) in enumerate(
            zip(base.layers, diff_ids, sizes), start=1
        )
    )
