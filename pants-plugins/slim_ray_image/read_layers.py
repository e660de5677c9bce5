"""The content of an image's layers, read from their blobs, each by a process that is cached by the blob."""

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
    """A request for a list of the files in a layer."""

    layer: Descriptor
    name: str  # for the description of the process
    interpreter: BaseInterpreter
    tools: BaseTools


@dataclass(frozen=True)
class UnpackLayerRequest:
    """A request for the files that a layer has below a folder of the image."""

    layer: Descriptor
    name: str  # for the description of the process
    folder: str
    interpreter: BaseInterpreter


@dataclass(frozen=True)
class UnpackedLayer:
    """The unpacked files that a layer has below a folder of the image, with paths relative to this folder."""

    tree: Digest


async def _blob_tree(layer: Descriptor) -> Digest:
    """Return a folder with only a layer's blob (its compressed tar), under the same file name for each layer."""
    return await create_digest(CreateDigest([FileEntry(BLOB, FileDigest(layer.hex, layer.size))]))


@rule
async def list_layer(request: ListLayerRequest) -> LayerContents:
    """List the files of a layer in one process, cached by the layer's blob: once for all images with this layer."""
    result = await run_on_base(
        "check.list_layer",
        ListRequest(BLOB),
        request.interpreter,
        request.tools,
        inputs=await _blob_tree(request.layer),
        output_files=(RESULT,),
        description=f"List the files of the layer {request.name}",
    )
    return from_json(LayerContents, await read_output(result.output_digest, RESULT))


@rule
async def unpack_layer(request: UnpackLayerRequest) -> UnpackedLayer:
    """Unpack the files that a layer has below a folder, in one process, cached by the layer's blob and the folder."""
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
    """Return the files of the whole image, with the base's layers and the image's own layers kept apart."""
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
    """Unpack layers; return each layer that has files below a folder of the image, with these files."""
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
