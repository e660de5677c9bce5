"""Stage 4 of 6: sources -> bytecode, by `compile_bytecode` in a process of its own."""

from __future__ import annotations

import os
import posixpath
import sys
from typing import Iterable, Iterator, Mapping, Sequence

from slim_ray_image.sandbox.report import run_tool

_COMPILE = "compile"


def run_compiler(
    interpreter: Sequence[str],
    groups: Iterable[Iterable[tuple[str, str, str]]],
    list_path: str,
    environment: Mapping[str, str],
) -> None:
    """Compile files by `compile_bytecode`.

    Args:
        groups: (source, path in the image, pyc), in the order to compile; a group's bytecode depends on no other group.
        list_path: Where to write the list of them.
    """
    with open(list_path, "wb") as file:
        for group in groups:
            for row in group:
                for name in row:
                    encoded = name.encode("utf-8", "surrogateescape")
                    if b"\0" in encoded:  # the list would not be the one that was meant
                        raise ValueError(f"A path has a null byte: {name!r}.")
                    file.write(encoded + b"\0")
            file.write(b"\0\0\0")
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compile_bytecode.py")
    run_tool(
        [*interpreter, "-B", "-s", "-S", program, list_path],
        {"PYTHONHASHSEED": "0", **environment},
    )


def _rows(
    sources: Iterable[tuple[str, bytes]], compiled: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Write the sources, yield a row for each, and note where its pyc goes in the image."""
    for path, content in sources:
        number = len(compiled)
        source, target = f"{_COMPILE}/{number}.py", f"{_COMPILE}/{number}.pyc"
        with open(source, "wb") as file:
            file.write(content)
        compiled[target] = pyc_path(path)
        yield source, path, target


def compile_sources(groups: Iterable[Iterable[tuple[str, bytes]]]) -> dict[str, str]:
    """Return image path of the pyc -> the file that has it here, for each source that compiles.

    Args:
        groups: (path in the image, content), in the order to compile, as of one distribution; read one by one. The
            bytecode of a group depends on no other group.
    """
    os.makedirs(_COMPILE, exist_ok=True)
    compiled: dict[str, str] = {}
    run_compiler(
        [sys.executable],
        (_rows(sources, compiled) for sources in groups),
        f"{_COMPILE}/list",
        {"SLIM_RAY_IMAGE_BASE_ROOT": os.environ["SLIM_RAY_IMAGE_BASE_ROOT"]},
    )
    return {path: target for target, path in compiled.items() if os.path.exists(target)}


def pyc_path(source: str) -> str:
    """PEP 3147's place for the bytecode of `source`."""
    directory, name = posixpath.split(source)
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"
    return f"{directory}/__pycache__/{name[:-3]}.{tag}.pyc"
