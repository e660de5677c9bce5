"""Stage 4 of 6: input and output of the program that writes the layer of large first-party files."""

from __future__ import annotations

from dataclasses import dataclass

from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob


@dataclass(frozen=True)
class FilesLayerRequest:
    """Input of the program that writes the layer of large first-party files, such as a model's weights.

    Attributes:
        files: Paths of the files, relative to the working directory.
        workdir: Working directory of the image, absolute.
    """

    files: tuple[str, ...]
    workdir: str
    base: LayerBase


@dataclass(frozen=True)
class FilesLayerResult:
    """Output of the program that writes the layer of large first-party files: the layer's blob."""

    blob: LayerBlob
