"""Find the Ray Serve application of a module for `pants tailor`: `NAME = X.bind(...)` at the top level.

A module without an import of `ray.serve` has no application, since other objects have a method `bind` too.
"""

from __future__ import annotations

import ast
from typing import Iterator, Optional

from slim_ray_image.core.python.parsing import parse_module

_USUAL_NAME = "app"


def may_bind_application(source: bytes) -> bool:
    """Return whether a source contains `.bind(`, `serve` and `ray`, without which it has no Serve application."""
    return b".bind(" in source and b"serve" in source and b"ray" in source


def _is_serve(module: str) -> bool:
    return module == "ray.serve" or module.startswith("ray.serve.")


def _imports_serve(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(_is_serve(alias.name) for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            if any(map(_is_serve, names)):
                return True
    return False


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module assigns a call `X.bind(...)` to at its top level, in the order of the module."""
    for node in tree.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or not isinstance(
            node.value, ast.Call
        ):
            continue
        function = node.value.func
        if isinstance(function, ast.Attribute) and function.attr == "bind":
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def bound_application(source: bytes) -> Optional[str]:
    """Return the name to which a module assigns its Ray Serve application, as in `app = X.bind(...)`; None if to none.

    If there are several, return `app`, or else the last one: an application is bound after its own deployments.
    Return None if there is none, or if `source` is not valid for the running Python.
    """
    tree = parse_module(source)
    if tree is None:
        return None
    names = list(_bound_names(tree)) if _imports_serve(tree) else []
    if _USUAL_NAME in names:
        return _USUAL_NAME
    return names[-1] if names else None
