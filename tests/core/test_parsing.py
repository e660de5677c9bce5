"""Tests of core.python.parsing."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Callable, Mapping, Optional

import pytest
from conftest import PYTHONPATH

from slim_ray_image.core.python.module_uses import find_uses
from slim_ray_image.core.python.parsing import parse_module


def test_source_has_a_tree() -> None:
    """A source has the tree that `ast` makes, decoded by the encoding that the source declares."""
    tree = parse_module("# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    assert tree is not None
    assert ast.literal_eval(tree.body[0].value) == "é"  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", [b"def", b"a = '\0'", b"a = '\xff'", b"print 'Python 2'"])
def test_what_is_no_source_has_none(source: bytes) -> None:
    """Text that is not valid Python has no tree, and raises no error."""
    assert parse_module(source) is None


# --- Deep nesting

# Each part of such a source adds a level to the tree, and to the C stack.
DEEP: Mapping[str, Callable[[int], str]] = {
    "sum": lambda n: "x = " + " + ".join(["1"] * n),
    "sum in brackets": lambda n: "x = (\n    1\n" + "    + 1\n" * n + ")",
    "attributes": lambda n: "x = a" + ".b" * n,
    "calls": lambda n: "x = a" + ".b()" * n,
    "items": lambda n: "x = a" + "[0]" * n,
    "elif": lambda n: "if a: pass\n" + "elif a: pass\n" * n + "else:\n    pass",
    "negations": lambda n: "x = " + "-" * n + "1",
    "lambdas": lambda n: "x = " + "lambda: " * n + "1",
    "conditions": lambda n: "x = " + "a if b else " * n + "c",
}


def module(deep: str) -> bytes:
    """Return a module with imports before, after and inside of the nested part."""
    return (
        "import first\nfrom package import second as other  # why\n"
        "def function(a):\n    import third\n    return a\n"
        f"{deep}\n"
        "try:\n    import fourth\nexcept ImportError: import fifth\n"
        "if first:\n    pass\nelse: import sixth\n"
        "from package import (\n    seventh,\n    eighth,\n)\n"
    ).encode()


def imports(tree: Optional[ast.Module]) -> dict[str, int]:
    """Map each name that a tree imports to the line of the import."""
    assert tree is not None
    return {
        alias.name: node.lineno
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }


@pytest.mark.parametrize("count", [3000, 30_000])
@pytest.mark.parametrize("kind", DEEP)
def test_imports_of_a_deep_source_are_found(kind: str, count: int) -> None:
    """In a source that some or all Pythons cannot parse as a whole, imports are found at their lines."""
    deep = DEEP[kind](count)
    below = 5 + deep.count("\n") + 1
    assert imports(parse_module(module(deep))) == {
        **{"first": 1, "second": 2, "third": 4, "fourth": below + 2, "fifth": below + 3},
        **{"sixth": below + 6, "seventh": below + 7, "eighth": below + 7},
    }


def test_names_of_a_deep_source_are_found() -> None:
    """In a source that cannot be parsed, the names in code and in strings count as uses of modules."""
    line = "-" * 100_000 + "ray.data.range(3) if not other else f('ray.serve')"
    source = f"import ray\nx = {line}\n".encode()
    assert find_uses("a.py", source, "ray") == {"ray.data", "ray.data.range", "ray.serve"}


def test_source_of_no_encoding_has_no_tree() -> None:
    """A source with an unknown encoding has no tree, even if it is deeply nested."""
    deep = b"x = " + b"-" * 100_000 + b"1\n"
    assert parse_module(b"# coding: no-such-encoding\n" + deep) is None
    assert parse_module(b"a = '\xff'\n" + deep) is None


_IN_A_SMALL_STACK = """\
import sys, threading
from slim_ray_image.core.python.module_uses import find_uses
from slim_ray_image.core.python.parsing import parse_module
source = b"x = a" + b".b()" * 200_000
def parse():
    global tree
    tree = parse_module(source)
    del tree
    parse_module.cache_clear()
threading.stack_size(1 << 20)
thread = threading.Thread(target=parse)
thread.start()
thread.join()
assert threading.stack_size() == 1 << 20
print("alive")
"""


def test_deep_source_does_not_end_the_process() -> None:
    """A deep source does not overflow the small stack of a Pants thread, which would end the process of all users."""
    result = subprocess.run(
        [sys.executable, "-c", _IN_A_SMALL_STACK],
        env={"PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (0, "alive\n"), result.stderr
