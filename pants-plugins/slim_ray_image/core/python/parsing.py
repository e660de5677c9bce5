"""The text of a Python source -> its syntax tree, for whoever looks for something in it.

CPython's parser and what makes objects of its tree go down into a tree by calls in C: one or several for each operator
of a sum, link of a chain of calls, `elif` or nested bracket. Generated code has thousands of them. From a depth on
that differs from Python to Python they raise RecursionError or MemoryError; Python 3.9 and 3.10 do not count, so the
process would end at the end of its stack.
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

# What Python raises of a source that is valid, but nested too deeply for it.
TOO_DEEP = (RecursionError, MemoryError, OverflowError)
_INVALID = (SyntaxError, ValueError)  # the latter of a null byte
# Measured on CPython 3.9 and 3.10: 81 B a level, and a level is 2 B of source or more. And what the parser takes before
# it gives up.
_STACK_PER_BYTE, _LEAST_STACK, _MOST_STACK = 128, 16 << 20, 4 << 30
_SMALL_SOURCE = 1000  # bytes, for which any stack is large enough
_STACK_SIZE_LOCK = threading.Lock()
# At the start of a line, or behind what starts a block on it. Linear: each line is looked at once.
_IMPORT = re.compile(
    r"""^(?:[^#'"\n]*[:;])?[ \t]*((?:from|import)[ \t.](?:\\\n|[^#;\n(\\])*(?:\([^)]{0,5000}\))?)""",
    re.MULTILINE,
)
# Longer ones than any module has are several.
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*){0,50}")


def parse_source(source: Union[str, bytes]) -> ast.Module:
    """Return the tree that `ast.parse` makes, which then has a stack that is large enough.

    Raises:
        SyntaxError, ValueError: If `source` is not valid for the running Python.
        RecursionError, MemoryError, OverflowError: If it is nested too deeply for the running Python.
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
        with contextlib.suppress(*_INVALID):  # prose
            for statement in parse_source(match[1]).body:
                yield ast.increment_lineno(statement, text.count("\n", 0, match.start(1)))


def _names(text: str) -> Iterator[ast.stmt]:
    """Yield a statement for each name in a text, such as `a.b`, and one that spells it as a string."""
    names = dict.fromkeys(_NAME.findall(text))
    found = [name for name in names if not any(map(keyword.iskeyword, name.split(".")))]
    for statement in parse_source("".join(f"{name}\n{name!r}\n" for name in found)).body:
        yield ast.copy_location(statement, ast.Pass(lineno=1, col_offset=0))


def _parse_shallowly(source: bytes) -> Optional[ast.Module]:
    """Return a tree of the imports in a source, and of the names, rather one too many than one too few."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = re.sub("\r\n?", "\n", source.decode(encoding))
        return ast.Module([*_imports(text), *_names(text)], [])
    except _INVALID:
        return None


@lru_cache(maxsize=1)  # several look at one source, one after the other
def parse_module(source: bytes) -> Optional[ast.Module]:
    """Return the tree, which is not to be changed; None of what is not valid for the running Python.

    Of a source that is nested too deeply for Python's parser, the tree has the imports, all at the level of the module,
    and the names; so what it imports and uses is found like that of any other.
    """
    try:
        return parse_source(source)
    except _INVALID:
        return None
    except TOO_DEEP:
        return _parse_shallowly(source)
