"""Stage 4 of 6: compiles Python sources to bytecode by running the program `compile_bytecode` as a separate process."""

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
    """Compile groups of Python sources to bytecode, by running the program `compile_bytecode`.

    Args:
        interpreter: Command line of the Python that compiles.
        groups: Rows (path of the source, path in the image, path of the pyc), in the order to compile. The bytecode of
            a group depends on no other group.
        list_path: Path of the list of rows, which this function writes for `compile_bytecode`.
        environment: Environment variables of the process, besides PYTHONHASHSEED.
    """
    with open(list_path, "wb") as file:
        for group in groups:
            for row in group:
                for name in row:
                    encoded = name.encode("utf-8", "surrogateescape")
                    if b"\0" in encoded:  # a null byte would end the name early
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
    """Write each source to a file, yield its paths (source, in the image, pyc), and note its pyc in `compiled`."""
    for path, content in sources:
        number = len(compiled)
        source, target = f"{_COMPILE}/{number}.py", f"{_COMPILE}/{number}.pyc"
        with open(source, "wb") as file:
            file.write(content)
        compiled[target] = pyc_path(path)
        yield source, path, target


def compile_sources(groups: Iterable[Iterable[tuple[str, bytes]]]) -> dict[str, str]:
    """Compile Python sources to bytecode, and map each pyc's path in the image to the sandbox file with its content.

    Args:
        groups: Pairs (path in the image, content), in the order to compile, for example one group for each
            distribution; read one by one. The bytecode of a group depends on no other group.

    Returns:
        An entry for each source that compiles.
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
    """Return the path that PEP 3147 gives to the bytecode of `source`."""
    directory, name = posixpath.split(source)
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"
    return f"{directory}/__pycache__/{name[:-3]}.{tag}.pyc"
