"""Tests of core.python.import_statements."""

from __future__ import annotations

import pytest

from slim_ray_image.core.python.import_statements import (
    ImportStatement,
    find_import_statements,
    missing_imports,
)
from slim_ray_image.core.python.module_names import HeldModules


def found(source: str, path: str = "app/jobs/main.py") -> list[tuple[str, int]]:
    """Return (module, line) of each import statement found in a source."""
    return [(s.module, s.line) for s in find_import_statements(path, source.encode())]


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import toolz", ["toolz"]),
        ("import toolz.curried as c, os", ["os", "toolz.curried"]),
        ("from toolz import get, pluck", ["toolz"]),
        ("from . import words", ["app.jobs"]),
        ("from .words import count", ["app.jobs.words"]),
        ("from ..words import count", ["app.words"]),
        ("from ....words import count", []),
        ("def f():\n    if x:\n        import toolz", ["toolz"]),
        ("class A:\n    for x in y:\n        import toolz", ["toolz"]),
        ("with open(p) as f:\n    import toolz", ["toolz"]),
        ("try:\n    import toolz\nfinally:\n    pass", ["toolz"]),
        ("try:\n    import toolz\nexcept OSError:\n    import funcy", ["funcy", "toolz"]),
    ],
)
def test_import_statement_has_its_module(source: str, modules: list[str]) -> None:
    """Every module of a statement is found, in any block; a relative one is resolved against the package."""
    assert sorted(module for module, _ in found(source)) == modules


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import tomllib\nexcept ImportError:\n    import tomli",
        "try:\n    import ujson\nexcept (OSError, ModuleNotFoundError):\n    ujson = None",
        "try:\n    import ujson\nexcept:\n    ujson = None",
        "if TYPE_CHECKING:\n    from _typeshed import Incomplete",
        "import typing as t\nif t.TYPE_CHECKING:\n    import toolz".replace(
            "import typing as t\n", ""
        ),
        "if sys.version_info >= (3, 11):\n    import tomllib\nelse:\n    import tomli",
        "if sys.platform == 'win32':\n    import win32api",
        "with contextlib.suppress(ImportError):\n    import ujson",
        "import toolz  # pants: no-infer-dep",
        "from toolz import (\n    get,  # pants: no-infer-dep\n)",
        "text = 'import toolz'",
        "import toolz =",
        "import toolz\0",
    ],
)
def test_import_that_a_run_need_not_do_is_passed_over(source: str) -> None:
    """An import that may fail, or is for other Pythons, platforms or type checkers, is left out."""
    assert found(source) == []


def test_statement_has_its_line_and_its_text_on_one_line() -> None:
    """Statements are sorted by line, and a long text is cut."""
    names = ", ".join(f"name_{n}" for n in range(20))
    source = f"import os, toolz as t\n\nfrom funcy import (\n    {names}\n)\n".encode()
    assert find_import_statements("app.py", source) == (
        ImportStatement("app.py", 1, "import os", "os"),
        ImportStatement("app.py", 1, "import toolz as t", "toolz"),
        ImportStatement("app.py", 3, f"from funcy import {names}"[:97] + "...", "funcy"),
    )


def test_missing_is_what_neither_code_nor_a_distribution_has() -> None:
    """An import is missing if neither the known modules nor the complete packages contain the module."""
    source = b"import app.main\nimport app.other\nimport numpy.core\nimport toolz\n"
    statements = find_import_statements("app/main.py", source)
    held = HeldModules(modules=["app", "app.main"], packages=["numpy"])
    assert [s.module for s in missing_imports(statements, held)] == ["app.other", "toolz"]
