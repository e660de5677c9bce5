"""Stage 4 of 6: which modules of a package a file uses, so that parts of it that nothing uses can be left out.

In: the content of a file. Out: dotted names. Rather one too many than one too few: imports, attributes (`ray.data` is
there without an import of its own), and names that are spelled as strings or in a file that is no Python.
"""

from __future__ import annotations

import ast
import re
from typing import Iterator, Mapping, Optional

from slim_ray_image.core.python.dynamic_imports import aliases_of, names_of
from slim_ray_image.core.python.parsing import parse_module


def _import_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _bindings(tree: ast.Module, package: str) -> dict[str, str]:
    """Return name -> the dotted name below `package` that an import anywhere in the source binds to it."""
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
    """Return the dotted names below `package` that a file uses.

    Args:
        path: Says whether it is Python.
        package: A top-level one.
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
            # Also as Serve's import paths spell them, with the attribute behind a colon.
            name = node.value.split(":")[0]
            if re.fullmatch(rf"{package}(\.\w+)+", name):
                names.add(name)
    return frozenset(name for name in names if name.startswith(f"{package}."))
