"""Stage 3 of 6: the Python distributions that an image contains, from the facts of their wheels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Sequence

from slim_ray_image.core.wheels.wheels import Need, WheelFacts


@dataclass(frozen=True)
class Distribution:
    """A Python distribution in an image: its version, size, requirements, modules, commands and paths."""

    file: str  # name of its wheel
    name: str  # canonical name (PEP 503)
    version: str
    unpacked_bytes: int
    file_count: int
    needs: tuple[Need, ...]
    modules: tuple[str, ...]  # names of its outermost modules, sorted
    scripts: tuple[str, ...] = ()  # names of its commands, sorted
    # (path in the image, hash) of each file at a path that another distribution of the image has as well.
    shared_files: tuple[tuple[str, str], ...] = ()
    part_bytes: tuple[tuple[str, int], ...] = ()  # (part, bytes), sorted; empty if it has no parts
    roots: tuple[str, ...] = ()  # outermost paths of its files in the image, sorted
    uses: tuple[str, ...] = ()  # names below distributions with parts that its modules use


def distributions_of(facts: Sequence[WheelFacts]) -> tuple[Distribution, ...]:
    """Return a `Distribution` for each wheel of an image, with the paths that other wheels have too; sorted by name."""
    owners = Counter(path for wheel in facts for path, _ in wheel.files)
    return tuple(
        sorted(
            (
                Distribution(
                    file=wheel.file,
                    name=wheel.name,
                    version=wheel.version,
                    unpacked_bytes=wheel.unpacked_bytes,
                    file_count=wheel.file_count,
                    needs=wheel.needs,
                    modules=wheel.modules,
                    scripts=wheel.scripts,
                    shared_files=tuple(row for row in wheel.files if owners[row[0]] > 1),
                    part_bytes=tuple(sorted(wheel.part_bytes.items())),
                    roots=wheel.roots,
                    uses=wheel.uses,
                )
                for wheel in facts
            ),
            key=lambda distribution: distribution.name,
        )
    )
