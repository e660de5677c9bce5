"""Stage 6 of 6: what the field `outputs` and the option `[slim-ray].outputs` may say."""

from __future__ import annotations

from typing import Iterable

from slim_ray_image.core.errors import InvalidValueError

LAYOUT = "layout"
SPARSE_LAYOUT = "sparse-layout"
ARCHIVE = "archive"
PEX = "pex"
_OUTPUTS = (ARCHIVE, LAYOUT, PEX, SPARSE_LAYOUT)


def parse_outputs(names: Iterable[str]) -> frozenset[str]:
    """Return what to write besides image.json.

    Raises:
        InvalidValueError: If a name is not known, or two of them are one folder.
    """
    outputs = frozenset(names)
    unknown = sorted(outputs - set(_OUTPUTS))
    if unknown:
        raise InvalidValueError(
            f"must hold {', '.join(map(repr, _OUTPUTS))} or nothing, but has {', '.join(map(repr, unknown))}.",
            fixes=["correct the names, as ['layout'], or use [] to write image.json alone"],
        )
    if {LAYOUT, SPARSE_LAYOUT} <= outputs:
        raise InvalidValueError(
            "must not hold both 'layout' and 'sparse-layout', which are one folder, `oci/`, with and without the "
            "base's layers.",
            fixes=["remove one of the two"],
        )
    return outputs
