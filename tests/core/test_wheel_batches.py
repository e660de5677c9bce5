"""Tests of core.wheels.wheel_batches."""

from __future__ import annotations

from typing import Optional

import pytest

from slim_ray_image.core.wheels.wheel_batches import LARGE_WHEEL_BYTES, batches
from slim_ray_image.core.wheels.wheels import LockedWheel


def wheel(name: str, byte_count: Optional[int] = 1) -> LockedWheel:
    return LockedWheel(name, "1.0", f"{name}-1.0-py3-none-any.whl", "0" * 64, byte_count, "")


SMALL = [wheel(f"small-{number}") for number in range(40)]


def test_large_wheels_are_alone_largest_first() -> None:
    """A wheel of the threshold's size or larger is a batch of its own, and the largest come first."""
    large = [
        wheel("b", LARGE_WHEEL_BYTES),
        wheel("a", LARGE_WHEEL_BYTES),
        wheel("c", LARGE_WHEEL_BYTES + 1),
    ]
    found = batches([*SMALL, *large, wheel("almost", LARGE_WHEEL_BYTES - 1)])
    assert [[each.name for each in batch] for batch in found[:3]] == [["c"], ["a"], ["b"]]
    assert all(len(batch) > 1 for batch in found[3:])


def test_every_wheel_is_in_one_batch() -> None:
    """Each wheel is in exactly one batch."""
    wheels = [*SMALL, wheel("large", LARGE_WHEEL_BYTES), wheel("unknown", None)]
    found = [each.name for batch in batches(wheels) for each in batch]
    assert sorted(found) == sorted(each.name for each in wheels)


@pytest.mark.parametrize("name", ["one-more", "another", "small-x", "zlib"])
def test_small_wheel_more_changes_one_batch_alone(name: str) -> None:
    """Two services that differ in one small wheel share all batches but one."""
    before, after = set(batches(SMALL)), set(batches([*SMALL, wheel(name)]))
    assert len(before) == len(after) > 2
    assert len(before - after) == len(after - before) == 1


def test_large_wheel_more_changes_no_batch() -> None:
    """A large wheel adds a batch and leaves the other batches unchanged."""
    large = wheel("large", LARGE_WHEEL_BYTES)
    assert set(batches([*SMALL, large])) == {*batches(SMALL), (large,)}


def test_wheel_of_unknown_size_is_small() -> None:
    """Wheels of unknown size are batched like small wheels."""
    unknown = [wheel(each.name, None) for each in SMALL]
    assert [[w.name for w in b] for b in batches(unknown)] == [
        [w.name for w in b] for b in batches(SMALL)
    ]


def test_version_and_size_do_not_move_a_wheel() -> None:
    """Names determine batches, so an update of a small wheel changes one batch."""
    updated = LockedWheel("small-7", "2.0", "small-7-2.0-py3-none-any.whl", "1" * 64, 999, "x")
    before = batches(SMALL)
    after = batches([updated if each.name == "small-7" else each for each in SMALL])
    assert len(set(before) - set(after)) == len(set(after) - set(before)) == 1


def test_batches_are_the_same_in_every_process() -> None:
    """Batches depend on the letters of names, not on Python's `hash`, which differs from process to process."""
    names = [[each.name for each in batch] for batch in batches(map(wheel, "abcde"))]
    assert names == [["d"], ["a", "e"], ["b"], ["c"]]


def test_no_wheels_are_no_batches() -> None:
    """Without wheels there are no batches."""
    assert batches([]) == ()
