"""Stage 4 of 6: what the process of the layer of large first-party files is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass

from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob


@dataclass(frozen=True)
class FilesLayerRequest:
    """A request for the layer of large first-party files, by their paths below the working directory."""

    files: tuple[str, ...]
    workdir: str
    base: LayerBase


@dataclass(frozen=True)
class FilesLayerResult:
    """The written layer."""

    blob: LayerBlob
