"""Stage 4 of 6: find calls that import modules by name, such as `import_module`, which Pants cannot follow.

In: the text of a source. Out: the calls that import by name or look up entry points; of these, the calls that may need
modules outside of the image. Language: https://docs.python.org/3/library/importlib.html and
https://packaging.python.org/en/latest/specifications/entry-points/.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Iterable, Optional

from slim_ray_image.core.python.expressions import aliases_of, dotted_name, one_line
from slim_ray_image.core.python.module_names import HeldModules, absolute_name
from slim_ray_image.core.python.parsing import parse_module

KIND_IMPORT = "import"
KIND_ENTRY_POINTS = "entry_points"

_FUNCTIONS = {
    "__import__": KIND_IMPORT,
    "builtins.__import__": KIND_IMPORT,
    "importlib.__import__": KIND_IMPORT,
    "importlib.import_module": KIND_IMPORT,
    "importlib.metadata.entry_points": KIND_ENTRY_POINTS,
    "importlib_metadata.entry_points": KIND_ENTRY_POINTS,
    "pkg_resources.iter_entry_points": KIND_ENTRY_POINTS,
}
# Most sources have none of these words, and to parse every source would take longer than the rest of an edit's build.
_WORDS = (b"import_module", b"__import__", b"entry_points")


@dataclass(frozen=True)
class DynamicImport:
    """A call that imports a module by its name, or looks up entry points.

    Attributes:
        path: Path of the source, relative to the folder that is on PYTHONPATH.
        kind: KIND_IMPORT or KIND_ENTRY_POINTS.
        text: The call, on one line.
        module: The absolute name of the imported module; None if the call does not contain it as a literal.
    """

    path: str
    line: int
    kind: str
    text: str
    module: Optional[str] = None


def _argument(call: ast.Call, position: int, keyword: str) -> Optional[ast.expr]:
    if len(call.args) > position:
        return call.args[position]
    return next((k.value for k in call.keywords if k.arg == keyword), None)


def _literal(node: Optional[ast.expr]) -> Optional[str]:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[union-attr]


def _named_module(call: ast.Call, package: str) -> Optional[str]:
    """Return the absolute name of the module that a call such as `import_module("a.b")` has as a literal.

    A relative name is resolved against the package that the call passes, where `__package__` means `package`.
    """
    name = _literal(_argument(call, 0, "name"))
    anchor = _argument(call, 1, "package")
    is_own = isinstance(anchor, ast.Name) and anchor.id == "__package__"
    return absolute_name(name, package if is_own else _literal(anchor)) if name else name


def find_dynamic_imports(path: str, source: bytes) -> tuple[DynamicImport, ...]:
    """Return the calls of `source` that import by name or look up entry points, sorted by line.

    A call is found under any name that an import statement gives the function, but not under a name from an assignment.

    Args:
        path: Path of the source, relative to the folder that is on PYTHONPATH.
        source: Text of the module. The result is empty if it is not valid for the running Python.
    """
    if not any(word in source for word in _WORDS):
        return ()
    tree = parse_module(source)
    if tree is None:
        return ()
    aliases = aliases_of(tree)
    package = ".".join(path.split("/")[:-1])
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        kind = _FUNCTIONS.get(dotted_name(call.func, aliases) or "")
        if kind:
            module = _named_module(call, package) if kind == KIND_IMPORT else None
            found.append(DynamicImport(path, call.lineno, kind, one_line(call), module))
    return tuple(sorted(found, key=lambda call: (call.line, call.text)))


def unfollowed_imports(
    found: Iterable[DynamicImport], held: HeldModules
) -> tuple[DynamicImport, ...]:
    """Return the calls that import by name, except those with the literal name of an importable module of `held`."""
    return tuple(call for call in found if call.module is None or not held.has(call.module))
