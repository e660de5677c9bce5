"""Tests of the imports that modules of core and programs of the sandbox may have."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from pathlib import Path
from typing import Iterator

import pytest

import slim_ray_image

PACKAGE = Path(slim_ray_image.__file__).parent
CORE = sorted((PACKAGE / "core").glob("**/*.py"))
SANDBOX = sorted((PACKAGE / "sandbox").glob("**/*.py"))
TOOLS = {
    "dxf",
    "elftools",
    "installer",
    "isal",
    "packaging",
    "pip_requirements_parser",
    "requests",
    "tomli",
    "uv",
}
# The module that reads YAML. Pants itself requires PyYAML, so the rules always have it. No sandbox program reads YAML.
YAML = {"core/serve/yaml_lines.py"}
# The module that starts a thread and waits for it: only a new thread can have the larger stack that the parser needs.
THREADS = {"core/python/parsing.py"}
# Modules of the standard library that reach the machine. Core decides only from its arguments.
MACHINE = {
    "asyncio",
    "glob",
    "http",
    "importlib",
    "multiprocessing",
    "os",
    "pathlib",
    "platform",
    "random",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
}


def imported_modules(source: str) -> Iterator[str]:
    """Return the absolute name of every module and module member that an import anywhere in `source` names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (f"{node.module}." if node.module else "")
            yield from (prefix + alias.name for alias in node.names)


def is_standard_library(module: str) -> bool:
    """Return whether a top-level module came with Python; `sys.stdlib_module_names` is Python 3.10's."""
    if module in sys.builtin_module_names:
        return True
    spec = importlib.util.find_spec(module) if module else None
    if spec is None or spec.origin is None:
        return False
    if spec.origin in ("built-in", "frozen"):
        return True
    origin = Path(spec.origin).resolve()
    library = Path(sysconfig.get_paths()["stdlib"]).resolve()
    return library in origin.parents and "site-packages" not in origin.parts


def foreign_imports(source: str, tools: set[str], *own: str) -> set[str]:
    """Return the imports of `source` that are not of the standard library, in `tools`, or below a name in `own`."""
    return {
        name
        for name in imported_modules(source)
        if not any(name.startswith(f"{package}.") for package in own)
        and name.split(".")[0] not in tools
        and not is_standard_library(name.split(".")[0])
    }


def relative_name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", CORE, ids=relative_name)
def test_core_imports_the_standard_library_packaging_and_core(path: Path) -> None:
    """Core imports neither Pants nor tools, so that its decisions can be tested alone; one module reads YAML."""
    tools = {"packaging", "yaml"} if relative_name(path) in YAML else {"packaging"}
    assert foreign_imports(path.read_text("utf-8"), tools, "slim_ray_image.core") == set()


@pytest.mark.parametrize("path", CORE, ids=relative_name)
def test_core_does_not_reach_the_machine(path: Path) -> None:
    """Core uses no file, socket, clock or environment: it turns JSON and text into values."""
    source = path.read_text("utf-8")
    reached = {name for name in imported_modules(source) if not name.startswith("urllib.parse.")}
    allowed = {"threading"} if relative_name(path) in THREADS else set()
    assert {name.split(".")[0] for name in reached} & MACHINE == allowed
    called = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert "open" not in {function.id for function in called if isinstance(function, ast.Name)}


@pytest.mark.parametrize("path", SANDBOX, ids=relative_name)
def test_sandbox_imports_the_standard_library_its_tools_core_and_sandbox(path: Path) -> None:
    """A program of the sandbox runs without Pants, with the locked tools alone."""
    own = ("slim_ray_image.core", "slim_ray_image.sandbox")
    assert foreign_imports(path.read_text("utf-8"), TOOLS, *own) == set()


# Room -> the rooms that it may import: all rooms below it. Every room may import the ground too.
ROOMS = {
    "core": {
        "python": set(),
        "closure": {"python"},
        "serve": {"python"},
        "wheels": {"python", "serve", "closure"},
        "layers": {"python", "serve", "closure", "wheels"},
        "image": {"python", "serve", "closure", "wheels", "layers"},
        "base": {"python", "serve", "closure", "wheels", "layers", "image"},
        "check": {"python", "serve", "closure", "wheels", "layers", "image"},
    },
    "sandbox": {
        "tools": set(),
        "wheels": {"tools"},
        "layers": {"wheels"},
        "base": {"tools"},
        "check": set(),
        "image": set(),
        "smoke": set(),
    },
}


def room_of(module: str, package: str) -> str:
    """Return the room of a module, by its dotted name; "" for a module of the ground."""
    parts = module.split(".")
    return parts[2] if parts[:2] == [PACKAGE.name, package] and parts[2] in ROOMS[package] else ""


@pytest.mark.parametrize("path", [*CORE, *SANDBOX], ids=relative_name)
def test_room_uses_itself_and_the_rooms_below(path: Path) -> None:
    """The imports between rooms have no cycle, and the ground imports no room."""
    package, *rooms, _ = path.relative_to(PACKAGE).parts
    used = {room_of(f"{name}.x.x", package) for name in imported_modules(path.read_text("utf-8"))}
    allowed = {rooms[0], *ROOMS[package][rooms[0]]} if rooms else set()
    assert used - {""} <= allowed


def test_rooms_are_those_of_the_folders() -> None:
    """Every folder is a room of the table above."""
    for package, rooms in ROOMS.items():
        folders = {path.parent.name for path in (PACKAGE / package).glob("*/__init__.py")}
        assert folders == set(rooms)


def test_bytecode_compiler_imports_only_what_python_has_loaded() -> None:
    """The bytecode compiler imports only modules that Python has loaded: others would change the bytecode's bytes."""
    source = (PACKAGE / "sandbox" / "compile_bytecode.py").read_text("utf-8")
    assert set(imported_modules(source)) == {"sys", "_imp", "marshal", "posix"}


def own_modules(path: Path) -> Iterator[Path]:
    """Yield a module and every module of this plugin that it imports, directly or not."""
    pending, seen = [path], {path}
    while pending:
        current = pending.pop()
        yield current
        for name in imported_modules(current.read_text("utf-8")):
            parts = name.split(".")
            for end in (len(parts), len(parts) - 1):
                found = PACKAGE.parent.joinpath(*parts[:end]).with_suffix(".py")
                if parts[0] == PACKAGE.name and found.is_file() and found not in seen:
                    seen.add(found)
                    pending.append(found)


@pytest.mark.parametrize(
    "program", ["tools/fetch_uv", "wheels/fetch_wheels", "tools/install_tools"]
)
def test_programs_that_fetch_need_no_tool(program: str) -> None:
    """Programs that run before or without the tools, on any Python, import only the standard library."""
    modules = list(own_modules(PACKAGE / "sandbox" / f"{program}.py"))
    assert PACKAGE / "core" / "wire.py" in modules
    own = ("slim_ray_image.core", "slim_ray_image.sandbox")
    foreign = {
        name for path in modules for name in foreign_imports(path.read_text("utf-8"), set(), *own)
    }
    assert foreign == set()


def test_every_module_is_looked_at() -> None:
    """The tests above find modules to check, the most imported ones included."""
    assert {"core/__init__.py", "core/errors.py", "core/image/oci.py"} <= set(
        map(relative_name, CORE)
    )
    assert {"sandbox/wheels/fetch_wheels.py", "sandbox/report.py"} <= set(
        map(relative_name, SANDBOX)
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("import os, json.decoder, _imp, marshal, zlib", set(), id="standard library"),
        pytest.param("from slim_ray_image.core.image.oci import Image", set(), id="own"),
        pytest.param("from slim_ray_image.core import oci", set(), id="own module"),
        pytest.param("import packaging.version", set(), id="tool"),
        pytest.param("import pants", {"pants"}, id="Pants"),
        pytest.param(
            "def f():\n    from pants.util import x", {"pants.util.x"}, id="in a function"
        ),
        pytest.param("import pytest", {"pytest"}, id="third party"),
        pytest.param("import no_such_module", {"no_such_module"}, id="unknown"),
        pytest.param("from slim_ray_image import pack", {"slim_ray_image.pack"}, id="rules"),
        pytest.param("import slim_ray_image", {"slim_ray_image"}, id="whole package"),
        pytest.param("from . import oci", {".oci"}, id="relative"),
        pytest.param("from ..pack import x", {"..pack.x"}, id="relative above"),
    ],
)
def test_foreign_imports_are_noticed(source: str, expected: set[str]) -> None:
    """`foreign_imports` tells an allowed import from any other, in every kind of statement."""
    assert foreign_imports(source, {"packaging"}, "slim_ray_image.core") == expected
