"""Stage 4 of 6: writes the layer of one distribution, or of a part of one, such as Ray's Java JARs.

In: the wheel. Out: layer.tar.gz and layer.json.
"""

from __future__ import annotations

from slim_ray_image.core.layers.distributions_layer import (
    DistributionLayerResult,
    PiecesFacts,
    PiecesRequest,
)
from slim_ray_image.core.layers.layer_blob import RESULT
from slim_ray_image.sandbox.layers.deterministic_tar import Entry, LayerWriter
from slim_ray_image.sandbox.layers.install_pieces import InstalledPieces, install_pieces
from slim_ray_image.sandbox.layers.layer_program import write_blob
from slim_ray_image.sandbox.report import run_program, write_result


def _write(pieces: InstalledPieces, writer: LayerWriter) -> PiecesFacts:
    for directory in pieces.directories:
        writer.add(Entry(directory, is_directory=True))
    return pieces.write(writer)


def main(request: PiecesRequest) -> None:
    """Write layer.tar.gz, the layer of a distribution or of a part of one, and layer.json, its description."""
    pieces = install_pieces(request)
    blob, facts = write_blob(lambda writer: _write(pieces, writer), request.base)
    write_result(RESULT, DistributionLayerResult(blob, facts))


if __name__ == "__main__":
    run_program(main, PiecesRequest)
