"""Stage 4 of 6: what the process of the layer of the runtime is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass

from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob

# The program of `in_image/` in the sandbox.
WGET = "wget.py"


@dataclass(frozen=True)
class RuntimeLayerRequest:
    """A request for what the base lacks.

    Attributes:
        wget: Whether that is the program `wget`.
        bytecode: Whether it is the bytecode of the standard library.
        exclude_files: Absolute patterns.
    """

    wget: bool
    bytecode: bool
    exclude_files: tuple[str, ...]
    base: LayerBase


@dataclass(frozen=True)
class RuntimeLayerResult:
    """The written layer.

    Attributes:
        matched: The patterns of `exclude_files` that took something, sorted.
    """

    blob: LayerBlob
    matched: tuple[str, ...]
