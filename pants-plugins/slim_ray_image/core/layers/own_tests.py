"""Stage 4 of 6: find the test files that a distribution contains and that none of its other modules imports.

In: the files of one distribution. Out: the paths that can be removed. Names alone do not decide, imports are read: for
example, scipy imports `numpy.testing`, which imports a module of `numpy._core.tests`.
"""

from __future__ import annotations

import ast
import posixpath
import re
from typing import Callable, Iterable, Iterator, Mapping

from slim_ray_image.core.image_paths import parents
from slim_ray_image.core.python.parsing import parse_module

_FOLDER_NAMES = ("test", "tests")
_TEST_MODULE = re.compile(r"(test_.*|.*_tests?|conftest)\.py")


def _test_folders(paths: Iterable[str]) -> frozenset[str]:
    """Return the outermost folders that are named `test` or `tests` and contain test modules.

    Such a folder without test modules can be code that others write tests with, such as `django.test`.
    """
    found = set()
    for path in paths:
        if _TEST_MODULE.fullmatch(posixpath.basename(path)):
            named = (f for f in parents(path) if posixpath.basename(f) in _FOLDER_NAMES)
            found.update(list(named)[:1])
    return frozenset(found)


def _modules(paths: Iterable[str]) -> dict[str, str]:
    """Map the dotted name of each Python module and compiled module among `paths` to its path."""
    found = {}
    for path in paths:
        if path.endswith((".py", ".so")):
            folder, name = posixpath.split(path)
            stem = name.split(".")[0]
            module = folder if stem == "__init__" else posixpath.join(folder, stem)
            found[module.replace("/", ".")] = path
    return found


def _is_dotted_name(value: object) -> bool:
    return isinstance(value, str) and value.replace(".", "").isidentifier()


def _named(path: str, source: bytes) -> Iterator[str]:
    """Yield the dotted names that a module may import: in import statements at any depth, and in string constants."""
    tree = parse_module(source)
    if tree is None:
        return
    package = posixpath.dirname(path).split("/")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and _is_dotted_name(node.value):
            yield str(node.value)


class _Names:
    """A fast search of the text of Python sources for code that may import a folder of tests.

    The search avoids parsing: to parse every module would take longer than the rest of a layer, and most modules that
    contain such a name contain it in a comment.
    """

    def __init__(self, names: Iterable[str]) -> None:
        either = "|".join(map(re.escape, sorted(names))).encode()
        # One pattern of plain names, which `re` finds fast, and one for the line around a name.
        self._name = re.compile(either)
        self._line = re.compile(
            rb"\.N\b|\bN\.\w|['\"]N['\"]|\bimport\b.*\bN\b|^[\s(]*N\s*(as\s+\w+\s*)?[,);]*\s*\\?\s*(#|$)".replace(
                b"N", b"(?:%s)" % either
            )
        )

    def may_be_in(self, source: bytes) -> bool:
        """Return whether a source names a folder of tests in an import, a dotted name or a string, so may import it."""
        for match in self._name.finditer(source):
            start = source.rfind(b"\n", 0, match.start()) + 1
            end = source.find(b"\n", match.end())
            if self._line.search(source[start : end if end >= 0 else len(source)]):
                return True
        return False


def find_unneeded_tests(files: Mapping[str, Callable[[], bytes]]) -> frozenset[str]:
    """Return the files in a distribution's test folders that its code outside of them does not import, even indirectly.

    A module in a test folder is needed, with the packages above it, if a module outside the test folders imports it, or
    if a needed module does. If no module of a folder is needed, the whole folder is returned, so that no empty package
    stays.

    Args:
        files: Path relative to site-packages -> function that reads the content. Only some files are read.
    """
    folders = _test_folders(files)
    inside = {path for path in files if folders & set(parents(path))}
    if not inside:
        return frozenset()
    modules = _modules(files)
    names = _Names({posixpath.basename(folder) for folder in folders})
    pending = [
        path
        for path, read in files.items()
        if path.endswith(".py")
        and path not in inside
        and not _TEST_MODULE.fullmatch(posixpath.basename(path))
        and names.may_be_in(read())
    ]
    kept: set[str] = set()
    while pending:
        path = pending.pop()
        for name in _named(path, files[path]()):
            new = set(_paths_of(name, modules)) & inside - kept
            kept |= new
            pending += [found for found in new if found.endswith(".py")]
    return frozenset(inside - kept)


def _paths_of(name: str, modules: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths of the modules that an import of a dotted name loads."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = modules.get(".".join(parts[:end]))
        if path:
            yield path
