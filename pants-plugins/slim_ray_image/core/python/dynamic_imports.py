"""Stage 4 of 6: find imports that Pants cannot follow, because a call makes them by a name.

In: the text of a source. Out: the calls that import by name or look up entry points; of these, the calls that may need
modules outside of the image. Language: https://docs.python.org/3/library/importlib.html and
https://packaging.python.org/en/latest/specifications/entry-points/.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Iterable, Mapping, Optional

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
_MOST_CHARACTERS = 100
_MOST_NAMES = 100


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
    """Return the names of an expression such as `a.b.c`; none for another expression, or for too many names."""
    names: list[str] = []
    while isinstance(node, ast.Attribute) and len(names) < _MOST_NAMES:
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def dotted_name(node: ast.AST, aliases: Mapping[str, str]) -> Optional[str]:
    """Return the dotted name that an expression such as `a.b.c` refers to, with `a` replaced by its import."""
    names = names_of(node)
    return ".".join([aliases.get(names[0], names[0]), *names[1:]]) if names else None


def _argument(call: ast.Call, position: int, keyword: str) -> Optional[ast.expr]:
    if len(call.args) > position:
        return call.args[position]
    return next((k.value for k in call.keywords if k.arg == keyword), None)


def _literal(node: Optional[ast.expr]) -> Optional[str]:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[union-attr]


def absolute_name(name: str, package: Optional[str]) -> Optional[str]:
    """Return the absolute name for a module name that may be relative; None if `name` leads out of `package`."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parents = package.split(".") if package else []
    if level > len(parents):
        return None
    inner = [name[level:]] if name[level:] else []
    return ".".join([*parents[: len(parents) - level + 1], *inner])


def _named_module(call: ast.Call, package: str) -> Optional[str]:
    """Return the absolute name of the module that a call contains as a literal.

    A relative name is resolved against the package that the call passes, where `__package__` means `package`.
    """
    name = _literal(_argument(call, 0, "name"))
    anchor = _argument(call, 1, "package")
    is_own = isinstance(anchor, ast.Name) and anchor.id == "__package__"
    return absolute_name(name, package if is_own else _literal(anchor)) if name else name


def one_line(node: ast.AST) -> str:
    """Return the source of a call or a statement on one line, shortened for a list in a message."""
    try:
        text = " ".join(ast.unparse(node).split())
    except RecursionError:  # an argument is nested too deeply
        text = f"{ast.unparse(node.func) if isinstance(node, ast.Call) else '...'}(...)"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS - 3]}..."


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


def modules_of(paths: Iterable[str]) -> frozenset[str]:
    """Return the dotted names of every module and package that first-party files provide, from the files' paths."""
    found = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        if not name.endswith((".py", ".so")):
            continue
        module = name.split(".")[0]
        parts = [*filter(None, folder.split("/")), *([] if module == "__init__" else [module])]
        found |= {".".join(parts[: end + 1]) for end in range(len(parts))}
    return frozenset(found)


def outermost_modules(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the outermost modules and regular packages of an installed distribution, sorted.

    A namespace package is left out, since other distributions may have parts of it: its children count instead.

    Args:
        paths: Paths of the distribution's files, relative to site-packages.
    """
    files = {path for path in paths if path.endswith((".py", ".so")) and path[0] != "."}
    found = set()
    for path in files:
        *folders, name = path.split("/")
        packages = (folders[: end + 1] for end in range(len(folders)))
        regular = (p for p in packages if "/".join([*p, "__init__.py"]) in files)
        found.add(".".join(next(regular, [*folders, name.split(".")[0]])))
    return tuple(sorted(found))


class HeldModules:
    """The modules that can be imported in an image.

    Args:
        modules: Names of modules and packages. A package here does not include its submodules: each is listed too.
        packages: Packages that are complete: any name below one counts as present. A parent of a package counts too,
            but not its other children.
    """

    def __init__(self, *, modules: Iterable[str] = (), packages: Iterable[str] = ()) -> None:
        self._packages = frozenset(packages)
        self._names = frozenset(modules) | {
            ".".join(parts[: end + 1])
            for parts in (package.split(".") for package in self._packages)
            for end in range(len(parts))
        }

    def has(self, module: str) -> bool:
        parts = module.split(".")
        return module in self._names or any(
            ".".join(parts[:end]) in self._packages for end in range(len(parts))
        )


def unfollowed_imports(
    found: Iterable[DynamicImport], held: HeldModules
) -> tuple[DynamicImport, ...]:
    """Return the calls that may need modules outside of `held`: all that do not name one of its modules."""
    return tuple(call for call in found if call.module is None or not held.has(call.module))
