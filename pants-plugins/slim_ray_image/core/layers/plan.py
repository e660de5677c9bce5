"""Stage 4 of 6: which distribution and which file goes into which layer, and where it goes in the image.

In: the distributions and the first-party files, with their sizes. Out: `LayerSpec`s, lowest first;
the files that are no part of the layer of the sources.
The plan looks at nothing outside the build, so that equal builds have equal layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from slim_ray_image.core.layers.kinds import KIND_DISTRIBUTION, KIND_DISTRIBUTIONS, KIND_PART
from slim_ray_image.core.layers.prune_rules import Part
from slim_ray_image.core.wheels.distributions import Distribution
from slim_ray_image.core.wheels.wheel_batches import number_of

# Below this, unpacked, a layer of its own costs a pull more (a request, a descriptor) than sharing it saves. A fixed
# size, not a rank, so that a distribution has its own layer in every service or in none, and services share it.
LARGE_DISTRIBUTION_BYTES = 5_000_000

# From this on, a file that is no source, as a model's weights, is kept apart from the sources: an edit of code then
# does not push it again. Below, that would save less than the request for one layer more costs.
LARGE_FILE_BYTES = 1_000_000

# So many processes write the layer of the small distributions. More of them would start longer than they work.
_SLICES = 8

# One layer for the runtime, one for the small distributions, one for the sources, one for Ray.
SMALLEST_LAYER_BUDGET = 4


@dataclass(frozen=True)
class FilePlan:
    """Which first-party files go into the layer `files`, which into the layer `sources`; paths, each sorted."""

    large: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """What a layer holds of a distribution: all but its parts, or one of them."""

    distribution: Distribution
    part: str = ""

    @property
    def name(self) -> str:
        return self.part or self.distribution.name

    @property
    def unpacked_bytes(self) -> int:
        parts = dict(self.distribution.part_bytes)
        if self.part:
            return parts.get(self.part, 0)
        return self.distribution.unpacked_bytes - sum(parts.values())


@dataclass(frozen=True)
class LayerSpec:
    """A planned layer of distributions; no bytes yet."""

    name: str  # for people, never hashed
    kind: str
    pieces: tuple[Piece, ...]  # sorted by name


def plan_files(file_bytes: Mapping[str, int], layer_budget: int) -> FilePlan:
    """Return which first-party files have a layer apart from the sources: the large ones that are no sources.

    In the smallest budget there is no room for it beside Ray's.

    Args:
        file_bytes: Path in the image -> size.
    """
    large = {
        path
        for path, size in file_bytes.items()
        if size >= LARGE_FILE_BYTES and not path.endswith((".py", ".pyi"))
    }
    if layer_budget <= SMALLEST_LAYER_BUDGET:
        large = set()
    return FilePlan(tuple(sorted(large)), tuple(sorted(set(file_bytes) - large)))


def plan_layers(
    distributions: Sequence[Distribution],
    layer_budget: int,
    *,
    parts: Sequence[Part] = (),
    has_large_files: bool = False,
) -> tuple[LayerSpec, ...]:
    """Return one layer for each large distribution and each part, largest first, and one for the rest.

    Ray has its own layer whatever its size, and so have parts: what would be in one layer with them, and is in every
    service's, would not be the same in every service. When the budget is too small for all, the smallest are among the
    rest. The layer of the rest is always there, since it also holds the virtual environment itself.

    Args:
        distributions: In any order.
        layer_budget: Most layers that an image may add to its base, those of the runtime and of the
            first-party files included.
        parts: Those of the distributions that go into the image.
        has_large_files: Whether one layer is for large files.
    """
    # That of the runtime, that of the small distributions, and those of the first-party files.
    others = 4 if has_large_files else 3
    whole = {d.name: d for d in distributions}
    pieces = [
        *(Piece(d) for d in distributions),
        *(Piece(whole[part.distribution], part.name) for part in parts),
    ]
    pieces = [piece for piece in pieces if piece.unpacked_bytes or not piece.part]
    by_size = sorted(pieces, key=lambda p: (p.name != "ray", -p.unpacked_bytes, p.name))
    own = [p for p in by_size if _has_own_layer(p)][: max(layer_budget - others, 0)]
    own.sort(key=lambda p: (-p.unpacked_bytes, p.name))
    rest = sorted(set(pieces) - set(own), key=lambda p: p.name)
    return (
        *(LayerSpec(p.name, KIND_PART if p.part else KIND_DISTRIBUTION, (p,)) for p in own),
        LayerSpec("distributions", KIND_DISTRIBUTIONS, tuple(rest)),
    )


def slices_of(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], ...]:
    """Return the pieces of a layer by the process that writes them, so that one more or less changes one slice.

    Those that have paths in common with another are in one slice: only together is it known who brings a path.
    """
    alone: list[list[Piece]] = [[] for _ in range(_SLICES)]
    together = []
    for piece in pieces:
        if piece.distribution.shared_files:
            together.append(piece)
        else:
            alone[number_of(piece.name, _SLICES)].append(piece)
    return tuple(tuple(some) for some in (*alone, together) if some)


def _has_own_layer(piece: Piece) -> bool:
    return bool(
        piece.part
        or piece.name == "ray"
        or piece.distribution.unpacked_bytes >= LARGE_DISTRIBUTION_BYTES
    )
