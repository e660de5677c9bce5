"""Stage 4 of 6: first-party files -> the layer of the sources and, if there are large files, a layer of large files.

Neither layer waits for the distributions, so a mistake in the code is reported early.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Optional, Sequence

from pants.engine.fs import FileDigest, FileEntry
from pants.engine.rules import collect_rules

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.closure import ImageClosure
from slim_ray_image.compat import concurrently, implicitly, rule
from slim_ray_image.core.accounts import HOME, Account
from slim_ray_image.core.closure.closure import ClosureFile
from slim_ray_image.core.folders import FILES
from slim_ray_image.core.image.oci import BuiltLayer
from slim_ray_image.core.layers.files_layer import FilesLayerRequest, FilesLayerResult
from slim_ray_image.core.layers.kinds import KIND_FILES, KIND_SOURCES
from slim_ray_image.core.layers.plan import plan_files
from slim_ray_image.core.layers.sources_layer import (
    AttributeCheck,
    SourcesLayerRequest,
    SourcesLayerResult,
)
from slim_ray_image.layers import LayerRequest, built_layer, layer_base, read_result, write_layer


@dataclass(frozen=True)
class FirstPartyLayersRequest:
    """A request for the layers of first-party files, which also contain the account and the home of the image's user.

    Attributes:
        image: Address of the target.
        workdir: Working directory of the image, absolute.
        owner: User id and group id of the working directory.
        account: Account that the image adds to the base's accounts, if any.
    """

    image: str
    closure: ImageClosure
    base: PreparedBase
    workdir: str
    bytecode: bool
    layer_budget: int
    owner: tuple[int, int]
    account: Optional[Account]


@dataclass(frozen=True)
class FirstPartyLayers:
    """The layers of an image's first-party files, with the facts that the writing program found in the sources.

    Attributes:
        layers: Lowest first; the sources, which change most, are the last.
        found: Result of the program that read the sources, with facts such as imports that could not be followed.
    """

    layers: tuple[BuiltLayer, ...]
    found: SourcesLayerResult


def attribute_checks(image: str, closure: ImageClosure) -> tuple[AttributeCheck, ...]:
    """Return a check for each first-party module of a Serve application: it must define the application's attribute."""
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


def _files_request(files: Sequence[ClosureFile], base: PreparedBase, workdir: str) -> LayerRequest:
    paths = tuple(file.path for file in files)
    return LayerRequest(
        "layers.write_files_layer",
        FilesLayerRequest(paths, workdir, layer_base(base, workdir)),
        _file_entries(files),
        base.interpreter,
        base.tools,
        f"Write the layer of {len(files)} large files",
    )


def _sources_request(
    request: FirstPartyLayersRequest, files: Sequence[ClosureFile]
) -> LayerRequest:
    """Return the request for the layer of the first-party files that are not in the layer of large files.

    The process that writes this layer raises if an application's module is not valid or does not define the attribute:
    it runs the image's own Python, so it judges the syntax correctly.
    """
    base, interpreter = request.base, request.base.interpreter
    return LayerRequest(
        "layers.write_sources_layer",
        SourcesLayerRequest(
            files=tuple(file.path for file in files),
            workdir=request.workdir,
            bytecode=request.bytecode,
            checks=attribute_checks(request.image, request.closure),
            owner=request.owner,
            account=request.account,
            passwd=interpreter.facts.passwd if request.account else "",
            group=interpreter.facts.group if request.account else "",
            base=layer_base(base, request.workdir, HOME, "/etc"),
        ),
        _file_entries(files),
        interpreter,
        base.tools,
        f"Write the layer of {len(files)} first-party files of {request.image}",
    )


@rule(desc="Write the layers of first-party files")
async def write_first_party_layers(request: FirstPartyLayersRequest) -> FirstPartyLayers:
    """Write the layer of first-party sources and, if there are large files, a layer of these; one process for each."""
    at_path = {file.path: file for file in request.closure.files}
    plan = plan_files(
        {file.path: file.bytes for file in request.closure.files}, request.layer_budget
    )
    large = [at_path[path] for path in plan.large]
    sources_request = _sources_request(request, [at_path[path] for path in plan.others])
    files_requests = [_files_request(large, request.base, request.workdir)] if large else []
    sources, *files = await concurrently(
        write_layer(layer, **implicitly()) for layer in (sources_request, *files_requests)
    )
    found = read_result(SourcesLayerResult, sources)
    return FirstPartyLayers(
        (
            *(
                built_layer("files", KIND_FILES, read_result(FilesLayerResult, written).blob)
                for written in files
            ),
            built_layer("sources", KIND_SOURCES, found.blob),
        ),
        found,
    )


def rules() -> Iterable[Any]:
    return collect_rules()
