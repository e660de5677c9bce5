"""Parse the text of a Python source into a syntax tree, however deeply the source is nested.

CPython's parser, and its conversion of the tree into objects, recurse in C: one call or several for each operator of a
sum, link of a chain of calls, `elif` or nested bracket. Generated code has thousands of them. Beyond a depth that
differs between versions of Python, they raise RecursionError or MemoryError. Python 3.9 and 3.10 do not count the
depth, so a stack that is too small would end the process.
"""

from __future__ import annotations

import ast
import contextlib
import io
import keyword
import re
import threading
import tokenize
from functools import lru_cache
from typing import Iterator, Optional, Union

# Errors that Python raises for a source that is valid, but nested too deeply.
TOO_DEEP = (RecursionError, MemoryError, OverflowError)
_INVALID = (SyntaxError, ValueError)  # ValueError: the source has a null byte
# Measured on CPython 3.9 and 3.10: a level of nesting takes 81 B of stack, and at least 2 B of source. The least stack
# is for the parser, which needs it before it gives up.
_STACK_PER_BYTE, _LEAST_STACK, _MOST_STACK = 128, 16 << 20, 4 << 30
_SMALL_SOURCE = 1000  # in bytes; any stack is large enough for such a source
_STACK_SIZE_LOCK = threading.Lock()
# An import at the start of a line, or after a colon or semicolon on the line. Linear: each line is scanned once.
_IMPORT = re.compile(
    r"""^(?:[^#'"\n]*[:;])?[ \t]*((?:from|import)[ \t.](?:\\\n|[^#;\n(\\])*(?:\([^)]{0,5000}\))?)""",
    re.MULTILINE,
)
# A dotted name. One that is longer than any module's is split into several.
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*){0,50}")


def parse_source(source: Union[str, bytes]) -> ast.Module:
    """Return the syntax tree by `ast.parse`; a large source is parsed in a thread with a stack that is large enough.

    Raises:
        SyntaxError, ValueError: If `source` is not valid for the running Python.
        RecursionError, MemoryError, OverflowError: If `source` is nested too deeply for the running Python.
    """
    if len(source) < _SMALL_SOURCE:
        return ast.parse(source)
    trees: list[ast.Module] = []
    errors: list[BaseException] = []

    def parse() -> None:
        try:
            trees.append(ast.parse(source))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=parse, daemon=True)
    size = min(_LEAST_STACK + _STACK_PER_BYTE * len(source), _MOST_STACK)
    with _STACK_SIZE_LOCK:
        before = threading.stack_size(size)
        try:
            thread.start()
        except RuntimeError as error:  # there is no address space for such a stack
            raise MemoryError(str(error)) from error
        finally:
            threading.stack_size(before)
    thread.join()
    if errors:
        raise errors[0]
    return trees[0]


def _imports(text: str) -> Iterator[ast.stmt]:
    for match in _IMPORT.finditer(text):
        with contextlib.suppress(*_INVALID):  # the match is prose in a docstring or comment
            for statement in parse_source(match[1]).body:
                yield ast.increment_lineno(statement, text.count("\n", 0, match.start(1)))


def _names(text: str) -> Iterator[ast.stmt]:
    """Yield two statements for each name in a text, such as `a.b`: the name itself, and the name as a string."""
    names = dict.fromkeys(_NAME.findall(text))
    found = [name for name in names if not any(map(keyword.iskeyword, name.split(".")))]
    for statement in parse_source("".join(f"{name}\n{name!r}\n" for name in found)).body:
        yield ast.copy_location(statement, ast.Pass(lineno=1, col_offset=0))


def _parse_shallowly(source: bytes) -> Optional[ast.Module]:
    """Return a syntax tree of only the imports and names in a source: maybe too many of them, but not too few."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = re.sub("\r\n?", "\n", source.decode(encoding))
        return ast.Module([*_imports(text), *_names(text)], [])
    except _INVALID:
        return None


@lru_cache(maxsize=1)  # several searches parse the same source, one after the other
def parse_module(source: bytes) -> Optional[ast.Module]:
    """Return the syntax tree, not to be changed, of a source; None if it is not valid for the running Python.

    If a source is nested too deeply for Python's parser, the tree has only its imports, all at the level of the module,
    and its names. So its imports and uses are found like those of any other source.
    """
    try:
        return parse_source(source)
    except _INVALID:
        return None
    except TOO_DEEP:
        return _parse_shallowly(source)
