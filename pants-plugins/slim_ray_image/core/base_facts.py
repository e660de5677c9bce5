"""Stage 1 of 6."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerSize:
    """Regular files of one layer, those that a layer above hides included."""

    unpacked_bytes: int
    file_count: int
