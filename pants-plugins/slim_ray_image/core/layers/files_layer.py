"""Stage 4 of 6: request and result of the program that writes the layer of large first-party files."""

from __future__ import annotations

from dataclasses import dataclass

from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob


@dataclass(frozen=True)
class FilesLayerRequest:
    """A request for the layer of large first-party files.

    Attributes:
        files: Paths of the files, relative to the working directory.
        workdir: Working directory of the image, absolute.
    """

    files: tuple[str, ...]
    workdir: str
    base: LayerBase


@dataclass(frozen=True)
class FilesLayerResult:
    """A result of writing the layer of large first-party files."""

    blob: LayerBlob
