"""Stage 4 of 6: writes the layer `runtime`, which completes the base for Python and Ray.

The layer is the same for every image on a base. It contains:

- wget, which the probes of Ray's Kubernetes operator call (`in_image/wget.py`).
- the bytecode of the standard library. python:3.10-slim ships none and its user cannot write it, so without the layer
  every process would compile the standard library again, at every start.
"""

from __future__ import annotations

import os
import posixpath
from typing import Iterator

from slim_ray_image.core.image_paths import COMMAND_DIRECTORY
from slim_ray_image.core.layers.exclude_files import matching_pattern
from slim_ray_image.core.layers.layer_blob import RESULT, LayerBase
from slim_ray_image.core.layers.runtime_layer import WGET, RuntimeLayerRequest, RuntimeLayerResult
from slim_ray_image.sandbox.bytecode import compile_sources
from slim_ray_image.sandbox.layers.deterministic_tar import Entry, LayerWriter, write_entries
from slim_ray_image.sandbox.layers.layer_program import write_blob
from slim_ray_image.sandbox.report import run_program, write_result

# Modules for people and for tools that no service runs, besides the modules that `extract_base` omits.
_RARELY_IMPORTED = frozenset({"lib2to3", "pydoc_data", "site-packages"})


def _wget(base: LayerBase) -> Entry:
    """Return the entry of the script `wget`, which starts without `site`, since a Kubernetes probe has two seconds."""
    with open(WGET, "rb") as file:
        source = file.read()
    content = f"#!{base.python} -ISB\n".encode() + source
    return Entry(f"{COMMAND_DIRECTORY}/wget", content=content, is_executable=True)


def _standard_library(python: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path in the image, source) of the standard library's modules, sorted."""
    root = os.environ["SLIM_RAY_IMAGE_BASE_ROOT"]
    prefix = posixpath.dirname(posixpath.dirname(python))
    library = f"{prefix}/lib/{posixpath.basename(python)}"
    for directory, names, files in os.walk(f"{root}{library}"):
        names[:] = sorted(set(names) - _RARELY_IMPORTED)
        for name in sorted(files):
            if name.endswith(".py"):
                path = f"{directory}/{name}"
                with open(path, "rb") as file:
                    yield path[len(root) :], file.read()


def _write(request: RuntimeLayerRequest, writer: LayerWriter) -> tuple[str, ...]:
    """Write the entries of the layer `runtime`, and return the patterns of `exclude_files` that excluded a file."""
    base = request.base
    entries = [_wget(base)] if request.wget else []
    if request.bytecode:
        compiled = compile_sources([sorted(_standard_library(base.python))])
        entries += [Entry(path, file=pyc) for path, pyc in sorted(compiled.items())]
    found = {entry.path: matching_pattern(entry.path, request.exclude_files) for entry in entries}
    kept = sorted((e for e in entries if not found[e.path]), key=lambda e: e.path)
    write_entries(writer, kept, frozenset(base.directories))
    return tuple(sorted({pattern for pattern in found.values() if pattern}))


def main(request: RuntimeLayerRequest) -> None:
    """Write layer.tar.gz, the layer `runtime`, and layer.json, its description."""
    blob, matched = write_blob(lambda writer: _write(request, writer), request.base)
    write_result(RESULT, RuntimeLayerResult(blob, matched))


if __name__ == "__main__":
    run_program(main, RuntimeLayerRequest)
