"""Stage 4 of 6: the request for one layer -> one cached process that writes it -> the layer with its facts.

A layer's process is cached by the layer's own content, the rules that apply to this content and the base's
interpreter, never by the service. So a distribution is the same layer in every image, in Pants' cache, in a registry
and on a node. Each kind of layer has a module: `runtime_layer`, `distribution_layers`, `first_party_layers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Protocol, Sequence, Type, TypeVar, Union

from pants.engine.fs import CreateDigest, FileContent, FileDigest, FileEntry
from pants.engine.rules import collect_rules

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.compat import create_digest, get_digest_entries, rule
from slim_ray_image.core.image.oci import MEDIA_TYPE_LAYER_GZIP, BuiltLayer, Descriptor
from slim_ray_image.core.image_paths import parents
from slim_ray_image.core.layers.distributions_layer import JoinRequest, PiecesRequest
from slim_ray_image.core.layers.files_layer import FilesLayerRequest
from slim_ray_image.core.layers.layer_blob import BLOB, RESULT, LayerBase, LayerBlob
from slim_ray_image.core.layers.runtime_layer import RuntimeLayerRequest
from slim_ray_image.core.layers.sources_layer import SourcesLayerRequest
from slim_ray_image.core.wire import from_json
from slim_ray_image.tools import BaseInterpreter, BaseTools, read_output, run_on_base

AnyLayerRequest = Union[
    FilesLayerRequest, JoinRequest, PiecesRequest, RuntimeLayerRequest, SourcesLayerRequest
]


@dataclass(frozen=True)
class LayerRequest:
    """A request for one layer, or for a slice: some of the small distributions that share a layer.

    Attributes:
        program: Name of the program in `sandbox/` that writes the layer.
        request: Everything that the bytes of the layer depend on, except the files and the tools.
        files: Contents of the layer, at the paths where the program reads them.
        description: Shown while the process runs.
        blob: Name of the file that the program writes.
        result: Name of the file that describes the blob.
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
    """A written layer, or a slice of one (some of its distributions): its blob, and the writing program's result."""

    result: bytes
    blob: FileDigest


@rule(desc="Write a layer of a slim_ray_image")
async def write_layer(request: LayerRequest) -> WrittenLayer:
    """Write a layer, or a slice of one (some of its distributions), in one process that is cached by the content."""
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
    """A result of a program that wrote a layer: it describes the layer's blob."""

    @property
    def blob(self) -> LayerBlob: ...


T = TypeVar("T", bound=_HasBlob)


def read_result(kind: Type[T], written: WrittenLayer) -> T:
    """Return the parsed result of a program that wrote a layer.

    Raises:
        RuntimeError: If the result does not describe the blob in Pants' store.
    """
    result = from_json(kind, written.result)
    stored, told = written.blob, result.blob
    if (f"sha256:{stored.fingerprint}", stored.serialized_bytes_length) != (told.digest, told.size):
        raise RuntimeError(
            f"The blob of a layer is {stored}, but its program describes {told}. This is a fault in slim_ray_image; "
            "report it."
        )
    return result


def built_layer(
    name: str,
    kind: str,
    blob: LayerBlob,
    *,
    compressed_bytes_of: Sequence[tuple[str, int]] = (),
    unpacked_bytes_of: Sequence[tuple[str, int]] = (),
) -> BuiltLayer:
    """Return the description of a layer that the plugin wrote: its blob, its sizes and its distributions.

    Args:
        compressed_bytes_of: (distribution, bytes), sorted, for the distributions in the layer.
        unpacked_bytes_of: The same, without bytecode.
    """
    return BuiltLayer(
        name=name,
        kind=kind,
        descriptor=Descriptor(MEDIA_TYPE_LAYER_GZIP, blob.digest, blob.size),
        diff_id=blob.diff_id,
        unpacked_bytes=blob.unpacked_bytes,
        file_count=blob.file_count,
        distributions=tuple(name for name, _ in unpacked_bytes_of),
        compressed_bytes_of=tuple(compressed_bytes_of),
        unpacked_bytes_of=tuple(unpacked_bytes_of),
    )


def layer_base(base: PreparedBase, *below: str, others: Iterable[str] = ()) -> LayerBase:
    """Return the facts of the base image that a layer's bytes depend on: Python, directories and timestamp.

    Args:
        below: Directories that the layer has paths in.
        others: Directories of the base that the layer may have paths in as well.
    """
    interpreter = base.interpreter
    wanted = {parent for path in below for parent in parents(f"{path}/x")}
    directories = {*wanted.intersection(interpreter.facts.directories), *others}
    return LayerBase(
        interpreter.facts.python,
        interpreter.facts.python_version,
        tuple(sorted(directories)),
        base.timestamp,
    )


def rules() -> Iterable[Any]:
    return collect_rules()
