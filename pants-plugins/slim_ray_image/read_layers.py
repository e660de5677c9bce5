"""What the layers of an image hold, read from their blobs; each by a process that is keyed by the blob."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Sequence

from pants.engine.fs import (
    EMPTY_DIGEST,
    CreateDigest,
    Digest,
    FileDigest,
    FileEntry,
    RemovePrefix,
)
from pants.engine.rules import collect_rules

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.compat import concurrently, create_digest, implicitly, remove_prefix, rule
from slim_ray_image.core.check.layer_contents import (
    RESULT,
    UNPACKED,
    ImageContents,
    LayerContents,
    ListRequest,
    UnpackRequest,
    image_contents,
)
from slim_ray_image.core.image.oci import BuiltLayer, Descriptor
from slim_ray_image.core.layers.kinds import KIND_BASE
from slim_ray_image.core.layers.layer_blob import BLOB
from slim_ray_image.core.wire import from_json
from slim_ray_image.tools import BaseInterpreter, BaseTools, read_output, run_on_base


@dataclass(frozen=True)
class ListLayerRequest:
    """A request for what is in a layer."""

    layer: Descriptor
    name: str  # for people
    interpreter: BaseInterpreter
    tools: BaseTools


@dataclass(frozen=True)
class UnpackLayerRequest:
    """A request for the files that a layer has below a folder of the image."""

    layer: Descriptor
    name: str  # for people
    folder: str
    interpreter: BaseInterpreter


@dataclass(frozen=True)
class UnpackedLayer:
    """The files, with their paths from the folder on."""

    tree: Digest


async def _blob_tree(layer: Descriptor) -> Digest:
    """The blob alone, by a name that is the same for each."""
    return await create_digest(CreateDigest([FileEntry(BLOB, FileDigest(layer.hex, layer.size))]))


@rule
async def list_layer(request: ListLayerRequest) -> LayerContents:
    """One process, keyed by the layer's blob; read once for all images that have the layer."""
    result = await run_on_base(
        "check.list_layer",
        ListRequest(BLOB),
        request.interpreter,
        request.tools,
        inputs=await _blob_tree(request.layer),
        output_files=(RESULT,),
        description=f"List what the layer {request.name} holds",
    )
    return from_json(LayerContents, await read_output(result.output_digest, RESULT))


@rule
async def unpack_layer(request: UnpackLayerRequest) -> UnpackedLayer:
    """One process, keyed by the layer's blob."""
    result = await run_on_base(
        "check.unpack_layer",
        UnpackRequest(BLOB, request.folder),
        request.interpreter,
        None,
        inputs=await _blob_tree(request.layer),
        output_directories=(UNPACKED,),
        description=f"Unpack the layer {request.name} to check it",
    )
    return UnpackedLayer(await remove_prefix(RemovePrefix(result.output_digest, UNPACKED)))


async def contents_of(layers: Sequence[BuiltLayer], base: PreparedBase) -> ImageContents:
    """The files of the whole image, apart for the base's layers and its own."""
    listed = await concurrently(
        list_layer(
            ListLayerRequest(layer.descriptor, layer.name, base.interpreter, base.tools),
            **implicitly(),
        )
        for layer in layers
    )
    return image_contents(
        [found for layer, found in zip(layers, listed) if layer.kind == KIND_BASE],
        [found for layer, found in zip(layers, listed) if layer.kind != KIND_BASE],
    )


async def unpack_layers(
    layers: Sequence[BuiltLayer], folder: str, interpreter: BaseInterpreter
) -> tuple[tuple[Descriptor, Digest], ...]:
    """The layers that have files below a folder, with these."""
    unpacked = await concurrently(
        unpack_layer(
            UnpackLayerRequest(layer.descriptor, layer.name, folder, interpreter), **implicitly()
        )
        for layer in layers
    )
    return tuple(
        (layer.descriptor, found.tree)
        for layer, found in zip(layers, unpacked)
        if found.tree != EMPTY_DIGEST
    )


def rules() -> Iterable[Any]:
    return collect_rules()
