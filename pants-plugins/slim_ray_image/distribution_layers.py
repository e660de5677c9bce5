"""Stage 4 of 6: the distributions of an image -> one layer for each large distribution, and one for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from pants.engine.fs import FileEntry
from pants.engine.rules import collect_rules

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.compat import concurrently, implicitly, rule
from slim_ray_image.core.image.oci import BuiltLayer
from slim_ray_image.core.image_paths import COMMAND_DIRECTORY, LINKED_SCRIPTS, VENV
from slim_ray_image.core.layers.distributions_layer import (
    SLICE,
    SLICE_RESULT,
    DistributionLayerResult,
    JoinRequest,
    JoinResult,
    PieceRequest,
    PiecesFacts,
    PiecesRequest,
    Saved,
    SliceResult,
)
from slim_ray_image.core.layers.exclude_files import patterns_for
from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob
from slim_ray_image.core.layers.plan import LayerSpec, Piece, plan_layers, slices_of
from slim_ray_image.core.layers.prune_rules import Part
from slim_ray_image.core.layers.pruning import (
    Pruned,
    Pruning,
    fixed_rules,
    needed_parts,
    unite_pruned,
)
from slim_ray_image.core.wire import from_json
from slim_ray_image.layers import (
    LayerRequest,
    WrittenLayer,
    built_layer,
    layer_base,
    read_result,
    write_layer,
)
from slim_ray_image.tools import BaseInterpreter, BaseTools
from slim_ray_image.wheels import ImageWheels, wheel_entries


@dataclass(frozen=True)
class DistributionLayers:
    """The layers that contain an image's distributions, with facts on the files that are left out of them.

    Attributes:
        layers: Lowest first.
        pruned: Files and bytes that the field `prune` removed, by rule and distribution, sorted.
        matched: Patterns of `exclude_files`, absolute, that match a path of the layers.
    """

    layers: tuple[BuiltLayer, ...]
    pruned: tuple[Pruned, ...]
    matched: frozenset[str]


def _key(piece: Piece) -> str:
    """Return the name of a piece (a distribution, or a part of one) in the request and the result of its layer."""
    file = piece.distribution.file
    return f"{file}:{piece.part}" if piece.part else file


@dataclass(frozen=True)
class PlannedDistributions:
    """Everything that the layers of an image's distributions depend on, except which distributions share a layer.

    Attributes:
        exclude_files: Absolute patterns. A pattern that cannot match a path of a layer is not part of its cache key.
    """

    wheels: ImageWheels
    base: PreparedBase
    bytecode: bool
    pruning: Pruning
    exclude_files: tuple[str, ...]

    @property
    def _base(self) -> LayerBase:
        site_packages = self.base.interpreter.site_packages
        return layer_base(self.base, VENV, COMMAND_DIRECTORY, site_packages)

    def _request(self, pieces: Sequence[Piece]) -> PiecesRequest:
        interpreter = self.base.interpreter
        roots = [root for piece in pieces for root in piece.distribution.roots]
        names = {piece.distribution.name for piece in pieces}
        return PiecesRequest(
            pieces=tuple(
                PieceRequest(
                    _key(piece),
                    piece.distribution.file,
                    self.wheels.files[piece.distribution.file].fingerprint,
                    piece.distribution.name,
                    piece.part,
                )
                for piece in pieces
            ),
            prune=tuple(fixed_rules(self.pruning.rules, names)),
            exclude_files=patterns_for(self.exclude_files, roots),
            bytecode=self.bytecode,
            commands=tuple(sorted(set(LINKED_SCRIPTS) & set(interpreter.facts.commands))),
            base=self._base,
        )

    def _files(self, pieces: Sequence[Piece]) -> tuple[FileEntry, ...]:
        files = sorted({piece.distribution.file for piece in pieces})
        return wheel_entries({file: self.wheels.files[file] for file in files})

    def layer_request(self, spec: LayerSpec) -> LayerRequest:
        """Return the request for the layer of one piece: a distribution, or a part of one, such as Ray's Java JARs."""
        return LayerRequest(
            "layers.write_distribution_layer",
            self._request(spec.pieces),
            self._files(spec.pieces),
            self.base.interpreter,
            self.base.tools,
            f"Write the layer of {spec.name}",
        )

    def shared_layer_request(self, spec: LayerSpec) -> SharedLayerRequest:
        """Return the request for the one layer that an image's small distributions share."""
        interpreter, tools = self.base.interpreter, self.base.tools
        return SharedLayerRequest(
            tuple(
                LayerRequest(
                    "layers.write_slice",
                    self._request(pieces),
                    self._files(pieces),
                    interpreter,
                    tools,
                    f"Write a slice of {len(pieces)} distributions",
                    SLICE,
                    SLICE_RESULT,
                )
                for pieces in slices_of(spec.pieces)
            ),
            self._base,
            interpreter,
            tools,
            f"Write the layer of {len(spec.pieces)} distributions",
        )


@dataclass(frozen=True)
class SharedLayerRequest:
    """A request for the one layer that holds all small distributions of an image.

    Attributes:
        slices: Requests for the slices of the layer, in order.
    """

    slices: tuple[LayerRequest, ...]
    base: LayerBase
    interpreter: BaseInterpreter
    tools: BaseTools
    description: str


@dataclass(frozen=True)
class SharedLayer:
    """The layer that the small distributions share, with facts on each slice (some of these distributions)."""

    blob: LayerBlob
    facts: tuple[PiecesFacts, ...]


@rule(desc="Write the layer that small distributions share")
async def write_shared_layer(request: SharedLayerRequest) -> SharedLayer:
    """Write a layer's slices (some of the small distributions, cached by content), and join them in one process."""
    written = await concurrently(write_layer(one, **implicitly()) for one in request.slices)
    results = [from_json(SliceResult, one.result) for one in written]
    files = tuple(FileEntry(f"slices/{n}", one.blob) for n, one in enumerate(written))
    join = JoinRequest(
        tuple(file.path for file in files),
        tuple(sorted({path for result in results for path in result.directories})),
        sum(result.unpacked_bytes for result in results),
        sum(result.file_count for result in results),
        request.base,
    )
    layer = await write_layer(
        LayerRequest(
            "layers.join_slices",
            join,
            files,
            request.interpreter,
            request.tools,
            request.description,
        ),
        **implicitly(),
    )
    return SharedLayer(
        read_result(JoinResult, layer).blob, tuple(result.facts for result in results)
    )


@dataclass(frozen=True)
class _Layer:
    """A layer of distributions, with facts on each piece in it (a distribution, or a part of one)."""

    spec: LayerSpec
    blob: LayerBlob
    facts: tuple[PiecesFacts, ...]

    def built(self) -> BuiltLayer:
        compressed = _united(facts.compressed_bytes_of for facts in self.facts)
        if len(self.spec.pieces) == 1:
            compressed = {_key(self.spec.pieces[0]): self.blob.size}
        unpacked = _united(facts.unpacked_bytes_of for facts in self.facts)
        return built_layer(
            self.spec.name,
            self.spec.kind,
            self.blob,
            compressed_bytes_of=_sums(self.spec.pieces, compressed),
            unpacked_bytes_of=_sums(self.spec.pieces, unpacked),
        )

    def pruned(self) -> Iterable[Pruned]:
        names = {_key(piece): piece.distribution.name for piece in self.spec.pieces}
        return (Pruned(row.name, names[row.key], row.saved) for f in self.facts for row in f.pruned)

    def parts(self) -> Mapping[str, Saved]:
        """Map each part of a distribution (such as Ray's JARs) that this layer lacks to its size before pruning."""
        return {row.name: row.saved for facts in self.facts for row in facts.parts}

    def matched(self) -> Iterable[str]:
        return (pattern for facts in self.facts for pattern in facts.matched)


def _united(sizes: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    return {key: size for some in sizes for key, size in some.items()}


def _sums(pieces: Sequence[Piece], sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return (distribution, bytes) for each distribution in a layer, sorted: the sum of the sizes of its pieces."""
    totals: dict[str, int] = {}
    for piece in pieces:
        name = piece.distribution.name
        totals[name] = totals.get(name, 0) + sizes[_key(piece)]
    return tuple(sorted(totals.items()))


def _own_layer(spec: LayerSpec, written: WrittenLayer) -> _Layer:
    result = read_result(DistributionLayerResult, written)
    return _Layer(spec, result.blob, (result.facts,))


def _parts_for(planned: PlannedDistributions, uses: Iterable[str]) -> tuple[Part, ...]:
    distributions = planned.wheels.distributions
    all_uses = {*uses, *(use for d in distributions for use in d.uses)}
    return needed_parts(planned.pruning.rules, all_uses, {d.name for d in distributions})


async def write_distribution_layers(
    planned: PlannedDistributions,
    left_out: Iterable[Pruned],
    *,
    uses: Iterable[str],
    layer_budget: int,
    has_large_files: bool,
) -> DistributionLayers:
    """Write the layers of an image's distributions: one process for each, several for the one that small ones share.

    Args:
        left_out: Distributions that the field `prune` leaves out as a whole.
        uses: Dotted names that first-party code uses from distributions that have parts.
        layer_budget: Value of the field.
        has_large_files: Whether the image has a layer of large first-party files.
    """
    parts = _parts_for(planned, uses)
    *own, rest = plan_layers(
        planned.wheels.distributions, layer_budget, parts=parts, has_large_files=has_large_files
    )
    shared, *written = await concurrently(
        write_shared_layer(planned.shared_layer_request(rest), **implicitly()),
        *(write_layer(planned.layer_request(spec), **implicitly()) for spec in own),
    )
    layers = [*map(_own_layer, own, written), _Layer(rest, shared.blob, shared.facts)]
    return DistributionLayers(
        tuple(layer.built() for layer in layers),
        unite_pruned(
            [row for layer in layers for row in layer.pruned()],
            parts={name: saved for layer in layers for name, saved in layer.parts().items()},
            needed=parts,
            left_out=left_out,
        ),
        frozenset(pattern for layer in layers for pattern in layer.matched()),
    )


def rules() -> Iterable[Any]:
    return collect_rules()
