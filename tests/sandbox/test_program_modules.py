"""Tests of the imports of the programs of wheels and layers: a change of an imported module reruns the program."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

PACKAGE = "slim_ray_image."
EVERY_LAYER = {
    "core.errors",
    "core.image_paths",
    "core.layers.plan.layer_blob",
    "core.wire",
    "sandbox.layers.deterministic_tar",
    "sandbox.report",
    "sandbox.spool",
}
BYTECODE = {"sandbox.bytecode", "sandbox.compile_bytecode"}
DISTRIBUTIONS = {
    *EVERY_LAYER,
    *BYTECODE,
    "core.layers.plan.distributions_layer",
    "core.layers.plan.exclude_files",
    "core.folders",
    "core.layers.plan.own_tests",
    "core.python.parsing",
    "core.layers.plan.prune_rules",
    "sandbox.layers.install_pieces",
    "sandbox.layers.prune_files",
    "sandbox.layers.slices",
    "sandbox.layers.strip_symbols",
    "sandbox.wheels.wheel",
}
WHEELS = {
    "core.errors",
    "core.folders",
    "core.wheels.wheels.uv_call",
    "core.wheels.wheels",
    "core.wire",
    "sandbox.report",
}
MODULES = {
    "wheels.fetch_wheels": {
        *WHEELS,
        "core.wheels.wheels.indexes",
        "core.wheels.wheels.proxies",
        "sandbox.tools.host_network",
        "sandbox.tools.index_client",
        "sandbox.tools.index_pages",
    },
    "wheels.describe_wheels": {
        *WHEELS,
        "core.python.dynamic_imports",
        "core.layers.plan.exclude_files",
        "core.image_paths",
        "core.python.module_uses",
        "core.wheels.needs",
        "core.python.parsing",
        "core.layers.plan.prune_rules",
        "sandbox.spool",
        "sandbox.wheels.wheel",
    },
    "wheels.pack_pex": {
        *WHEELS,
        "core.image_paths",
        "sandbox.tools.run_pex",
        "sandbox.spool",
        "sandbox.wheels.wheel",
    },
    "layers.write_distribution_layer": {*DISTRIBUTIONS, "sandbox.layers.layer_program"},
    "layers.write_slice": DISTRIBUTIONS,
    "layers.join_slices": {
        *EVERY_LAYER,
        "core.layers.plan.distributions_layer",
        "sandbox.layers.slices",
    },
    "layers.write_files_layer": {
        *EVERY_LAYER,
        "core.layers.plan.files_layer",
        "core.folders",
        "sandbox.layers.first_party",
        "sandbox.layers.layer_program",
    },
    "layers.write_runtime_layer": {
        *EVERY_LAYER,
        *BYTECODE,
        "core.layers.plan.exclude_files",
        "core.layers.plan.runtime_layer",
        "sandbox.layers.layer_program",
    },
    "layers.write_sources_layer": {
        *EVERY_LAYER,
        *BYTECODE,
        "core.accounts",
        "core.python.applications",
        "core.python.dynamic_imports",
        "core.folders",
        "core.serve.import_paths",
        "core.python.import_statements",
        "core.python.module_uses",
        "core.python.parsing",
        "core.layers.plan.prune_rules",
        "core.layers.plan.sources_layer",
        "sandbox.layers.first_party",
        "sandbox.layers.layer_program",
    },
}


def imported_modules(module: str) -> set[str]:
    """Return the plugin's modules that a module imports anywhere in its text, as `tools.py` finds them."""
    spec = importlib.util.find_spec(f"{PACKAGE}{module}")
    assert spec is not None and spec.origin is not None, module
    names = (
        str(node.module)
        for node in ast.walk(ast.parse(Path(spec.origin).read_bytes()))
        if isinstance(node, ast.ImportFrom)
    )
    found = {name[len(PACKAGE) :] for name in names if name.startswith(PACKAGE)}
    # `sandbox.bytecode` runs this module as a separate process.
    return found | ({"sandbox.compile_bytecode"} if module == "sandbox.bytecode" else set())


def modules_of(program: str) -> set[str]:
    """Return the modules that a program imports directly or indirectly, without the program itself."""
    found: set[str] = set()
    pending = {f"sandbox.{program}"}
    while pending:
        module = pending.pop()
        found.add(module)
        pending |= imported_modules(module) - found
    return found - {f"sandbox.{program}"}


@pytest.mark.parametrize("program", MODULES)
def test_cache_key_hangs_on_these_modules_alone(program: str) -> None:
    """A program imports exactly the listed modules: a change of one reruns the program for every wheel or layer."""
    assert modules_of(program) == set(MODULES[program])
