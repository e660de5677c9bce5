"""Stage 6 of 6: the forms in which an image can be written, from the field or option `outputs`."""

from __future__ import annotations

from typing import Iterable

from slim_ray_image.core.errors import InvalidValueError

LAYOUT = "layout"
SPARSE_LAYOUT = "sparse-layout"
ARCHIVE = "archive"
PEX = "pex"
_OUTPUTS = (ARCHIVE, LAYOUT, PEX, SPARSE_LAYOUT)


def parse_outputs(names: Iterable[str]) -> frozenset[str]:
    """Return the forms in which to write an image, such as "layout", besides image.json.

    Raises:
        InvalidValueError: If a name is unknown, or two outputs would write the same folder.
    """
    outputs = frozenset(names)
    unknown = sorted(outputs - set(_OUTPUTS))
    if unknown:
        raise InvalidValueError(
            f"must contain only {', '.join(map(repr, _OUTPUTS))}, but has {', '.join(map(repr, unknown))}.",
            fixes=[
                "correct the names, for example to ['layout'], or use [] to write image.json alone"
            ],
        )
    if {LAYOUT, SPARSE_LAYOUT} <= outputs:
        raise InvalidValueError(
            "must not contain both 'layout' and 'sparse-layout': both are the folder `oci/`, with and without the "
            "base's layers.",
            fixes=["remove one of the two"],
        )
    return outputs
