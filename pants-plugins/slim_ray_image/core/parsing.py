"""The text of a Python source -> its syntax tree, for whoever looks for something in it."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Optional


@lru_cache(maxsize=1)  # several look at one source, one after the other
def parse_module(source: bytes) -> Optional[ast.Module]:
    """Return the tree, which is not to be changed; None of what is not valid for the running Python."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # ValueError: a null byte
        return None
