"""Stage 4 of 6: a base image -> the layer of files that it lacks: `wget`, and the bytecode of the standard library."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any, Iterable, Sequence

from pants.engine.fs import FileContent
from pants.engine.rules import collect_rules
from pants.util.resources import read_resource

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.compat import implicitly, rule
from slim_ray_image.core.image.oci import BuiltLayer
from slim_ray_image.core.image_paths import COMMAND_DIRECTORY
from slim_ray_image.core.layers.exclude_files import patterns_for
from slim_ray_image.core.layers.kinds import KIND_RUNTIME
from slim_ray_image.core.layers.runtime_layer import WGET, RuntimeLayerRequest, RuntimeLayerResult
from slim_ray_image.layers import LayerRequest, built_layer, layer_base, read_result, write_layer


@dataclass(frozen=True)
class RuntimeLayerQuery:
    """A request for the layer of files that a base image lacks: `wget`, and the bytecode of the standard library.

    Attributes:
        exclude_files: Absolute patterns.
    """

    base: PreparedBase
    bytecode: bool
    exclude_files: tuple[str, ...]


@dataclass(frozen=True)
class RuntimeLayer:
    """The layer of files that a base image lacks, such as `wget`; none if the base lacks nothing.

    Attributes:
        layers: One layer, or none if the base lacks nothing.
        matched: Patterns of `exclude_files`, absolute, that match a path of the layer.
    """

    layers: tuple[BuiltLayer, ...] = ()
    matched: tuple[str, ...] = ()


def runtime_request(
    base: PreparedBase, bytecode: bool, exclude_files: Sequence[str]
) -> RuntimeLayerRequest:
    """Return the request for the program that writes files that a base image lacks: these files, and directories."""
    interpreter = base.interpreter
    prefix = f"{posixpath.dirname(interpreter.site_packages)}/"
    library = (
        directory for directory in interpreter.facts.directories if directory.startswith(prefix)
    )
    return RuntimeLayerRequest(
        wget="wget" not in {*dict(interpreter.facts.programs), *interpreter.facts.commands},
        bytecode=bytecode and not interpreter.facts.has_bytecode,
        exclude_files=patterns_for(exclude_files, [f"{COMMAND_DIRECTORY}/wget", prefix]),
        base=layer_base(base, COMMAND_DIRECTORY, prefix, others=library),
    )


def _wget() -> FileContent:
    content = read_resource("slim_ray_image.in_image", "wget.py")
    assert content is not None
    return FileContent(WGET, content)


@rule(desc="Write the layer of files that a base lacks")
async def write_runtime_layer(request: RuntimeLayerQuery) -> RuntimeLayer:
    """Write the layer of files that a base image lacks, such as `wget`, in one process for all images on this base."""
    base = request.base
    layer = runtime_request(base, request.bytecode, request.exclude_files)
    if not layer.wget and not layer.bytecode:
        return RuntimeLayer()
    written = await write_layer(
        LayerRequest(
            "layers.write_runtime_layer",
            layer,
            (_wget(),) if layer.wget else (),
            base.interpreter,
            base.tools,
            f"Write the layer of files that {base.image.reference} lacks",
        ),
        **implicitly(),
    )
    result = read_result(RuntimeLayerResult, written)
    return RuntimeLayer((built_layer("runtime", KIND_RUNTIME, result.blob),), result.matched)


def rules() -> Iterable[Any]:
    return collect_rules()
