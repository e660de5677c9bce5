"""The names that a module defines, found without running the module."""

from __future__ import annotations

import ast
from typing import Iterator, Optional, Union

from slim_ray_image.core.python.expressions import aliases_of, dotted_name
from slim_ray_image.core.python.parsing import TOO_DEEP, parse_source

# Decorators whose result is a deployment, which still has to be bound.
_DEPLOYMENTS = frozenset({"ray.serve.deployment", "ray.serve.ingress"})


def _captured_name(node: ast.AST) -> Optional[str]:
    """Return the name that a pattern of `match` binds; such names are not nodes of the class `ast.Name`."""
    if type(node).__name__ in ("MatchAs", "MatchStar", "MatchMapping"):  # not in Python 3.9
        return getattr(node, "name", None) or getattr(node, "rest", None)
    return None


def _imported_names(statement: Union[ast.Import, ast.ImportFrom]) -> Iterator[str]:
    """Yield the names that an import statement binds; "*" for a star import, which can bind any name."""
    for alias in statement.names:
        name = alias.name.split(".")[0] if isinstance(statement, ast.Import) else alias.name
        yield alias.asname or name


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the module binds when it is imported; "*" for a star import, which can bind any name.

    The search enters blocks, but not functions, classes and lambdas. In a comprehension, it counts only `:=`.
    """
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
            continue
        if isinstance(node, ast.Lambda) or (isinstance(node, ast.AnnAssign) and not node.value):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _imported_names(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        captured = _captured_name(node)
        if captured:
            yield captured
        own = [node.target] if isinstance(node, ast.comprehension) else []
        pending += [child for child in ast.iter_child_nodes(node) if child not in own]


def defined_names(source: Union[str, bytes]) -> Optional[frozenset[str]]:
    """Return the names that `source` binds at module level, without running it.

    Names that a function declares `global` count. Return None if the names cannot be known this way: the source uses
    `from x import *`, a module `__getattr__` or `globals()`, or is nested too deeply for the running Python.

    Raises:
        SyntaxError: If `source` is not valid for the running Python.
    """
    try:
        tree = parse_source(source)
    except TOO_DEEP:
        return None
    names = set(_bound_names(tree))
    calls_globals = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            names.update(node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            calls_globals |= node.func.id == "globals"
    if "*" in names or "__getattr__" in names or calls_globals:
        return None
    return frozenset(names)


def _is_unbound(node: ast.AST, tree: ast.Module) -> bool:
    """Return whether a node defines a class or a deployment, which has to be bound before Ray Serve can serve it.

    A function without a decorator is not counted, since it can be an application builder.
    """
    if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return False
    if not node.decorator_list:
        return isinstance(node, ast.ClassDef)
    outermost = node.decorator_list[0]
    function = outermost.func if isinstance(outermost, ast.Call) else outermost
    return dotted_name(function, aliases_of(tree)) in _DEPLOYMENTS


def unbound_definition(source: Union[str, bytes], name: str) -> Optional[int]:
    """Return the number of the line that defines `name` as a class or a deployment that is not bound, so not servable.

    Return None if the name has, or may have, any other definition.

    Raises:
        SyntaxError: If `source` is not valid for the running Python.
    """
    names = defined_names(source)
    if names is None:
        return None
    tree = parse_source(source)
    rebound = {n for node in ast.walk(tree) if isinstance(node, ast.Global) for n in node.names}
    if name in rebound or list(_bound_names(tree)).count(name) != 1:
        return None
    lines = (
        node.lineno
        for node in tree.body
        if getattr(node, "name", None) == name and _is_unbound(node, tree)
    )
    return next(lines, None)
