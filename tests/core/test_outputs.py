"""Tests of core.image.outputs."""

from __future__ import annotations

import pytest
from conftest import error_text

from slim_ray_image.core.image.outputs import parse_outputs


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["layout"],
        ["sparse-layout"],
        ["archive"],
        ["pex"],
        ["archive", "layout", "archive", "pex"],
    ],
    ids=str,
)
def test_outputs_are_a_set_of_names(names: list[str]) -> None:
    """Any set of the names is accepted, also the empty set; order and repetition do not matter."""
    assert parse_outputs(names) == frozenset(names)


@pytest.mark.parametrize(
    ("names", "start"),
    [
        (
            ["tar", "layout", "OCI"],
            "must contain only 'archive', 'layout', 'pex', 'sparse-layout', but has 'OCI', 'tar'.",
        ),
        (
            ["sparse-layout", "archive", "layout"],
            "must not contain both 'layout' and 'sparse-layout': ",
        ),
    ],
    ids=["unknown", "both-layouts"],
)
def test_outputs_that_cannot_be_written_are_refused(names: list[str], start: str) -> None:
    """Unknown names are refused, all in one error, and so are the two layouts together."""
    assert error_text(lambda: parse_outputs(names)).startswith(start)
