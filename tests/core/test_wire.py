"""Tests of core.wire."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Mapping, Optional

import pytest

from slim_ray_image.core.wheels.uv_call import NetworkPlaces
from slim_ray_image.core.wheels.wheels import FetchRequest, LockedWheel
from slim_ray_image.core.wire import from_json, to_json


@dataclass(frozen=True)
class Leaf:
    """A dataclass inside of another."""

    name: str
    number: Optional[int]


@dataclass(frozen=True)
class Tree:
    """A dataclass with a field of each supported type."""

    text: str
    count: int
    is_whole: bool
    ratio: float
    leaf: Leaf
    maybe: Optional[Leaf]
    leaves: tuple[Leaf, ...]
    pair: tuple[str, int]
    rows: tuple[tuple[str, str], ...]
    by_name: Mapping[str, Leaf]


TREE = Tree(
    text="\u00fc",
    count=1,
    is_whole=True,
    ratio=0.5,
    leaf=Leaf("a", 1),
    maybe=None,
    leaves=(Leaf("b", None), Leaf("c", 3)),
    pair=("d", 4),
    rows=(("e", "f"), ("g", "h")),
    by_name={"i": Leaf("j", None)},
)


def changed(**changes: Any) -> str:
    """Return the JSON of `TREE` with other values."""
    return json.dumps({**asdict(TREE), **changes})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(TREE, id="every form"),
        pytest.param(
            Tree("", 0, False, 0.0, Leaf("", None), Leaf("x", 0), (), ("", 0), (), {}), id="empty"
        ),
        pytest.param(
            FetchRequest(
                (LockedWheel("a", "1", "a-1-py3-none-any.whl", "0" * 64, None, ""),),
                NetworkPlaces(("https://index.example",), (), ""),
            ),
            id="a request",
        ),
    ],
)
def test_dataclass_is_read_as_it_was_written(value: Any) -> None:
    """A dataclass survives JSON: tuples, nested dataclasses and None come back as they were."""
    text = to_json(value)
    assert from_json(type(value), text) == from_json(type(value), text.encode()) == value


def test_json_has_one_spelling() -> None:
    """Equal values have equal text in any order of a mapping, since the text is part of cache keys."""
    first, second = Leaf("x", 1), Leaf("y", 2)
    one, other = (
        Tree(**{**vars(TREE), "by_name": by_name})
        for by_name in ({"a": first, "b": second}, {"b": second, "a": first})
    )
    assert to_json(one) == to_json(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            changed(other=1), "Tree has other keys than it should: other.", id="unknown key"
        ),
        pytest.param(
            json.dumps({k: v for k, v in asdict(TREE).items() if k != "text"}),
            "Tree has other keys than it should: text.",
            id="missing key",
        ),
        pytest.param(
            changed(leaf={"name": "a"}),
            "Tree.leaf has other keys than it should: number.",
            id="missing key below",
        ),
        pytest.param(changed(text=1), "Tree.text is 1, which is no str.", id="no text"),
        pytest.param(changed(text=None), "Tree.text is None, which is no str.", id="None"),
        pytest.param(changed(count="1"), "Tree.count is '1', which is no int.", id="no number"),
        pytest.param(
            changed(count=True), "Tree.count is True, which is no int.", id="bool is no int"
        ),
        pytest.param(
            changed(is_whole=1), "Tree.is_whole is 1, which is no bool.", id="int is no bool"
        ),
        pytest.param(changed(ratio=1), "Tree.ratio is 1, which is no float.", id="int is no float"),
        pytest.param(changed(leaf=[]), "Tree.leaf is [], which is no dict.", id="no dataclass"),
        pytest.param(changed(leaf=None), "Tree.leaf is None, which is no dict.", id="no leaf"),
        pytest.param(
            changed(maybe={"name": 1, "number": 1}),
            "Tree.maybe.name is 1, which is no str.",
            id="wrong below an optional",
        ),
        pytest.param(changed(leaves={}), "Tree.leaves is {}, which is no list.", id="no tuple"),
        pytest.param(
            changed(leaves=[{"name": "a", "number": "1"}]),
            "Tree.leaves[].number is '1', which is no int.",
            id="wrong in a tuple",
        ),
        pytest.param(changed(pair=["a"]), "Tree.pair has 1 values, not 2.", id="too short"),
        pytest.param(changed(pair=["a", "b"]), "Tree.pair[] is 'b', which is no int.", id="pair"),
        pytest.param(
            changed(rows=[["a", "b", "c"]]), "Tree.rows[] has 3 values, not 2.", id="too long"
        ),
        pytest.param(changed(by_name=[]), "Tree.by_name is [], which is no dict.", id="no mapping"),
        pytest.param(
            changed(by_name={"x": {"name": "a", "number": 1.0}}),
            "Tree.by_name['x'].number is 1.0, which is no int.",
            id="wrong in a mapping",
        ),
        pytest.param("[]", "Tree is [], which is no dict.", id="no object"),
    ],
)
def test_text_of_another_form_is_refused(text: str, expected: str) -> None:
    """A text that does not fit the dataclass is an error that names the place in the text."""
    with pytest.raises(ValueError) as caught:
        from_json(Tree, text)
    assert str(caught.value) == expected


def test_text_that_is_no_json_is_refused() -> None:
    """A text that is not complete JSON is an error."""
    with pytest.raises(ValueError):
        from_json(Tree, to_json(TREE)[:-1])
