"""Stage 1 of 6: parse the fields `serve_app` and `entry_point`, and find the names that a module defines.

In: the field's text. Out: a module (or a file beside the BUILD file), an attribute, arguments.
`serve_app` has the grammar of Ray Serve's `import_path`, `module.path:attribute`:
https://docs.ray.io/en/releases-2.48.0/serve/production-guide/config.html
"""

from __future__ import annotations

import ast
import keyword
import shlex
from dataclasses import dataclass
from typing import Iterator, Optional, Union

from slim_ray_image.core.errors import InvalidValueError
from slim_ray_image.core.python.dynamic_imports import aliases_of, dotted_name
from slim_ray_image.core.python.parsing import TOO_DEEP, parse_source

# Decorators whose result is a deployment, which still has to be bound.
_DEPLOYMENTS = frozenset({"ray.serve.deployment", "ray.serve.ingress"})


@dataclass(frozen=True)
class ImportPath:
    """`module:attribute`, the place from which Ray Serve imports an application."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


@dataclass(frozen=True)
class EntryPoint:
    """A module or a file to run, with its arguments.

    Attributes:
        module: Dotted name of the module; None if `file` is set.
        file: Path relative to the folder of the BUILD file; None if `module` is set.
        script: Path of the module's file, relative to the working directory, if the command names the path. Python then
            runs the file as a script, not as part of a package.
    """

    module: Optional[str]
    file: Optional[str]
    arguments: tuple[str, ...]
    script: Optional[str] = None


def is_dotted_name(text: str) -> bool:
    """Return whether an `import` statement can name `text`."""
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def file_module(path: str) -> Optional[str]:
    """Return the dotted name of the module at `path`, relative to a source root; None if no import can name it."""
    stem, _, suffix = path.rpartition(".")
    module = stem.replace("/", ".")
    return module if suffix == "py" and "." not in stem and is_dotted_name(module) else None


def importable_module(path: str) -> Optional[str]:
    """Return the name by which the file at `path` is imported; for an `__init__.py`, the name of its package."""
    module = file_module(path)
    if module is None or module == "__init__":
        return None
    return module[: -len(".__init__")] if module.endswith(".__init__") else module


def parse_import_path(text: str) -> ImportPath:
    """Return the module and the attribute that `text` names.

    Raises:
        InvalidValueError: If `text` is not `module.path:attribute`.
    """
    module, separator, attribute = text.partition(":")
    if separator and is_dotted_name(module) and is_dotted_name(attribute) and "." not in attribute:
        return ImportPath(module, attribute)
    raise InvalidValueError(
        f"must be an import path `module.path:attribute`, but was {text!r}.",
        fixes=[
            "name the module and the variable of the bound application, such as 'services.echo.app:app'"
        ],
    )


def parse_application_path(text: str) -> ImportPath:
    """Return the module and the attribute that an `import_path` of a Serve config names.

    Unlike `serve_app`, the key may also have the form `module.path.attribute`.

    Raises:
        InvalidValueError: If `text` has neither form.
    """
    module, _, attribute = text.rpartition(".")
    return parse_import_path(text if ":" in text or not module else f"{module}:{attribute}")


def parse_entry_point(text: str) -> EntryPoint:
    """Parse a module or a `.py` file, followed by arguments that are split like words of a POSIX shell.

    Raises:
        InvalidValueError: If the first word is neither a module nor a relative `.py` path, or quotes are unbalanced.
    """
    fix = [
        "name a module or a file beside the BUILD file, then its arguments, such as 'driver.py --rounds 3'"
    ]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidValueError(
            f"must be a module or a `.py` file, optionally followed by arguments, but was {text!r} ({error}).",
            fixes=fix,
        ) from error
    if words:
        first, arguments = words[0], tuple(words[1:])
        if first.endswith(".py") and not first.startswith("/") and ".." not in first.split("/"):
            return EntryPoint(None, first, arguments)
        if not first.endswith(".py") and is_dotted_name(first):
            return EntryPoint(first, None, arguments)
    raise InvalidValueError(
        f"must be a module or a `.py` file, optionally followed by arguments, but was {text!r}.",
        fixes=fix,
    )


def _captured_name(node: ast.AST) -> Optional[str]:
    """Return the name that a pattern of `match` binds; such names are not nodes of the class `ast.Name`."""
    if type(node).__name__ in ("MatchAs", "MatchStar", "MatchMapping"):  # not in Python 3.9
        return getattr(node, "name", None) or getattr(node, "rest", None)
    return None


def _imported_names(statement: Union[ast.Import, ast.ImportFrom]) -> Iterator[str]:
    """Yield the names that an import binds; "*" for a star import, which can bind any name."""
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
    """Return the line that defines `name` as a class or a deployment that is not bound, so Ray Serve cannot serve it.

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
