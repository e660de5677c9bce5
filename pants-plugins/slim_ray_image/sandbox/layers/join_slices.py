"""Stage 4 of 6: joins slices, each with some small distributions, and the virtual environment's own files to a layer.

In: the slices. Out: layer.tar.gz and layer.json. Directories come first: distributions of one namespace share them.
"""

from __future__ import annotations

import io
import posixpath
from typing import Iterator

from slim_ray_image.core.image_paths import SCRIPTS, VENV, site_packages_of
from slim_ray_image.core.layers.distributions_layer import JoinRequest, JoinResult
from slim_ray_image.core.layers.layer_blob import BLOB, RESULT, LayerBase
from slim_ray_image.sandbox.layers.deterministic_tar import Entry, write_entries
from slim_ray_image.sandbox.layers.slices import LayerJoiner, SliceWriter
from slim_ray_image.sandbox.report import run_program, whole_file, write_result
from slim_ray_image.sandbox.spool import chunks_of


def _virtual_environment(base: LayerBase, site_packages: str) -> Iterator[Entry]:
    """Yield the virtual environment's own files: pyvenv.cfg, links to the base's interpreter, and a .pth file.

    The .pth file adds the environment's site-packages to the path of the base's own `python`.
    """
    name = posixpath.basename(base.python)
    config = (
        f"home = {posixpath.dirname(base.python)}\n"
        "include-system-site-packages = false\n"
        f"version = {base.python_version}\n"
    )
    yield Entry(f"{VENV}/pyvenv.cfg", content=config.encode())
    yield Entry(f"{SCRIPTS}/python", link=base.python)
    yield Entry(f"{SCRIPTS}/python3", link="python")
    yield Entry(f"{SCRIPTS}/{name}", link="python")
    prefix = posixpath.dirname(posixpath.dirname(base.python))
    yield Entry(
        f"{prefix}/lib/{name}/site-packages/slim_ray_image.pth",
        content=f"{site_packages}\n".encode(),
    )


def _first_slice(request: JoinRequest) -> tuple[SliceWriter, bytes]:
    """Write the layer's first slice: directories and the virtual environment's own files; return writer and bytes."""
    content = io.BytesIO()
    writer = SliceWriter(content, request.base.timestamp)
    for directory in request.directories:
        writer.add(Entry(directory, is_directory=True))
    environment = _virtual_environment(request.base, site_packages_of(request.base.python))
    known = frozenset({*request.base.directories, *request.directories})
    write_entries(writer, environment, known)
    writer.flush()
    return writer, content.getvalue()


def main(request: JoinRequest) -> None:
    """Write layer.tar.gz, the layer that small distributions share, and layer.json, its description."""
    writer, first = _first_slice(request)
    with whole_file(BLOB) as blob:
        joiner = LayerJoiner(blob)
        joiner.add([first])
        for file in request.slices:
            with open(file, "rb") as one:
                joiner.add(chunks_of(one))
        result = joiner.close(
            request.unpacked_bytes + writer.unpacked_bytes,
            request.file_count + writer.file_count,
        )
    write_result(RESULT, JoinResult(result))


if __name__ == "__main__":
    run_program(main, JoinRequest)
