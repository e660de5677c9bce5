"""Stage 4 of 6: find import statements whose modules the image lacks.

Pants warns of an import without an owner only when it infers dependencies anew, and also if a distribution of the image
contains the module. This check compares import statements with the modules that are in the image.

In: the text of a source. Out: the statements that must succeed in a run; of these, the ones whose module is missing.
Language: https://docs.python.org/3/reference/simple_stmts.html#the-import-statement.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Iterable, Iterator, Optional

from slim_ray_image.core.python.expressions import one_line
from slim_ray_image.core.python.module_names import HeldModules, absolute_name
from slim_ray_image.core.python.parsing import parse_module

# The comment that excludes a line from Pants' own inference.
_IGNORE = b"# pants: no-infer-dep"
_CONDITIONS = frozenset({"TYPE_CHECKING", "platform", "version_info"})
_CAUGHT = frozenset({"BaseException", "Exception", "ImportError", "ModuleNotFoundError"})


@dataclass(frozen=True)
class ImportStatement:
    """An import statement for one module, with its place in the sources.

    Attributes:
        path: Path of the source, relative to the folder that is on PYTHONPATH.
        text: The statement, on one line.
        module: The absolute name of the imported module.
    """

    path: str
    line: int
    text: str
    module: str


def _names(node: Optional[ast.AST]) -> frozenset[str]:
    """Return the names of all variables and attributes in an expression."""
    nodes = list(ast.walk(node)) if node else []
    return frozenset(
        [n.id for n in nodes if isinstance(n, ast.Name)]
        + [n.attr for n in nodes if isinstance(n, ast.Attribute)]
    )


def _is_guarded(statement: ast.stmt) -> bool:
    """Return whether imports in a block may fail: it catches ImportError, or is only for some Pythons or platforms."""
    if isinstance(statement, ast.If):
        return bool(_names(statement.test) & _CONDITIONS)
    if isinstance(statement, ast.Try):
        return any(h.type is None or _names(h.type) & _CAUGHT for h in statement.handlers)
    if isinstance(statement, ast.With):
        names = frozenset().union(*(_names(item.context_expr) for item in statement.items))
        return "suppress" in names and bool(names & _CAUGHT)
    return False


def _unguarded_imports(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the import statements outside of blocks that catch ImportError or do not run on every Python or platform.

    Expressions are skipped, since they contain no statements.
    """
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif not (isinstance(node, ast.stmt) and _is_guarded(node)):
            pending += [child for child in ast.iter_child_nodes(node) if not _is_expression(child)]


def _is_expression(node: ast.AST) -> bool:
    return isinstance(node, (ast.expr, ast.expr_context, ast.arguments))


def _imported(node: ast.stmt, package: str) -> Iterator[tuple[str, str]]:
    """Yield (module, text of the statement) for each module that an import statement names."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, one_line(ast.Import([alias]))
    elif isinstance(node, ast.ImportFrom):
        module = absolute_name("." * node.level + (node.module or ""), package)
        if module:
            yield module, one_line(node)


def find_import_statements(path: str, source: bytes) -> tuple[ImportStatement, ...]:
    """Return the imports of `source` that must succeed in a run, sorted by line.

    An import is left out if a handler around it catches its failure, if a condition limits it to some Pythons,
    platforms or type checkers, or if its line has the comment `# pants: no-infer-dep`.

    Args:
        path: Path of the source, relative to the folder that is on PYTHONPATH.
        source: Text of the module. The result is empty if it is not valid for the running Python.
    """
    if b"import" not in source:
        return ()
    tree = parse_module(source)
    if tree is None:
        return ()
    package = ".".join(path.split("/")[:-1])
    lines = source.splitlines()
    found = [
        ImportStatement(path, node.lineno, text, module)
        for node in _unguarded_imports(tree)
        if _IGNORE not in b"\n".join(lines[node.lineno - 1 : node.end_lineno])
        for module, text in _imported(node, package)
    ]
    return tuple(sorted(found, key=lambda statement: (statement.line, statement.module)))


def missing_imports(
    found: Iterable[ImportStatement], held: HeldModules
) -> tuple[ImportStatement, ...]:
    """Return the import statements whose module is not importable (none of `held`)."""
    return tuple(statement for statement in found if not held.has(statement.module))
