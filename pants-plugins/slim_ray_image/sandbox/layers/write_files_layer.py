"""Stage 4 of 6: writes the layer of large first-party files under the working directory.

In: the files. Out: layer.tar.gz and layer.json. Files are written in pieces: none is in memory as a whole.
"""

from __future__ import annotations

from slim_ray_image.core.layers.files_layer import FilesLayerRequest, FilesLayerResult
from slim_ray_image.core.layers.layer_blob import RESULT
from slim_ray_image.sandbox.layers.deterministic_tar import LayerWriter, write_entries
from slim_ray_image.sandbox.layers.first_party import first_party_entry
from slim_ray_image.sandbox.layers.layer_program import write_blob
from slim_ray_image.sandbox.report import run_program, write_result


def _write(request: FilesLayerRequest, writer: LayerWriter) -> None:
    entries = [first_party_entry(name, request.workdir) for name in sorted(request.files)]
    write_entries(writer, entries, frozenset(request.base.directories))


def main(request: FilesLayerRequest) -> None:
    """Write layer.tar.gz, the layer of large first-party files, and layer.json, its description."""
    blob, _ = write_blob(lambda writer: _write(request, writer), request.base)
    write_result(RESULT, FilesLayerResult(blob))


if __name__ == "__main__":
    run_program(main, FilesLayerRequest)
