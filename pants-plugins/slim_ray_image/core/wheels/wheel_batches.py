"""Stage 3 of 6: which wheels are fetched, and described, by one process."""

from __future__ import annotations

from typing import Iterable

from slim_ray_image.core.wheels.wheels import LockedWheel

# From this on a wheel is fetched, and described, by a process of its own.
LARGE_WHEEL_BYTES = 15_000_000
# The others are in batches by their names, so that a distribution more or less in a service changes one batch.
_BATCHES = 4


def number_of(name: str, count: int) -> int:
    """Return which of `count` groups a name is in: any rule will do that hangs on it alone and spreads names evenly."""
    return sum(name.encode()) % count


def batches(wheels: Iterable[LockedWheel]) -> tuple[tuple[LockedWheel, ...], ...]:
    """Return the wheels by the process that fetches them, largest first; one of unknown size counts as small."""
    large: list[LockedWheel] = []
    small: list[list[LockedWheel]] = [[] for _ in range(_BATCHES)]
    for wheel in wheels:
        if (wheel.byte_count or 0) >= LARGE_WHEEL_BYTES:
            large.append(wheel)
        else:
            small[number_of(wheel.name, _BATCHES)].append(wheel)
    large.sort(key=lambda wheel: (-(wheel.byte_count or 0), wheel.name))
    return (*((wheel,) for wheel in large), *(tuple(batch) for batch in small if batch))
