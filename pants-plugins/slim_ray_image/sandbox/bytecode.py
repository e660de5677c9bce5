"""Stage 4 of 6: sources -> bytecode, by `compile_bytecode` in a process of its own."""

from __future__ import annotations

import os
import posixpath
import sys
from typing import Iterable, Mapping, Sequence

from slim_ray_image.sandbox.report import run_tool

_COMPILE = "compile"


def run_compiler(
    interpreter: Sequence[str],
    rows: Iterable[tuple[str, str, str]],
    list_path: str,
    environment: Mapping[str, str],
) -> None:
    """Compile files by `compile_bytecode`.

    Args:
        rows: (source, path in the image, pyc), in the order to compile.
        list_path: Where to write the list of them.
    """
    with open(list_path, "wb") as file:
        for row in rows:
            for name in row:
                encoded = name.encode("utf-8", "surrogateescape")
                if b"\0" in encoded:  # the list would not be the one that was meant
                    raise ValueError(f"A path has a null byte: {name!r}.")
                file.write(encoded + b"\0")
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compile_bytecode.py")
    run_tool(
        [*interpreter, "-B", "-s", "-S", program, list_path],
        {"PYTHONHASHSEED": "0", **environment},
    )


def compile_sources(sources: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
    """Return image path of the pyc -> its bytes, for each source that compiles.

    Args:
        sources: (path in the image, content), in the order to compile.
    """
    os.makedirs(_COMPILE, exist_ok=True)
    rows, compiled = [], {}
    for number, (path, content) in enumerate(sources):
        source, target = f"{_COMPILE}/{number}.py", f"{_COMPILE}/{number}.pyc"
        with open(source, "wb") as file:
            file.write(content)
        rows.append((source, path, target))
        compiled[target] = _pyc_path(path)
    run_compiler(
        [sys.executable],
        rows,
        f"{_COMPILE}/list",
        {"SLIM_RAY_IMAGE_BASE_ROOT": os.environ["SLIM_RAY_IMAGE_BASE_ROOT"]},
    )
    found = {}
    for target, path in compiled.items():
        if os.path.exists(target):
            with open(target, "rb") as pyc:
                found[path] = pyc.read()
    return found


def _pyc_path(source: str) -> str:
    """PEP 3147's place for the bytecode of `source`."""
    directory, name = posixpath.split(source)
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"
    return f"{directory}/__pycache__/{name[:-3]}.{tag}.pyc"
