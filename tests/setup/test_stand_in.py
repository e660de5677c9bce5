"""Tests of build-support/stand-in-base/build: the paths that it rewrites in the files of a CPython."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The program `build`, imported as a module."""
    path = str(ROOT / "build-support/stand-in-base/build")
    loader = importlib.machinery.SourceFileLoader("stand_in_build", path)
    spec = importlib.util.spec_from_loader("stand_in_build", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules["stand_in_build"] = module
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'LIBDEST': '/install/lib/python3.10'", "'LIBDEST': '/usr/local/lib/python3.10'"),
        ("--prefix=/install", "--prefix=/usr/local"),
        ("-L/install/lib -I/install/include", "-L/usr/local/lib -I/usr/local/include"),
        ("-Wl,-rpath,/install/lib", "-Wl,-rpath,/usr/local/lib"),
        ("#!/install/bin/python3.10", "#!/usr/local/bin/python3.10"),
        ("'INSTALL': '/usr/bin/install -c'", "'INSTALL': '/usr/bin/install -c'"),
        ("/build/Python-3.10.21/Modules", "/usr/src/python/Modules"),
        ("/tools/build/Python-3.10.21x", "/tools/build/Python-3.10.21x"),
        ("/installed /install-sh", "/installed /install-sh"),
    ],
)
def test_short_prefix_is_replaced_as_a_whole(build: ModuleType, text: str, expected: str) -> None:
    """The prefix /install of python-build-standalone is replaced only as a whole path, not inside another path."""
    rewritten = {"/build/Python-3.10.21": "/usr/src/python", "/install": "/usr/local"}
    interpreter = build.Interpreter("3.10.21", "/cache/python", rewritten)
    assert build.rewrite_prefix(text.encode(), interpreter).decode() == expected
