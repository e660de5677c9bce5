"""Names in syntax trees: the objects that expressions refer to, and the text of an expression for a message."""

from __future__ import annotations

import ast
from typing import Mapping, Optional

_MOST_CHARACTERS = 100
_MOST_NAMES = 100


def aliases_of(tree: ast.Module) -> dict[str, str]:
    """Map each name that an import anywhere in the source binds to the dotted name of the imported object."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                found[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def names_of(node: ast.AST) -> tuple[str, ...]:
    """Return the names in an expression such as `a.b.c`, in order; none for another kind, or for too many names."""
    names: list[str] = []
    while isinstance(node, ast.Attribute) and len(names) < _MOST_NAMES:
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def dotted_name(node: ast.AST, aliases: Mapping[str, str]) -> Optional[str]:
    """Return the dotted name that an expression such as `a.b.c` refers to, with `a` replaced by its import."""
    names = names_of(node)
    return ".".join([aliases.get(names[0], names[0]), *names[1:]]) if names else None


def one_line(node: ast.AST) -> str:
    """Return the source of a call or a statement on one line, shortened for a list in a message."""
    try:
        text = " ".join(ast.unparse(node).split())
    except RecursionError:  # an argument is nested too deeply
        text = f"{ast.unparse(node.func) if isinstance(node, ast.Call) else '...'}(...)"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS - 3]}..."
