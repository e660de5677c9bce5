"""Tests of sandbox.runtime_layer: what the base lacks."""

from __future__ import annotations

import io
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Sequence

import pytest
from conftest import Layer

from slim_ray_image.sandbox.deterministic_tar import LayerWriter
from slim_ray_image.sandbox.runtime_layer import write_runtime

TAG = sys.implementation.cache_tag
LIBRARY = "/usr/local/lib/python3.10"
PYTHON = "/usr/local/bin/python3.10"


@pytest.fixture
def base(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The base's folder, with a small standard library, and the program for the image."""
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
    sink = io.BytesIO()
    request: dict[str, Any] = {
        "wget": wget,
        "bytecode": bytecode,
        "exclude_files": exclude_files,
        "base": {
            "python": PYTHON,
            "directories": ["/usr", "/usr/local", "/usr/local/bin", LIBRARY, f"{LIBRARY}/json"],
        },
    }
    request["base"]["directories"].append("/usr/local/lib")
    with closing(LayerWriter(sink)) as writer:
        assert write_runtime(request, writer) == {"matched": sorted(exclude_files)}
    return Layer(sink.getvalue())


def test_wget_runs_on_the_interpreter_of_the_base(base: Path) -> None:
    """The program is executable, in a directory that every shell searches, and names the base's own Python."""
    layer = layer_of(bytecode=False)
    assert layer.names == ["usr/local/bin/wget"]
    assert (
        layer.contents["usr/local/bin/wget"] == b"#!/usr/local/bin/python3.10 -ISB\nprint('wget')\n"
    )
    assert layer.members["usr/local/bin/wget"].mode == 0o755


def test_standard_library_gets_its_bytecode(base: Path) -> None:
    """Each module's pyc lies where Python looks for it; what services do not import has none."""
    layer = layer_of(wget=False)
    assert layer.names == [
        "usr/local/lib/python3.10/__pycache__",
        "usr/local/lib/python3.10/json/__pycache__",
        f"usr/local/lib/python3.10/__pycache__/os.{TAG}.pyc",
        f"usr/local/lib/python3.10/json/__pycache__/__init__.{TAG}.pyc",
    ]


def test_bytecode_names_the_paths_of_the_image(base: Path) -> None:
    """Tracebacks name the standard library's own files, not where it lay when it was compiled."""
    pyc = layer_of(wget=False).contents[f"usr/local/lib/python3.10/__pycache__/os.{TAG}.pyc"]
    assert f"{LIBRARY}/os.py".encode() in pyc
    assert str(base).encode() not in pyc


def test_excluded_files_are_not_in_the_layer(base: Path) -> None:
    """Who has a wget, or needs none, can leave ours out; the pattern is told, as in every layer."""
    layer = layer_of(exclude_files=["/usr/local/bin/wget", f"{LIBRARY}/json"])
    assert layer.names == [
        "usr/local/lib/python3.10/__pycache__",
        f"usr/local/lib/python3.10/__pycache__/os.{TAG}.pyc",
    ]
