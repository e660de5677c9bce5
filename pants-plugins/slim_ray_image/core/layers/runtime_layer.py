"""Stage 4 of 6: request and result of the program that writes the layer `runtime`."""

from __future__ import annotations

from dataclasses import dataclass

from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob

# Path in the sandbox of the program from `in_image/`.
WGET = "wget.py"


@dataclass(frozen=True)
class RuntimeLayerRequest:
    """A request for the layer `runtime`, which adds to a base the `wget` and the bytecode that it lacks.

    Attributes:
        wget: Whether to add the program `wget`.
        bytecode: Whether to add the bytecode of the standard library.
        exclude_files: Absolute patterns of paths to leave out.
    """

    wget: bool
    bytecode: bool
    exclude_files: tuple[str, ...]
    base: LayerBase


@dataclass(frozen=True)
class RuntimeLayerResult:
    """A result of writing the layer `runtime`.

    Attributes:
        matched: Patterns of `exclude_files` that matched a path, sorted.
    """

    blob: LayerBlob
    matched: tuple[str, ...]
