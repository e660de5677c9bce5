"""Tests of the programs of wheels and layers: which modules each imports, and so whose change runs it anew for all."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

PACKAGE = "slim_ray_image."
EVERY_LAYER = {
    "core.errors",
    "core.image_paths",
    "core.layer_blob",
    "core.wire",
    "sandbox.deterministic_tar",
    "sandbox.report",
    "sandbox.spool",
}
BYTECODE = {"sandbox.bytecode", "sandbox.compile_bytecode"}
DISTRIBUTIONS = {
    *EVERY_LAYER,
    *BYTECODE,
    "core.distributions_layer",
    "core.exclude_files",
    "core.folders",
    "core.own_tests",
    "core.parsing",
    "core.prune_rules",
    "sandbox.install_pieces",
    "sandbox.prune_files",
    "sandbox.slices",
    "sandbox.strip_symbols",
    "sandbox.wheel",
}
WHEELS = {
    "core.errors",
    "core.folders",
    "core.uv_call",
    "core.wheels",
    "core.wire",
    "sandbox.report",
}
MODULES = {
    "fetch_wheels": {
        *WHEELS,
        "core.indexes",
        "core.proxies",
        "sandbox.host_network",
        "sandbox.index_client",
        "sandbox.index_pages",
    },
    "describe_wheels": {
        *WHEELS,
        "core.dynamic_imports",
        "core.exclude_files",
        "core.image_paths",
        "core.module_uses",
        "core.needs",
        "core.parsing",
        "core.prune_rules",
        "sandbox.spool",
        "sandbox.wheel",
    },
    "pack_pex": {
        *WHEELS,
        "core.image_paths",
        "sandbox.run_pex",
        "sandbox.spool",
        "sandbox.wheel",
    },
    "write_distribution_layer": {*DISTRIBUTIONS, "sandbox.layer_program"},
    "write_slice": DISTRIBUTIONS,
    "join_slices": {*EVERY_LAYER, "core.distributions_layer", "sandbox.slices"},
    "write_files_layer": {
        *EVERY_LAYER,
        "core.files_layer",
        "core.folders",
        "sandbox.first_party",
        "sandbox.layer_program",
    },
    "write_runtime_layer": {
        *EVERY_LAYER,
        *BYTECODE,
        "core.exclude_files",
        "core.runtime_layer",
        "sandbox.layer_program",
    },
    "write_sources_layer": {
        *EVERY_LAYER,
        *BYTECODE,
        "core.accounts",
        "core.applications",
        "core.dynamic_imports",
        "core.folders",
        "core.import_paths",
        "core.import_statements",
        "core.module_uses",
        "core.parsing",
        "core.prune_rules",
        "core.sources_layer",
        "sandbox.first_party",
        "sandbox.layer_program",
    },
}


def imported_modules(module: str) -> set[str]:
    """The modules of the plugin that a module imports, anywhere in its text, as `tools.py` finds them."""
    spec = importlib.util.find_spec(f"{PACKAGE}{module}")
    assert spec is not None and spec.origin is not None, module
    names = (
        str(node.module)
        for node in ast.walk(ast.parse(Path(spec.origin).read_bytes()))
        if isinstance(node, ast.ImportFrom)
    )
    found = {name[len(PACKAGE) :] for name in names if name.startswith(PACKAGE)}
    # Run as a process of its own.
    return found | ({"sandbox.compile_bytecode"} if module == "sandbox.bytecode" else set())


def modules_of(program: str) -> set[str]:
    """What a program imports, directly or not, besides itself."""
    found: set[str] = set()
    pending = {f"sandbox.{program}"}
    while pending:
        module = pending.pop()
        found.add(module)
        pending |= imported_modules(module) - found
    return found - {f"sandbox.{program}"}


@pytest.mark.parametrize("program", MODULES)
def test_cache_key_hangs_on_these_modules_alone(program: str) -> None:
    """A change of one of them runs the program anew for each wheel or layer, everywhere: a new one is to be seen here."""
    assert modules_of(program) == set(MODULES[program])
