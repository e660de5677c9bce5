"""Stage 4 of 6: wheels and first-party files -> one cached process per layer -> `BuiltLayer`s.

A layer's process is keyed by its own content, the rules that apply to it and the base's interpreter, never by the
service, so the same distribution is the same layer in every image, in the cache, the registry and on the node.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Protocol, Sequence, Type, TypeVar, Union

from pants.engine.fs import CreateDigest, FileContent, FileDigest, FileEntry
from pants.engine.rules import collect_rules
from pants.util.resources import read_resource

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.closure import ImageClosure
from slim_ray_image.compat import (
    concurrently,
    create_digest,
    get_digest_entries,
    implicitly,
    rule,
)
from slim_ray_image.core.accounts import HOME, Account
from slim_ray_image.core.closure import ClosureFile
from slim_ray_image.core.distributions_layer import (
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
from slim_ray_image.core.exclude_files import patterns_for
from slim_ray_image.core.files_layer import FilesLayerRequest, FilesLayerResult
from slim_ray_image.core.folders import FILES
from slim_ray_image.core.image_paths import (
    COMMAND_DIRECTORY,
    LINKED_SCRIPTS,
    VENV,
    parents,
)
from slim_ray_image.core.layer_blob import BLOB, RESULT, LayerBase, LayerBlob
from slim_ray_image.core.layers import (
    KIND_FILES,
    KIND_RUNTIME,
    KIND_SOURCES,
    LayerSpec,
    Piece,
    slices_of,
)
from slim_ray_image.core.oci import MEDIA_TYPE_LAYER_GZIP, BuiltLayer, Descriptor
from slim_ray_image.core.pruning import Pruned, Pruning, fixed_rules
from slim_ray_image.core.runtime_layer import WGET, RuntimeLayerRequest, RuntimeLayerResult
from slim_ray_image.core.sources_layer import (
    AttributeCheck,
    SourcesLayerRequest,
    SourcesLayerResult,
)
from slim_ray_image.core.wire import from_json
from slim_ray_image.tools import BaseInterpreter, BaseTools, read_output, run_on_base
from slim_ray_image.wheels import ImageWheels, wheel_entries

AnyLayerRequest = Union[
    FilesLayerRequest, JoinRequest, PiecesRequest, RuntimeLayerRequest, SourcesLayerRequest
]


@dataclass(frozen=True)
class LayerRequest:
    """A request for one layer, or for a slice of one.

    Attributes:
        program: That of `sandbox/` which writes it.
        request: All that its bytes depend on besides the files and the tools.
        files: What it holds, where the program finds it.
        blob: The file that the program writes.
        result: The file in which it tells what that is.
    """

    program: str
    request: AnyLayerRequest
    files: tuple[Union[FileEntry, FileContent], ...]
    interpreter: BaseInterpreter
    tools: BaseTools
    description: str
    blob: str = BLOB
    result: str = RESULT


@dataclass(frozen=True)
class WrittenLayer:
    """A layer, or a slice of one, as its program tells it. The blob is in Pants' store, under its own SHA-256."""

    result: bytes
    blob: FileDigest


@rule(desc="Write a layer of a slim_ray_image")
async def write_layer(request: LayerRequest) -> WrittenLayer:
    """One process, keyed by the layer's own content."""
    result = await run_on_base(
        request.program,
        request.request,
        request.interpreter,
        request.tools,
        inputs=await create_digest(CreateDigest(request.files)),
        output_files=(request.blob, request.result),
        description=request.description,
    )
    entries = await get_digest_entries(result.output_digest)
    digests = {entry.path: entry.file_digest for entry in entries if isinstance(entry, FileEntry)}
    text = await read_output(result.output_digest, request.result)
    return WrittenLayer(text, digests[request.blob])


class _HasBlob(Protocol):
    """The result of every layer."""

    @property
    def blob(self) -> LayerBlob: ...


T = TypeVar("T", bound=_HasBlob)


def _read(kind: Type[T], written: WrittenLayer) -> T:
    """Return the result of a layer, whose blob must be the one that it tells of."""
    result = from_json(kind, written.result)
    stored, told = written.blob, result.blob
    if (f"sha256:{stored.fingerprint}", stored.serialized_bytes_length) != (told.digest, told.size):
        raise RuntimeError(
            f"The blob of a layer is {stored}, but its program tells {told}. This is a fault in slim_ray_image; "
            "report it."
        )
    return result


def _sums(pieces: Sequence[Piece], sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return (distribution, bytes), of what a layer reports for each piece."""
    totals: dict[str, int] = {}
    for piece in pieces:
        name = piece.distribution.name
        totals[name] = totals.get(name, 0) + sizes[_key(piece)]
    return tuple(sorted(totals.items()))


def _built_layer(
    name: str,
    kind: str,
    blob: LayerBlob,
    spec: Optional[LayerSpec] = None,
    compressed: Mapping[str, int] = {},
    unpacked: Mapping[str, int] = {},
) -> BuiltLayer:
    pieces = spec.pieces if spec else ()
    if len(pieces) == 1:
        compressed = {_key(pieces[0]): blob.size}
    return BuiltLayer(
        name=name,
        kind=kind,
        descriptor=Descriptor(MEDIA_TYPE_LAYER_GZIP, blob.digest, blob.size),
        diff_id=blob.diff_id,
        unpacked_bytes=blob.unpacked_bytes,
        file_count=blob.file_count,
        distributions=tuple(sorted({piece.distribution.name for piece in pieces})),
        compressed_bytes_of=_sums(pieces, compressed),
        unpacked_bytes_of=_sums(pieces, unpacked),
    )


def _layer_base(base: PreparedBase, *below: str, others: Iterable[str] = ()) -> LayerBase:
    """Return what a layer must know of the base.

    Args:
        below: Where its paths are.
        others: Directories of the base that it may have paths in, besides.
    """
    facts = base.interpreter.facts
    wanted = {parent for path in below for parent in parents(f"{path}/x")}
    directories = {*wanted.intersection(facts.directories), *others}
    return LayerBase(
        facts.python,
        facts.python_version,
        tuple(sorted(directories)),
        base.timestamp,
    )


@dataclass(frozen=True)
class RuntimeLayerQuery:
    """A request for the layer of what a base lacks.

    Attributes:
        exclude_files: Absolute patterns.
    """

    base: PreparedBase
    bytecode: bool
    exclude_files: tuple[str, ...]


@dataclass(frozen=True)
class RuntimeLayer:
    """The layer of what the base lacks, if it lacks any of it.

    Attributes:
        matched: Patterns of `exclude_files`, absolute, that took something.
    """

    layers: tuple[BuiltLayer, ...] = ()
    matched: tuple[str, ...] = ()


def _runtime_request(
    base: PreparedBase, bytecode: bool, exclude_files: Sequence[str]
) -> RuntimeLayerRequest:
    """What the base lacks; and of the base, where that goes."""
    facts = base.interpreter.facts
    prefix = f"{posixpath.dirname(base.interpreter.site_packages)}/"
    library = (directory for directory in facts.directories if directory.startswith(prefix))
    return RuntimeLayerRequest(
        wget="wget" not in {*dict(facts.programs), *facts.commands},
        bytecode=bytecode and not facts.has_bytecode,
        exclude_files=patterns_for(exclude_files, [f"{COMMAND_DIRECTORY}/wget", prefix]),
        base=_layer_base(base, COMMAND_DIRECTORY, prefix, others=library),
    )


def _wget() -> FileContent:
    content = read_resource("slim_ray_image.in_image", "wget.py")
    assert content is not None
    return FileContent(WGET, content)


@rule(desc="Write the layer of what a base lacks")
async def write_runtime_layer(request: RuntimeLayerQuery) -> RuntimeLayer:
    """The layer of what every image on a base needs besides the base, if the base lacks any of it."""
    base = request.base
    layer = _runtime_request(base, request.bytecode, request.exclude_files)
    if not layer.wget and not layer.bytecode:
        return RuntimeLayer()
    written = await write_layer(
        LayerRequest(
            "write_runtime_layer",
            layer,
            (_wget(),) if layer.wget else (),
            base.interpreter,
            base.tools,
            f"Write the layer of what {base.image.reference} lacks",
        ),
        **implicitly(),
    )
    result = _read(RuntimeLayerResult, written)
    return RuntimeLayer((_built_layer("runtime", KIND_RUNTIME, result.blob),), result.matched)


def _key(piece: Piece) -> str:
    """The name of a piece in what its layer is asked and reports."""
    file = piece.distribution.file
    return f"{file}:{piece.part}" if piece.part else file


@dataclass(frozen=True)
class DistributionsLayer:
    """A layer of distributions, and what does not go into it.

    Attributes:
        pruned: What rules took from what it holds.
        parts: (part, what is in it), of the distributions that are in the layer without their parts.
        matched: Patterns of `exclude_files`, absolute, that took something.
    """

    layer: BuiltLayer
    pruned: tuple[Pruned, ...]
    parts: tuple[tuple[str, Saved], ...]
    matched: tuple[str, ...]


@dataclass(frozen=True)
class PlannedDistributions:
    """How layers of distributions are written.

    Attributes:
        exclude_files: Absolute patterns. Those that cannot match what a layer holds do not change its cache key.
    """

    wheels: ImageWheels
    base: PreparedBase
    bytecode: bool
    pruning: Pruning
    exclude_files: tuple[str, ...]

    @property
    def _base(self) -> LayerBase:
        site_packages = self.base.interpreter.site_packages
        return _layer_base(self.base, VENV, COMMAND_DIRECTORY, site_packages)

    def _request(self, pieces: Sequence[Piece]) -> PiecesRequest:
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
            commands=tuple(sorted(set(LINKED_SCRIPTS) & set(self.base.interpreter.facts.commands))),
            base=self._base,
        )

    def _files(self, pieces: Sequence[Piece]) -> tuple[FileEntry, ...]:
        files = sorted({piece.distribution.file for piece in pieces})
        return wheel_entries({file: self.wheels.files[file] for file in files})

    def layer_request(self, spec: LayerSpec) -> LayerRequest:
        """Return the request for a layer of one piece."""
        return LayerRequest(
            "write_distribution_layer",
            self._request(spec.pieces),
            self._files(spec.pieces),
            self.base.interpreter,
            self.base.tools,
            f"Write the layer of {spec.name}",
        )

    def shared_layer_request(self, spec: LayerSpec) -> SharedLayerRequest:
        """Return the request for the layer of the small distributions."""
        interpreter, tools = self.base.interpreter, self.base.tools
        return SharedLayerRequest(
            tuple(
                LayerRequest(
                    "write_slice",
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
    """A request for the layer that the small distributions share.

    Attributes:
        slices: Requests for its slices, in order.
    """

    slices: tuple[LayerRequest, ...]
    base: LayerBase
    interpreter: BaseInterpreter
    tools: BaseTools
    description: str


@dataclass(frozen=True)
class SharedLayer:
    """The layer that the small distributions share, and what became of each."""

    blob: LayerBlob
    facts: tuple[PiecesFacts, ...]


@rule(desc="Write the layer that small distributions share")
async def write_shared_layer(request: SharedLayerRequest) -> SharedLayer:
    """Slices, keyed by what is in them, and one process that joins them: a new distribution changes one slice."""
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
            "join_slices", join, files, request.interpreter, request.tools, request.description
        ),
        **implicitly(),
    )
    return SharedLayer(_read(JoinResult, layer).blob, tuple(result.facts for result in results))


def _distributions_layer(
    spec: LayerSpec, blob: LayerBlob, facts: Sequence[PiecesFacts]
) -> DistributionsLayer:
    names = {_key(piece): piece.distribution.name for piece in spec.pieces}
    return DistributionsLayer(
        _built_layer(
            spec.name,
            spec.kind,
            blob,
            spec,
            {key: size for one in facts for key, size in one.compressed_bytes_of.items()},
            {key: size for one in facts for key, size in one.unpacked_bytes_of.items()},
        ),
        tuple(Pruned(row.name, names[row.key], row.saved) for one in facts for row in one.pruned),
        tuple((row.name, row.saved) for one in facts for row in one.parts),
        tuple(sorted({pattern for one in facts for pattern in one.matched})),
    )


def distribution_layer(spec: LayerSpec, written: WrittenLayer) -> DistributionsLayer:
    """Return the layer of one piece that was written."""
    result = _read(DistributionLayerResult, written)
    return _distributions_layer(spec, result.blob, [result.facts])


def shared_layer(spec: LayerSpec, written: SharedLayer) -> DistributionsLayer:
    """Return the layer of the small distributions that was written."""
    return _distributions_layer(spec, written.blob, written.facts)


def attribute_checks(image: str, closure: ImageClosure) -> tuple[AttributeCheck, ...]:
    """Return what to look up in the first-party modules of Serve applications."""
    return tuple(
        AttributeCheck(
            entry.file.path,
            entry.file.source,
            entry.import_path.module,
            entry.import_path.attribute,
            f"{entry.named_by} of {image}",
        )
        for entry in closure.entries
        if entry.import_path and entry.file and entry.file in closure.files
    )


def _file_entries(files: Iterable[ClosureFile]) -> tuple[FileEntry, ...]:
    return tuple(
        FileEntry(f"{FILES}/{file.path}", FileDigest(file.sha256, file.bytes), file.is_executable)
        for file in files
    )


def files_layer_request(
    files: Sequence[ClosureFile], base: PreparedBase, *, workdir: str
) -> LayerRequest:
    """Return the request for the layer of large files."""
    paths = tuple(file.path for file in files)
    return LayerRequest(
        "write_files_layer",
        FilesLayerRequest(paths, workdir, _layer_base(base, workdir)),
        _file_entries(files),
        base.interpreter,
        base.tools,
        f"Write the layer of {len(files)} large files",
    )


def files_layer(written: WrittenLayer) -> BuiltLayer:
    """Return the layer of large files that was written."""
    return _built_layer("files", KIND_FILES, _read(FilesLayerResult, written).blob)


@dataclass(frozen=True)
class SourcesLayer:
    """The layer of the first-party files, and what its program tells of them."""

    layer: BuiltLayer
    result: SourcesLayerResult


def sources_layer_request(
    closure: ImageClosure,
    files: Sequence[ClosureFile],
    base: PreparedBase,
    *,
    image: str,
    workdir: str,
    bytecode: bool,
    owner: tuple[int, int],
    account: Optional[Account],
) -> LayerRequest:
    """Return the request for the layer of first-party files, of the user's account and home.

    Its process raises if the module of an application is not valid or does not define the attribute: it has the image's
    own Python, so it is the one that can tell.

    Args:
        files: Those of the closure that are in no other layer.
    """
    facts = base.interpreter.facts
    request = SourcesLayerRequest(
        files=tuple(file.path for file in files),
        workdir=workdir,
        bytecode=bytecode,
        checks=attribute_checks(image, closure),
        owner=owner,
        account=account,
        passwd=facts.passwd if account else "",
        group=facts.group if account else "",
        base=_layer_base(base, workdir, HOME, "/etc"),
    )
    return LayerRequest(
        "write_sources_layer",
        request,
        _file_entries(files),
        base.interpreter,
        base.tools,
        f"Write the layer of {len(files)} first-party files of {image}",
    )


def sources_layer(written: WrittenLayer) -> SourcesLayer:
    """Return the layer of first-party files that was written."""
    result = _read(SourcesLayerResult, written)
    return SourcesLayer(_built_layer("sources", KIND_SOURCES, result.blob), result)


def rules() -> Iterable[Any]:
    return collect_rules()
