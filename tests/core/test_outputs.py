"""Tests of core.outputs."""

from __future__ import annotations

import pytest
from conftest import Golden, error_text

from slim_ray_image.core.outputs import parse_outputs


@pytest.mark.parametrize(
    "names",
    [[], ["layout"], ["sparse-layout"], ["archive"], ["archive", "layout", "archive"]],
    ids=str,
)
def test_outputs_are_a_set_of_names(names: list[str]) -> None:
    """Any of the names is taken, none included; order and repetition do not matter."""
    assert parse_outputs(names) == frozenset(names)


@pytest.mark.parametrize(
    ("names", "golden_name"),
    [
        (["tar", "layout", "OCI"], "outputs-unknown"),
        (["sparse-layout", "archive", "layout"], "outputs-both-layouts"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(
    names: list[str], golden_name: str, golden: Golden
) -> None:
    """Names that are not known, and the two that are one folder, are refused as received."""
    golden.check(f"errors/{golden_name}.txt", error_text(lambda: parse_outputs(names)))
