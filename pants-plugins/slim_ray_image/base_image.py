"""The base image, which images are built on: its reference -> manifest and config, layers, and its own Python.

A reference is read again when its image can have changed: a tag once for each pantsd, an OCI image layout in each
session, a digest never. All later steps are cached by digests only.
"""

from __future__ import annotations

import datetime
import logging
import re
from dataclasses import dataclass
from typing import Any, Iterable, Union

from pants.core.util_rules.subprocess_environment import SubprocessEnvironmentVars
from pants.engine.fs import (
    CreateDigest,
    Digest,
    DigestSubset,
    FileEntry,
    MergeDigests,
    PathGlobs,
    RemovePrefix,
)
from pants.engine.process import ProcessCacheScope
from pants.engine.rules import collect_rules

from slim_ray_image.compat import (
    concurrently,
    create_digest,
    digest_subset_to_digest,
    get_digest_contents,
    get_digest_entries,
    implicitly,
    merge_digests,
    remove_prefix,
    rule,
)
from slim_ray_image.core.base.base_facts import BASE, FACTS, BaseFacts, BaseFactsRequest
from slim_ray_image.core.base.base_manifest import parse_base_image
from slim_ray_image.core.base.layout_index import LayoutQuery
from slim_ray_image.core.base.registry_request import (
    BLOB,
    CONFIG,
    MANIFEST,
    FetchBlobRequest,
    RegistryPlace,
    ResolveImageRequest,
)
from slim_ray_image.core.image.oci import BaseImage, Descriptor, blob_path
from slim_ray_image.core.image.references import (
    LayoutReference,
    RegistryReference,
    parse_image_reference,
    source_of,
)
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.timestamp import timestamp_of
from slim_ray_image.core.wheels.consistency import end_of_life_warning
from slim_ray_image.core.wire import from_json
from slim_ray_image.local_layout import read_layout, read_layout_layers
from slim_ray_image.network import NetworkSettings
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.tools import (
    BaseInterpreter,
    BaseTools,
    BaseToolsRequest,
    HostToolsRequest,
    UvRequest,
    fetch_uv,
    prepare_base_tools,
    prepare_host_tools,
    read_output,
    run_on_host,
)

logger = logging.getLogger(__name__)

# Old enough for nearly all bases, so they share one set of tools, which can be installed before the base is read.
_TOOLS_GLIBC = "2.28"


@dataclass(frozen=True)
class BaseImageRequest:
    """A request for the manifest and config of a base image."""

    reference: str  # as the target names it
    platform: str


@dataclass(frozen=True)
class BaseBlobsRequest:
    """A request for the layers of a base image."""

    base: BaseImage


@dataclass(frozen=True)
class BaseBlobs:
    """The layers of a base image, at the paths of an OCI image layout: `blobs/sha256/...`."""

    tree: Digest


@dataclass(frozen=True)
class PreparedBase:
    """A base image with everything that a build on it needs: its layers, its own Python, and tools for this Python.

    Attributes:
        blobs_tree: The base's layers, at the paths of an OCI image layout: `blobs/sha256/...`.
        interpreter: The base's own Python, to run in a sandbox.
        tools: Tools that run on this Python.
        timestamp: Time of all files and layers added to the base, in seconds since 1970.
    """

    image: BaseImage
    blobs_tree: Digest
    interpreter: BaseInterpreter
    tools: BaseTools
    timestamp: int


@dataclass(frozen=True)
class BaseInterpreterRequest:
    """A request for the Python interpreter of a base image, and for facts of the base's files."""

    base: BaseImage
    platform: str


def _warn_unpinned(reference: RegistryReference, manifest_digest: str) -> None:
    name = reference.text.partition("@")[0]
    logger.warning(
        f"The base image {reference.text} is a tag, so an image can change while this repository does not.\n\n"
        f'To fix, pin the digest that the tag has now:\n    base_image="{name}@{manifest_digest}"'
    )


def _place_of(
    reference: RegistryReference, subsystem: SlimRayImageSubsystem, network: NetworkSettings
) -> RegistryPlace:
    return RegistryPlace(
        reference.text,
        reference.host,
        reference.repository,
        reference.is_loopback or reference.registry in subsystem.insecure_registries,
        network.places.certificates,
    )


async def _ask_registry(
    program: str,
    request: Union[ResolveImageRequest, FetchBlobRequest],
    network: NetworkSettings,
    *,
    output_files: tuple[str, ...],
    description: str,
    cache_scope: ProcessCacheScope = ProcessCacheScope.SUCCESSFUL,
) -> Digest:
    """Run a program that reads an image registry, and return its output files."""
    tools = await prepare_host_tools(HostToolsRequest(), **implicitly())
    result = await run_on_host(
        program,
        request,
        inputs=network.tree,
        libraries=tools.tree,
        output_files=output_files,
        description=description,
        cache_scope=cache_scope,
    )
    return result.output_digest


@rule(desc="Find the base image")
async def resolve_base_image(
    request: BaseImageRequest, subsystem: SlimRayImageSubsystem, network: NetworkSettings
) -> BaseImage:
    """Return the base image's manifest and config, from a registry or a local layout, checked against their digests."""
    found = source_of(request.reference, subsystem.base_image_sources)
    source = found.text
    reference, platform = parse_image_reference(source), parse_platform(request.platform)
    if isinstance(reference, LayoutReference):
        return await read_layout(
            LayoutQuery(request.reference, reference, platform, found.digest), **implicitly()
        )
    tree = await _ask_registry(
        "base.resolve_image",
        ResolveImageRequest(
            _place_of(reference, subsystem, network), reference.identifier, request.platform
        ),
        network,
        output_files=(MANIFEST, CONFIG),
        description=f"Find the base image {source}",
        cache_scope=(
            ProcessCacheScope.SUCCESSFUL
            if reference.digest
            else ProcessCacheScope.PER_RESTART_SUCCESSFUL
        ),
    )
    contents = {c.path: c.content for c in await get_digest_contents(tree)}
    base = parse_base_image(
        request.reference, source, contents[MANIFEST], contents[CONFIG], platform
    )
    if not reference.digest and subsystem.warn_unpinned_base:
        _warn_unpinned(reference, base.manifest_digest)
    return base


async def _fetch_blob(
    reference: RegistryReference,
    layer: Descriptor,
    subsystem: SlimRayImageSubsystem,
    network: NetworkSettings,
) -> Digest:
    tree = await _ask_registry(
        "base.fetch_blob",
        FetchBlobRequest(_place_of(reference, subsystem, network), layer.digest),
        network,
        output_files=(BLOB,),
        description=f"Fetch a layer of {reference.text} ({layer.size / 1e6:.1f} MB)",
    )
    (entry,) = await get_digest_entries(tree)
    return await create_digest(CreateDigest([FileEntry(blob_path(layer), entry.file_digest)]))


@rule(desc="Read the base image's layers")
async def read_base_blobs(
    request: BaseBlobsRequest, subsystem: SlimRayImageSubsystem, network: NetworkSettings
) -> BaseBlobs:
    """Return the layers of a base image; each layer is read once for all images on this base."""
    reference = parse_image_reference(request.base.source)
    if isinstance(reference, LayoutReference):
        trees = await read_layout_layers(reference, request.base.layers)
    else:
        trees = await concurrently(
            _fetch_blob(reference, layer, subsystem, network) for layer in request.base.layers
        )
    return BaseBlobs(await merge_digests(MergeDigests(trees)))


@rule(desc="Extract the base image's interpreter")
async def extract_base_interpreter(request: BaseInterpreterRequest) -> BaseInterpreter:
    """Extract the base image's Python interpreter from its layers, and return it with facts of the base's files."""
    blobs = await read_base_blobs(BaseBlobsRequest(request.base), **implicitly())
    result = await run_on_host(
        "base.extract_base",
        BaseFactsRequest(
            request.base.reference,
            tuple(blob_path(layer) for layer in request.base.layers),
            request.platform,
            request.base.environment,
        ),
        inputs=blobs.tree,
        output_files=(FACTS,),
        output_directories=(BASE,),
        description=f"Extract the interpreter of {request.base.reference}",
    )
    tree = await digest_subset_to_digest(
        DigestSubset(result.output_digest, PathGlobs([f"{BASE}/**"]))
    )
    return BaseInterpreter(
        await remove_prefix(RemovePrefix(tree, BASE)),
        request.platform,
        from_json(BaseFacts, await read_output(result.output_digest, FACTS)),
    )


def _warn_end_of_life(reference: str, python_version: str) -> None:
    """Log a warning if the base image's Python is past its end of life. The clock affects no output of the build."""
    text = end_of_life_warning(reference, python_version, datetime.date.today())
    if text:
        logger.warning(text)


def _version_of(glibc: str) -> tuple[int, ...]:
    return tuple(int(part) for part in glibc.split(".") if part.isdecimal())


def _tools_request(python_minor: str, glibc: str, platform: str) -> BaseToolsRequest:
    """Return the request for tools that run on a base's Python; bases with glibc `_TOOLS_GLIBC` or newer share it."""
    return BaseToolsRequest(python_minor, min(glibc, _TOOLS_GLIBC, key=_version_of), platform)


def _expected_tools(image: BaseImage, platform: str) -> tuple[BaseToolsRequest, ...]:
    """Return a tuple with the request for the tools that a base will need; () if its config has no `PYTHON_VERSION`."""
    found = re.match(r"(3\.\d+)\.", image.environment.get("PYTHON_VERSION", ""))
    return (_tools_request(found[1], _TOOLS_GLIBC, platform),) if found else ()


@rule(desc="Prepare the base image")
async def prepare_base(
    request: BaseImageRequest,
    subsystem: SlimRayImageSubsystem,
    subprocess_environment: SubprocessEnvironmentVars,
) -> PreparedBase:
    """Return a base image with its layers, its Python and tools for it; runs once for all images on the base."""
    timestamp = timestamp_of(subprocess_environment.vars)
    image = await resolve_base_image(request, **implicitly())
    blobs, interpreter, *_ = await concurrently(
        read_base_blobs(BaseBlobsRequest(image), **implicitly()),
        extract_base_interpreter(BaseInterpreterRequest(image, request.platform), **implicitly()),
        # Started early, because the next steps wait for uv and the tools.
        fetch_uv(UvRequest(), **implicitly()),
        *(
            prepare_base_tools(tools, **implicitly())
            for tools in _expected_tools(image, request.platform)
        ),
    )
    if subsystem.warn_end_of_life:
        _warn_end_of_life(request.reference, interpreter.facts.python_version)
    tools = await prepare_base_tools(
        _tools_request(interpreter.python_minor, interpreter.facts.glibc, request.platform),
        **implicitly(),
    )
    return PreparedBase(image, blobs.tree, interpreter, tools, timestamp)


def rules() -> Iterable[Any]:
    return collect_rules()
