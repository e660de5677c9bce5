"""The text of a Python source as a tree."""

from __future__ import annotations

import ast

import pytest

from slim_ray_image.core.parsing import parse_module


def test_source_has_a_tree() -> None:
    """That of `ast`, in the encoding that the source says it is in."""
    tree = parse_module("# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    assert tree is not None
    assert ast.literal_eval(tree.body[0].value) == "é"  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", [b"def", b"a = '\0'", b"a = '\xff'", b"print 'Python 2'"])
def test_what_is_no_source_has_none(source: bytes) -> None:
    """Whatever is wrong with it, nobody stumbles over it."""
    assert parse_module(source) is None
