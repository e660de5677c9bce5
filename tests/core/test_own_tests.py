"""Tests of core.layers.own_tests."""

from __future__ import annotations

from typing import Callable, Mapping

import pytest

from slim_ray_image.core.layers.own_tests import find_unneeded_tests


def kept(files: Mapping[str, str]) -> set[str]:
    """Return the files that stay."""
    readers = {path: text.encode for path, text in files.items()}
    return set(readers) - find_unneeded_tests(readers)


TESTS = {
    "foo/__init__.py": "",
    "foo/tests/__init__.py": "",
    "foo/tests/test_a.py": "from foo.tests.data import x",
    "foo/tests/data/__init__.py": "x = 1",
    "foo/tests/data/table.csv": "1,2",
}


def test_folder_that_nothing_imports_goes_as_a_whole() -> None:
    """A folder of tests that nothing imports is removed with its packages and data."""
    assert kept(TESTS) == {"foo/__init__.py"}


def test_module_that_others_import_stays_with_the_packages_above_it() -> None:
    """A module of tests that others import stays, with its packages and the modules that it imports, as in numpy."""
    natype = {
        "foo/_core/tests/__init__.py": "",
        "foo/_core/tests/_natype.py": "from . import _more\nfrom foo._core.tests._third import y",
        "foo/_core/tests/_more.py": "",
        "foo/_core/tests/_third.py": "",
        "foo/_core/tests/test_a.py": "from foo._core.tests._fourth import z",
        "foo/_core/tests/_fourth.py": "",
        "foo/testing/__init__.py": "from foo._core.tests._natype import pd_NA",
    }
    assert kept({**TESTS, **natype}) == {
        "foo/__init__.py",
        "foo/testing/__init__.py",
        *(f"foo/_core/tests/{name}.py" for name in ("__init__", "_natype", "_more", "_third")),
    }


@pytest.mark.parametrize(
    "source",
    [
        "import foo.tests.helpers",
        "from .tests import helpers",
        "from .tests.helpers import x",
        "from foo.tests import helpers as h",
        "def f():\n    from foo.tests.helpers import x",
        "try:\n    import foo.tests.helpers\nexcept ImportError:\n    pass",
        "import importlib\nimportlib.import_module('foo.tests.helpers')",
    ],
)
def test_every_way_to_import_counts(source: str) -> None:
    """Absolute and relative imports, in functions and by name, keep the modules that they import."""
    files = {
        **TESTS,
        "foo/tests/helpers.py": "",
        "foo/a.py": source,
    }
    assert kept(files) == {
        "foo/__init__.py",
        "foo/a.py",
        "foo/tests/__init__.py",
        "foo/tests/helpers.py",
    }


def test_test_modules_outside_of_the_folders_keep_nothing() -> None:
    """An import in a conftest.py beside the code keeps nothing, since no service imports a conftest.py."""
    assert "foo/tests/__init__.py" not in kept({**TESTS, "foo/conftest.py": "import foo.tests"})


def test_folder_without_test_modules_is_code() -> None:
    """A folder `test` without test modules stays, such as `django.test`, which is used to write tests."""
    files = {"foo/test/__init__.py": "", "foo/test/client.py": "", "foo/latest/test_a.py": ""}
    assert kept(files) == set(files)


def test_compiled_module_of_tests_stays_where_it_is_imported() -> None:
    """An import keeps an extension module as it keeps a Python module."""
    files = {
        **TESTS,
        "foo/tests/_ext.cpython-310-x86_64-linux-gnu.so": "",
        "foo/a.py": "from foo.tests import _ext",
    }
    assert "foo/tests/_ext.cpython-310-x86_64-linux-gnu.so" in kept(files)


def test_module_that_is_not_valid_imports_nothing() -> None:
    """A file that is not valid Python, such as a template, keeps nothing and is no error."""
    assert "foo/tests/test_a.py" not in kept({**TESTS, "foo/template.py": "{{ tests }} ("})


def test_only_some_files_are_read() -> None:
    """Data, compiled modules and tests that nothing imports are not read, since they may be large."""
    read = []

    def reader(path: str, text: str) -> Callable[[], bytes]:
        def content() -> bytes:
            read.append(path)
            return text.encode()

        return content

    files = {**TESTS, "foo/table.csv": "tests", "foo/_ext.so": "tests"}
    assert find_unneeded_tests({path: reader(path, text) for path, text in files.items()})
    assert read == ["foo/__init__.py"]
    read.clear()
    without_tests = {"foo/a.py": "import foo.tests"}
    assert not find_unneeded_tests({p: reader(p, text) for p, text in without_tests.items()})
    assert read == []
