"""Tests of sandbox.layers.write_runtime_layer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Sequence

import pytest
from conftest import Layer

from slim_ray_image.core.layers.layer_blob import BLOB, RESULT, LayerBase
from slim_ray_image.core.layers.runtime_layer import RuntimeLayerRequest, RuntimeLayerResult
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.layers.write_runtime_layer import main

TAG = sys.implementation.cache_tag
LIBRARY = "/usr/local/lib/python3.10"
PYTHON = "/usr/local/bin/python3.10"


@pytest.fixture
def base(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a base's folder with a small standard library, and the program wget; return the folder."""
    root = sandbox / "base"
    for name in (
        "os.py",
        "json/__init__.py",
        "lib2to3/main.py",
        "site-packages/pip/__init__.py",
        "LICENSE.txt",
    ):
        path = root / LIBRARY[1:] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    (sandbox / "wget.py").write_text("print('wget')\n")
    monkeypatch.setenv("SLIM_RAY_IMAGE_BASE_ROOT", str(root))
    return root


def layer_of(
    *, wget: bool = True, bytecode: bool = True, exclude_files: Sequence[str] = ()
) -> Layer:
    directories = ("/usr", "/usr/local", "/usr/local/bin", "/usr/local/lib", LIBRARY)
    base = LayerBase(PYTHON, "3.10.13", (*directories, f"{LIBRARY}/json"))
    main(RuntimeLayerRequest(wget, bytecode, tuple(exclude_files), base))
    matched = from_json(RuntimeLayerResult, Path(RESULT).read_bytes()).matched
    assert matched == tuple(sorted(exclude_files))
    return Layer(Path(BLOB).read_bytes())


def test_wget_runs_on_the_interpreter_of_the_base(base: Path) -> None:
    """The program is executable, lies in a directory that every shell searches, and names the base's own Python."""
    layer = layer_of(bytecode=False)
    assert layer.names == ["usr/local/bin/wget"]
    assert (
        layer.contents["usr/local/bin/wget"] == b"#!/usr/local/bin/python3.10 -ISB\nprint('wget')\n"
    )
    assert layer.members["usr/local/bin/wget"].mode == 0o755


def test_standard_library_gets_its_bytecode(base: Path) -> None:
    """Each module has its pyc where Python looks for it, except modules that services do not import."""
    layer = layer_of(wget=False)
    assert layer.names == [
        "usr/local/lib/python3.10/__pycache__",
        "usr/local/lib/python3.10/json/__pycache__",
        f"usr/local/lib/python3.10/__pycache__/os.{TAG}.pyc",
        f"usr/local/lib/python3.10/json/__pycache__/__init__.{TAG}.pyc",
    ]


def test_bytecode_names_the_paths_of_the_image(base: Path) -> None:
    """Bytecode names the paths of the sources in the image, not their paths when they were compiled."""
    pyc = layer_of(wget=False).contents[f"usr/local/lib/python3.10/__pycache__/os.{TAG}.pyc"]
    assert f"{LIBRARY}/os.py".encode() in pyc
    assert str(base).encode() not in pyc


def test_excluded_files_are_not_in_the_layer(base: Path) -> None:
    """Files that `exclude_files` matches are omitted, even wget; the patterns that matched are reported."""
    layer = layer_of(exclude_files=["/usr/local/bin/wget", f"{LIBRARY}/json"])
    assert layer.names == [
        "usr/local/lib/python3.10/__pycache__",
        f"usr/local/lib/python3.10/__pycache__/os.{TAG}.pyc",
    ]
