"""Stage 4 of 6: writes a slice: some of the small distributions that share a layer, compressed on their own.

In: wheels. Out: slice.deflate, with the entries of the wheels except directories, and slice.json.
"""

from __future__ import annotations

from slim_ray_image.core.layers.distributions_layer import (
    SLICE,
    SLICE_RESULT,
    PiecesRequest,
    SliceResult,
)
from slim_ray_image.sandbox.layers.install_pieces import install_pieces
from slim_ray_image.sandbox.layers.slices import SliceWriter
from slim_ray_image.sandbox.report import run_program, whole_file, write_result


def main(request: PiecesRequest) -> None:
    """Write slice.deflate, some of the small distributions that share a layer, and slice.json, its description."""
    pieces = install_pieces(request)
    with whole_file(SLICE) as file:
        writer = SliceWriter(file, request.base.timestamp)
        facts = pieces.write(writer)
        writer.flush()
    write_result(
        SLICE_RESULT,
        SliceResult(pieces.directories, writer.unpacked_bytes, writer.file_count, facts),
    )


if __name__ == "__main__":
    run_program(main, PiecesRequest)
