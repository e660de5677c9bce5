"""Tests of core.python.dynamic_imports."""

from __future__ import annotations

import pytest

from slim_ray_image.core.python.dynamic_imports import (
    DynamicImport,
    find_dynamic_imports,
    unfollowed_imports,
)
from slim_ray_image.core.python.module_names import HeldModules, modules_of, outermost_modules


def found(source: str, path: str = "app/main.py") -> list[tuple[str, object]]:
    """Return (kind, module) of each call found in a source."""
    return [(call.kind, call.module) for call in find_dynamic_imports(path, source.encode())]


@pytest.mark.parametrize(
    "source",
    [
        "import importlib\nimportlib.import_module(name)",
        "import importlib as il\nil.import_module(name)",
        "import importlib.util\nimportlib.import_module(name)",
        "from importlib import import_module\nimport_module(name)",
        "from importlib import import_module as im\nim(name)",
        "def f():\n    from importlib import import_module as im\n    return im(name)",
        "__import__(name)",
        "import builtins\nbuiltins.__import__(name)",
        "import importlib\nimportlib.import_module(f'plugins.{name}')",
        "import importlib\nimportlib.import_module(name='a' + name)",
        "import importlib\nimportlib.import_module()",
        "import importlib\nimportlib.import_module(*names)",
        "import importlib\nimportlib.import_module('.x', package)",
        "import importlib\nimportlib.import_module('...x', __package__)",
    ],
)
def test_import_by_a_name_that_only_a_run_knows_is_found(source: str) -> None:
    """A call of an import function is found under any name that an import gives it, anywhere in the source."""
    assert found(source) == [("import", None)]


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import importlib\nimportlib.import_module('a.b')", "a.b"),
        ("import importlib\nimportlib.import_module(name='a.b')", "a.b"),
        ("__import__('a')", "a"),
        ("import importlib\nimportlib.import_module('.b', 'a.c')", "a.c.b"),
        ("import importlib\nimportlib.import_module('..b', package='a.c')", "a.b"),
        ("import importlib\nimportlib.import_module('.', 'a.c')", "a.c"),
        ("import importlib\nimportlib.import_module('.b', __package__)", "app.b"),
    ],
)
def test_literal_names_its_module(source: str, module: str) -> None:
    """A literal names the module of the call; a relative name is resolved against the package."""
    assert found(source) == [("import", module)]


@pytest.mark.parametrize(
    "source",
    [
        "import importlib.metadata\nimportlib.metadata.entry_points(group='g')",
        "import importlib.metadata as md\nmd.entry_points()",
        "from importlib import metadata\nmetadata.entry_points(group='g')",
        "from importlib.metadata import entry_points as eps\neps(group='g')",
        "import importlib_metadata\nimportlib_metadata.entry_points()",
        "import pkg_resources\npkg_resources.iter_entry_points('g')",
    ],
)
def test_look_up_of_entry_points_is_found(source: str) -> None:
    """A look-up of entry points is found, and has no module, since only an installation knows the entry points."""
    assert found(source) == [("entry_points", None)]


@pytest.mark.parametrize(
    "source",
    [
        "import importlib\nimportlib.reload(name)",
        "class A:\n    def import_module(self, x): ...\nA().import_module(name)",
        "from .tools import import_module\nimport_module(name)",
        "from mine import entry_points\nentry_points()",
        "text = 'importlib.import_module(name)'",
        "def entry_points(:",
        "import_module\0",
    ],
)
def test_other_calls_are_not_found(source: str) -> None:
    """Other functions of the same name, texts, and invalid Python have no calls."""
    assert found(source) == []


def test_call_has_its_line_and_its_text_on_one_line() -> None:
    """Calls are sorted by line, and the text of a long call is cut."""
    source = (
        "import importlib\n\n\nimportlib.import_module(\n    name,\n)\n"
        f"__import__({'x' * 100})\n"
    ).encode()
    assert find_dynamic_imports("app/main.py", source) == (
        DynamicImport("app/main.py", 4, "import", "importlib.import_module(name)"),
        DynamicImport("app/main.py", 7, "import", f"__import__({'x' * 86}..."),
    )


def test_modules_are_those_of_the_sources_and_the_packages_above() -> None:
    """A package counts with and without an `__init__.py`; files other than sources are no modules."""
    paths = [
        "a/b/c.py",
        "d/__init__.py",
        "e.py",
        "f/data.csv",
        "g/h.cpython-310-x86_64-linux-gnu.so",
    ]
    assert modules_of(paths) == {
        "a",
        "a.b",
        "a.b.c",
        "d",
        "e",
        "g",
        "g.h",
    }


def test_outermost_modules_of_a_distribution() -> None:
    """A regular package or module is named without its content; a namespace is not named; extension modules count."""
    assert outermost_modules(
        [
            "numpy/__init__.py",
            "numpy/core/__init__.py",
            "numpy/core/_a.cpython-310-x86_64-linux-gnu.so",
            "google/cloud/storage/__init__.py",
            "google/cloud/storage/blob.py",
            "google/api.py",
            "six.py",
            "_cffi.abi3.so",
            "numpy-1.0.dist-info/METADATA",
            ".prefix/bin/f2py.py",
        ]
    ) == ("_cffi", "google.api", "google.cloud.storage", "numpy", "six")


@pytest.mark.parametrize(
    ("module", "is_followed"),
    [
        ("app.main", True),
        ("app.other", False),
        ("numpy", True),
        ("numpy.core.x", True),
        ("numpyx", False),
        ("google.cloud.storage.blob", True),
        ("google", True),
        ("google.cloud", True),
        ("google.other", False),
        (None, False),
    ],
)
def test_import_of_what_is_there_is_followed(module: str, is_followed: bool) -> None:
    """An import by a literal is followed if the module is in `modules` or below a package; others never are."""
    call = DynamicImport("app/main.py", 1, "import", "", module)
    held = HeldModules(modules=["app", "app.main"], packages=["numpy", "google.cloud.storage"])
    assert unfollowed_imports([call], held) == (() if is_followed else (call,))


def test_entry_points_are_never_followed() -> None:
    """A look-up of entry points is always returned."""
    call = DynamicImport("app/main.py", 1, "entry_points", "")
    assert unfollowed_imports([call], HeldModules()) == (call,)


def test_call_with_a_deep_argument_is_told() -> None:
    """If the whole call cannot be written as text, the text has the function and "(...)"."""
    source = f"import importlib\nimportlib.import_module({' + '.join(['a'] * 2000)})\n".encode()
    (found,) = find_dynamic_imports("a.py", source)
    assert (found.line, found.text) == (2, "importlib.import_module(...)")


def test_call_at_the_end_of_a_long_chain_is_looked_at() -> None:
    """An expression with thousands of names is not taken for an import function."""
    source = b"import importlib\nx = importlib" + b".a" * 2000 + b"()\nimport_module\n"
    assert find_dynamic_imports("a.py", source) == ()
