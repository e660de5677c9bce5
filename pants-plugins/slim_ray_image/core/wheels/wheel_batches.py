"""Stage 3 of 6: divide wheels into batches; one process fetches, and one describes, all wheels of a batch."""

from __future__ import annotations

from typing import Iterable

from slim_ray_image.core.wheels.wheels import LockedWheel

# A wheel of this size or larger is a batch of its own.
LARGE_WHEEL_BYTES = 15_000_000
# Number of batches for the smaller wheels. The name of a wheel determines its batch, so that one batch changes when a
# service gains or loses a distribution.
_BATCHES = 4


def number_of(name: str, count: int) -> int:
    """Return the number, from 0, of the group that a distribution belongs to by its name, if there are `count` groups.

    The number depends on the name only. Any function that spreads names evenly would do.
    """
    return sum(name.encode()) % count


def batches(wheels: Iterable[LockedWheel]) -> tuple[tuple[LockedWheel, ...], ...]:
    """Divide wheels into batches: each large wheel alone, largest first, then all smaller ones in groups.

    A wheel of unknown size counts as small.
    """
    large: list[LockedWheel] = []
    small: list[list[LockedWheel]] = [[] for _ in range(_BATCHES)]
    for wheel in wheels:
        if (wheel.byte_count or 0) >= LARGE_WHEEL_BYTES:
            large.append(wheel)
        else:
            small[number_of(wheel.name, _BATCHES)].append(wheel)
    large.sort(key=lambda wheel: (-(wheel.byte_count or 0), wheel.name))
    return (*((wheel,) for wheel in large), *(tuple(batch) for batch in small if batch))
