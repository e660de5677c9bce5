"""The modules that each program imports: they are a part of its cache key, so their change runs the program anew."""

from __future__ import annotations

import ast
from pathlib import Path

from conftest import Golden

import slim_ray_image

PACKAGE = Path(slim_ray_image.__file__).parent
PREFIX = f"{PACKAGE.name}."


def path_of(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def imported_modules(module: str) -> list[str]:
    """Return the modules of the plugin that a module imports, anywhere in its text, as `tools.py` finds them."""
    names = (
        str(node.module)
        for node in ast.walk(ast.parse(path_of(module).read_bytes()))
        if isinstance(node, ast.ImportFrom)
    )
    found = {name[len(PREFIX) :] for name in names if name.startswith(PREFIX)}
    # Run as a process of its own.
    compiler = {"sandbox.compile_bytecode"} if module == "sandbox.bytecode" else set()
    return sorted(found | compiler)


def importers_of(program: str) -> dict[str, str]:
    """Return module -> the module that imports it, for each module that a program imports, directly or not."""
    found: dict[str, str] = {}
    pending = [program]
    while pending:
        importer = pending.pop(0)
        for module in imported_modules(importer):
            if module not in found and module != program:
                found[module] = importer
                pending.append(module)
    return found


def describe(program: str) -> str:
    importers = importers_of(program)
    rows = [f"  {module}, for {importers[module]}" for module in sorted(importers)]
    return "\n".join([f"{program}: {len(importers) + 1} modules", *rows])


def test_modules_in_the_key_of_each_program(golden: Golden) -> None:
    """A new module in a key is to be seen in the golden file, with the module that imports it."""
    programs = sorted(
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in (PACKAGE / "sandbox").rglob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    )
    assert "sandbox.layers.write_slice" in programs
    golden.check("program_modules.txt", "\n\n".join(map(describe, programs)))
