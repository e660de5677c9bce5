"""Stage 4 of 6: the plan of the layers, which assigns each distribution and each first-party file to a layer.

In: the distributions and the first-party files, with their sizes. Out: a `LayerSpec` for each layer of distributions,
lowest layer first, and a `FilePlan`. The plan depends on nothing outside the build, so that equal builds have equal
layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from slim_ray_image.core.layers.kinds import KIND_DISTRIBUTION, KIND_DISTRIBUTIONS, KIND_PART
from slim_ray_image.core.layers.prune_rules import Part
from slim_ray_image.core.wheels.distributions import Distribution
from slim_ray_image.core.wheels.wheel_batches import number_of

# Below this unpacked size, the request and the descriptor of a layer of its own cost a pull more than sharing the layer
# saves. The limit is a fixed size, not a rank, so that a distribution has its own layer in every service or in none,
# and services share the layer.
LARGE_DISTRIBUTION_BYTES = 5_000_000

# From this size on, a file that is not a Python source, such as a model's weights, is in a layer apart from the
# sources, so that an edit of the code does not push the file again. For smaller files, the request for one more layer
# would cost more than that saves.
LARGE_FILE_BYTES = 1_000_000

# Number of processes that write the layer of the small distributions. With more of them, starting the processes would
# take longer than their work.
_SLICES = 8

# One layer each for the runtime, the small distributions, the sources and Ray.
SMALLEST_LAYER_BUDGET = 4


@dataclass(frozen=True)
class FilePlan:
    """The first-party files by layer: large ones have the layer `files`, all others the layer `sources`.

    Attributes:
        large: Paths of the files in the layer `files`, sorted.
        others: Paths of the files in the layer `sources`, sorted.
    """

    large: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """A unit of a layer: a distribution without its parts, or one of its parts, such as Ray's Java JARs.

    Attributes:
        part: Name of the part; "" for the distribution without its parts.
    """

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
    """A layer before it is written: its name, its kind, and the distributions (or parts of them) to write into it."""

    name: str  # for people, never hashed
    kind: str
    pieces: tuple[Piece, ...]  # sorted by name


def plan_files(file_bytes: Mapping[str, int], layer_budget: int) -> FilePlan:
    """Divide first-party files into large files that are not Python sources, which get their own layer, and the rest.

    The smallest budget has no room for a layer of large files beside Ray's layer, so no file is large then.

    Args:
        file_bytes: Path relative to the working directory -> size in bytes.
        layer_budget: The maximum number of layers that an image adds to its base.
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
    """Plan a layer for each large distribution and each part, such as Ray's JARs, largest first, and one for the rest.

    Ray has its own layer whatever its size, and so has each part: only some services need a part, so a layer that it
    shared with a distribution would not be the same in every service. If the budget is too small for all of these
    layers, the smallest join the rest, and Ray is the last to join it. The layer of the rest always exists, since it
    also contains the virtual environment itself.

    Args:
        distributions: All distributions of the image, in any order.
        layer_budget: The maximum number of layers that an image adds to its base, including the layers of the runtime
            and of the first-party files.
        parts: Parts of the distributions that go into the image.
        has_large_files: Whether large first-party files have a layer.
    """
    # The layers of the runtime, of the small distributions and of the first-party files.
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
    """Divide the small distributions that share a layer into slices, one for each process that writes the layer.

    If a piece is added or removed, one slice changes. All pieces whose distribution shares a path with another
    distribution are in one slice, since the process that writes a shared path must know every piece that has the path.
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
