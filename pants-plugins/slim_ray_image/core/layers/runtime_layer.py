"""Stage 4 of 6: input and output of the program that writes the layer `runtime`: `wget` and bytecode."""

from __future__ import annotations

from dataclasses import dataclass

from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob

# Path in the sandbox of the program from `in_image/`.
WGET = "wget.py"


@dataclass(frozen=True)
class RuntimeLayerRequest:
    """Input of the program that writes the layer `runtime`: `wget` and bytecode that the base image lacks.

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
    """Output of the program that writes the layer `runtime`: its blob, and patterns of `exclude_files` that matched.

    Attributes:
        matched: Patterns of `exclude_files` that matched a path, sorted.
    """

    blob: LayerBlob
    matched: tuple[str, ...]
