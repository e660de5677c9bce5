"""Tests of core.wheels.needs."""

from __future__ import annotations

import pytest
from conftest import MARKER_ENVIRONMENT

from slim_ray_image.core.wheels.needs import needs_of
from slim_ray_image.core.wheels.wheels import Need


def needed(*lines: str, wanted: tuple[str, ...] = (), provided: tuple[str, ...] = ()) -> list[str]:
    """Return the names that Requires-Dist lines require if the extras `wanted` are wanted."""
    needs = needs_of(lines, provided, MARKER_ENVIRONMENT)
    return [need.name for need in needs if need.applies(wanted)]


def test_need_has_canonical_names() -> None:
    """Names of distributions and extras become canonical."""
    assert needs_of(["Foo.Bar[Y_z, a] (>=1)"], (), MARKER_ENVIRONMENT) == (
        Need("foo-bar", ("a", "y-z"), True, False, ()),
    )


@pytest.mark.parametrize(
    ("marker", "is_needed"),
    [
        ("python_version >= '3.10'", True),
        ("python_version < '3.10'", False),
        ("sys_platform == 'win32'", False),
        ("platform_machine == 'x86_64' and sys_platform != 'win32'", True),
    ],
)
@pytest.mark.parametrize("wanted", [(), ("x",)])
def test_marker_of_the_platform_decides(
    marker: str, is_needed: bool, wanted: tuple[str, ...]
) -> None:
    """A requirement for other platforms does not apply, whatever extras are wanted."""
    assert needed(f"foo; {marker}", wanted=wanted) == (["foo"] if is_needed else [])


@pytest.mark.parametrize("provided", [(), ("Fast_io",), ("fast-io",)])
def test_requirement_of_an_extra_is_there_with_it_alone(provided: tuple[str, ...]) -> None:
    """A requirement of an extra applies only with that extra, however METADATA spells or declares the extra."""
    line = 'foo; extra == "Fast_io"' if provided != ("fast-io",) else "foo; extra == 'fast-io'"
    assert needed(line, wanted=("fast-io",), provided=provided) == ["foo"]
    assert needed(line, wanted=(), provided=provided) == []
    assert needed(line, wanted=("other",), provided=provided) == []


def test_extra_and_platform_are_both_held_to() -> None:
    """A requirement of an extra for another platform is no need."""
    line = "foo; extra == 'x' and sys_platform == 'win32'"
    assert needs_of([line], ("x",), MARKER_ENVIRONMENT) == ()


def test_line_that_is_not_valid_is_passed_over() -> None:
    """An invalid line, as old distributions have, is skipped, and the other lines count."""
    assert needed("foo (>1 what)", "bar") == ["bar"]
