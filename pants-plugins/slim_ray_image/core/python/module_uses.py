"""Stage 4 of 6: find the modules of a package that a file uses, so that unused parts of the package can be left out.

In: the content of a file. Out: dotted names. The search errs towards too many names: it counts imports, attributes
(`ray.data` can be used without an import of its own), and names in strings or in files other than Python's.
"""

from __future__ import annotations

import ast
import re
from typing import Iterator, Mapping, Optional

from slim_ray_image.core.python.expressions import aliases_of, names_of
from slim_ray_image.core.python.parsing import parse_module


def _import_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _bindings(tree: ast.Module, package: str) -> dict[str, str]:
    """Map each name that an import anywhere in the source binds to its dotted name, if that is in `package`."""
    return {
        name: dotted
        for name, dotted in aliases_of(tree).items()
        if f"{dotted}.".startswith(f"{package}.")
    }


def _dotted(node: ast.AST, bindings: Mapping[str, str]) -> Optional[str]:
    names = names_of(node)
    if not names or names[0] not in bindings:
        return None
    return ".".join([bindings[names[0]], *names[1:]])


def find_uses(path: str, content: bytes, package: str) -> frozenset[str]:
    """Return the dotted names below a package, such as `ray.data` below `ray`, that a file uses.

    Args:
        path: Path of the file. A name that ends in `.py` means Python.
        package: Name of a top-level package.
    """
    spelled = re.compile(rb"\b" + package.encode() + rb"(?:\.[A-Za-z_]\w*)+")
    word = re.compile(rb"\b" + package.encode() + rb"\b")
    if package.encode() not in content or not word.search(content):
        return frozenset()
    if not path.endswith(".py"):
        return frozenset(name.decode() for name in spelled.findall(content))
    tree = parse_module(content)
    if tree is None:
        return frozenset()
    bindings = _bindings(tree, package)
    names = set(_import_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.add(_dotted(node, bindings) or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Serve's import paths have the attribute after a colon.
            name = node.value.split(":")[0]
            if re.fullmatch(rf"{package}(\.\w+)+", name):
                names.add(name)
    return frozenset(name for name in names if name.startswith(f"{package}."))
