"""Stages 4 to 6: closure -> packed distributions -> one process per layer -> image -> what `pants package` writes.

`build_image` is the one build path: package and run start from its result.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Iterable, Mapping, Optional

from pants.backend.python.target_types import PythonResolveField
from pants.core.goals.package import (
    BuiltPackage,
    BuiltPackageArtifact,
    OutputPathField,
    PackageFieldSet,
)
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestSubset,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
    PathGlobs,
)
from pants.engine.rules import collect_rules
from pants.engine.unions import UnionRule

from slim_ray_image.base_image import (
    BaseBlobsRequest,
    BaseImageRequest,
    BaseInterpreterRequest,
    extract_base_interpreter,
    read_base_blobs,
    resolve_base_image,
)
from slim_ray_image.closure import ImageClosure, ImageClosureRequest, resolve_image_closure
from slim_ray_image.compat import (
    add_prefix,
    concurrently,
    create_digest,
    digest_subset_to_digest,
    get_digest_contents,
    get_digest_entries,
    implicitly,
    merge_digests,
    rule,
)
from slim_ray_image.core.layers import (
    COMMAND_DIRECTORY,
    KIND_DISTRIBUTIONS,
    KIND_SOURCES,
    LINKED_SCRIPTS,
    VENV,
    Distribution,
    LayerSpec,
    parents,
    plan_layers,
)
from slim_ray_image.core.oci import (
    LAYOUT_FILE,
    BaseImage,
    BuiltLayer,
    Descriptor,
    Image,
    append_layers,
    blob_path,
    layout_index,
)
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.requirements import explain
from slim_ray_image.core.result import describe_image, summarize
from slim_ray_image.core.settings import HOME, Account, TargetSettings, account_of, image_settings
from slim_ray_image.dependency_inference import EntryFieldSet
from slim_ray_image.pack import PackedDistributions, PackRequest, pack_distributions
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import (
    BaseImageField,
    BytecodeField,
    CmdField,
    EntryPointField,
    EntrypointField,
    EnvField,
    LabelsField,
    LayerBudgetField,
    PlatformsField,
    PortsField,
    ServeAppField,
    SlimRayImageDependencies,
    UserField,
    WorkdirField,
)
from slim_ray_image.tools import (
    BaseInterpreter,
    BaseTools,
    BaseToolsRequest,
    prepare_base_tools,
    run_on_base,
)

_BLOB = "layer.tar.gz"


@dataclass(frozen=True)
class SlimRayImageFieldSet(PackageFieldSet):
    """The fields that a build reads."""

    required_fields = (ServeAppField, EntryPointField, SlimRayImageDependencies)

    serve_app: ServeAppField
    entry_point: EntryPointField
    dependencies: SlimRayImageDependencies
    resolve: PythonResolveField
    base_image: BaseImageField
    platforms: PlatformsField
    env: EnvField
    ports: PortsField
    labels: LabelsField
    user: UserField
    workdir: WorkdirField
    entrypoint: EntrypointField
    cmd: CmdField
    layer_budget: LayerBudgetField
    bytecode: BytecodeField
    output_path: OutputPathField


@dataclass(frozen=True)
class LayerRequest:
    """A request for one layer. `request` is all that its bytes depend on besides `inputs` and the tools."""

    kind: str  # what `sandbox/write_layer.py` is to write
    request: str  # JSON
    inputs: Digest
    interpreter: BaseInterpreter
    tools: BaseTools
    description: str


@dataclass(frozen=True)
class WrittenLayer:
    """A layer as `sandbox/write_layer.py` left it: its blob and its layer.json."""

    blob: FileDigest
    facts: str  # JSON


@dataclass(frozen=True)
class BuildImageRequest:
    """A request for the image of a target."""

    field_set: SlimRayImageFieldSet


@dataclass(frozen=True)
class BuiltImage:
    """The image of a target.

    Attributes:
        layout_tree: A complete OCI image layout, with the base's blobs.
        description: image.json.
    """

    image: Image
    layout_tree: Digest
    description: str
    ports: tuple[int, ...]


@rule(desc="Write a layer of a slim_ray_image")
async def write_layer(request: LayerRequest) -> WrittenLayer:
    """One process, keyed by the layer's own content: the same distribution is the same layer in every image."""
    result = await run_on_base(
        "write_layer",
        {"kind": request.kind, **json.loads(request.request)},
        request.interpreter,
        request.tools,
        inputs=request.inputs,
        output_files=(_BLOB, "layer.json"),
        description=request.description,
    )
    facts_tree = await digest_subset_to_digest(
        DigestSubset(result.output_digest, PathGlobs(["layer.json"]))
    )
    (facts,) = await get_digest_contents(facts_tree)
    entries = await get_digest_entries(result.output_digest)
    blob = next(e.file_digest for e in entries if isinstance(e, FileEntry) and e.path == _BLOB)
    return WrittenLayer(blob, facts.content.decode())


def _built_layer(
    name: str, kind: str, written: WrittenLayer, distributions: tuple[Distribution, ...] = ()
) -> BuiltLayer:
    facts = json.loads(written.facts)
    descriptor = Descriptor.from_json(facts["descriptor"])
    compressed = facts["compressed_bytes_of"]
    return BuiltLayer(
        name=name,
        kind=kind,
        descriptor=descriptor,
        diff_id=facts["diff_id"],
        unpacked_bytes=facts["unpacked_bytes"],
        file_count=facts["file_count"],
        distributions=tuple(d.name for d in distributions),
        compressed_bytes_of=tuple(
            (d.name, descriptor.size if len(distributions) == 1 else compressed[d.file])
            for d in distributions
        ),
    )


def _base_facts(interpreter: BaseInterpreter, *below: str) -> Mapping[str, Any]:
    """What a layer must know of the base, and no more: it is part of the layer's cache key."""
    wanted = {parent for path in below for parent in parents(f"{path}/x")}
    return {
        "python": interpreter.python,
        "python_version": interpreter.python_version,
        "directories": sorted(wanted & interpreter.directories),
    }


def _distribution_layer_request(
    spec: LayerSpec, interpreter: BaseInterpreter, bytecode: bool
) -> Mapping[str, Any]:
    return {
        "distributions": [distribution.file for distribution in spec.distributions],
        "virtual_environment": spec.kind == KIND_DISTRIBUTIONS,
        "bytecode": bytecode,
        "base": {
            **_base_facts(interpreter, VENV, COMMAND_DIRECTORY, interpreter.site_packages),
            "commands": sorted(set(LINKED_SCRIPTS) & set(interpreter.commands)),
        },
    }


def _entry_field_set(field_set: SlimRayImageFieldSet) -> EntryFieldSet:
    return EntryFieldSet(
        field_set.address,
        serve_app=field_set.serve_app,
        entry_point=field_set.entry_point,
        dependencies=field_set.dependencies,
        resolve=field_set.resolve,
    )


def _target_settings(field_set: SlimRayImageFieldSet) -> TargetSettings:
    return TargetSettings(
        serve_app=field_set.serve_app.import_path,
        entry_point=field_set.entry_point.entry_point,
        user=field_set.user.value,
        workdir=field_set.workdir.value,
        env=field_set.env.value or {},
        ports=field_set.ports.value,
        labels=field_set.labels.value or {},
        entrypoint=field_set.entrypoint.value,
        cmd=field_set.cmd.value,
    )


def _attribute_check(
    field_set: SlimRayImageFieldSet, closure: ImageClosure
) -> Optional[Mapping[str, str]]:
    import_path = field_set.serve_app.import_path
    if not import_path or not closure.entry:
        return None
    return {
        "file": closure.entry.path,
        "path": closure.entry.source,
        "module": import_path.module,
        "attribute": import_path.attribute,
        "named_by": f"{closure.named_by} of {field_set.address}",
    }


def _sources_layer_request(
    field_set: SlimRayImageFieldSet,
    closure: ImageClosure,
    interpreter: BaseInterpreter,
    account: Optional[Account],
) -> Mapping[str, Any]:
    workdir = field_set.workdir.value
    return {
        "files": [file.path for file in closure.files],
        "workdir": workdir,
        "bytecode": field_set.bytecode.value,
        "check": _attribute_check(field_set, closure),
        "account": asdict(account) if account else None,
        "base": {
            **_base_facts(interpreter, workdir, HOME, "/etc"),
            "passwd": interpreter.passwd if account else "",
            "group": interpreter.group if account else "",
        },
    }


async def _distribution_inputs(spec: LayerSpec, packed: PackedDistributions) -> Digest:
    return await create_digest(
        CreateDigest(
            FileEntry(f"deps/{distribution.file}", packed.files[distribution.file])
            for distribution in spec.distributions
        )
    )


async def _write_distribution_layer(
    spec: LayerSpec,
    packed: PackedDistributions,
    interpreter: BaseInterpreter,
    tools: BaseTools,
    bytecode: bool,
) -> WrittenLayer:
    inputs = await _distribution_inputs(spec, packed)
    request = json.dumps(_distribution_layer_request(spec, interpreter, bytecode), sort_keys=True)
    described = (
        spec.name if len(spec.distributions) == 1 else f"{len(spec.distributions)} distributions"
    )
    return await write_layer(
        LayerRequest(
            "distributions", request, inputs, interpreter, tools, f"Write the layer of {described}"
        ),
        **implicitly(),
    )


async def _write_sources_layer(
    field_set: SlimRayImageFieldSet,
    closure: ImageClosure,
    interpreter: BaseInterpreter,
    tools: BaseTools,
    account: Optional[Account],
) -> WrittenLayer:
    inputs = await add_prefix(AddPrefix(closure.files_tree, "files"))
    request = _sources_layer_request(field_set, closure, interpreter, account)
    return await write_layer(
        LayerRequest(
            "sources",
            json.dumps(request, sort_keys=True),
            inputs,
            interpreter,
            tools,
            f"Write the layer of {len(closure.files)} first-party files of {field_set.address}",
        ),
        **implicitly(),
    )


def _layout_entries(
    image: Image, layers: tuple[BuiltLayer, ...], blobs: tuple[FileDigest, ...], tag: str
) -> CreateDigest:
    """The files of an OCI image layout, without the base's blobs."""
    return CreateDigest(
        [
            FileContent("oci-layout", LAYOUT_FILE),
            FileContent("index.json", layout_index(image, tag)),
            FileContent(blob_path(image.manifest_descriptor), image.manifest),
            FileContent(blob_path(image.config_descriptor), image.config),
            *(FileEntry(blob_path(layer.descriptor), blob) for layer, blob in zip(layers, blobs)),
        ]
    )


def _base_path(base: BaseImage) -> str:
    environment = (json.loads(base.config).get("config") or {}).get("Env") or ()
    default = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return dict(entry.partition("=")[::2] for entry in environment).get("PATH", default)


@rule(desc="Build a slim_ray_image")
async def build_image(request: BuildImageRequest, subsystem: SlimRayImageSubsystem) -> BuiltImage:
    """The whole image; every costly step in it is a cached process of its own."""
    field_set = request.field_set
    (platform_name,) = field_set.platforms.value or ()
    platform = parse_platform(platform_name)
    reference = field_set.base_image.value or subsystem.default_base_image
    closure = await resolve_image_closure(
        ImageClosureRequest(_entry_field_set(field_set)), **implicitly()
    )
    base = await resolve_base_image(BaseImageRequest(reference, platform_name), **implicitly())
    interpreter = await extract_base_interpreter(
        BaseInterpreterRequest(base, platform_name), **implicitly()
    )
    tools = await prepare_base_tools(
        BaseToolsRequest(interpreter.python_minor, interpreter.glibc, platform_name), **implicitly()
    )
    packed = await pack_distributions(
        PackRequest(
            field_set.address,
            tuple(sorted({requirement.text for requirement in closure.requirements})),
            closure.resolve,
            reference,
            interpreter,
        ),
        **implicitly(),
    )
    specs = plan_layers(packed.distributions, field_set.layer_budget.value)
    account = account_of(field_set.user.value, interpreter.passwd, interpreter.group)
    written = await concurrently(
        *(
            _write_distribution_layer(spec, packed, interpreter, tools, field_set.bytecode.value)
            for spec in specs
        ),
        _write_sources_layer(field_set, closure, interpreter, tools, account),
    )
    layers = (
        *(
            _built_layer(spec.name, spec.kind, layer, spec.distributions)
            for spec, layer in zip(specs, written)
        ),
        _built_layer("sources", KIND_SOURCES, written[-1]),
    )
    settings = image_settings(
        _target_settings(field_set),
        base_path=_base_path(base),
        account=account,
        entry_path=closure.entry.path if closure.entry else None,
    )
    image = append_layers(base, layers, settings, platform)
    own_tree = await create_digest(
        _layout_entries(image, layers, tuple(layer.blob for layer in written), "latest")
    )
    base_blobs = await read_base_blobs(BaseBlobsRequest(base), **implicitly())
    description = describe_image(
        target=str(field_set.address),
        references=(),
        image=image,
        base=base,
        base_layer_sizes=json.loads(interpreter.layer_sizes),
        python_version=interpreter.python_version,
        libc=f"glibc {interpreter.glibc}",
        layers=layers,
        distributions=packed.distributions,
        required=explain(
            [(requirement.text, requirement.reason) for requirement in closure.requirements],
            packed.distributions,
            interpreter.marker_environment,
        ),
        files=closure.files,
    )
    return BuiltImage(
        image,
        await merge_digests(MergeDigests([own_tree, base_blobs.tree])),
        description.decode(),
        settings.ports,
    )


@rule(desc="Package a slim_ray_image")
async def package_slim_ray_image(field_set: SlimRayImageFieldSet) -> BuiltPackage:
    """What `pants package` writes: `oci/`, an OCI image layout, and image.json."""
    built = await build_image(BuildImageRequest(field_set), **implicitly())
    output_path = field_set.output_path.value_or_default(file_ending=None)
    layout, description = await concurrently(
        add_prefix(AddPrefix(built.layout_tree, f"{output_path}/oci")),
        create_digest(
            CreateDigest([FileContent(f"{output_path}/image.json", built.description.encode())])
        ),
    )
    return BuiltPackage(
        await merge_digests(MergeDigests([layout, description])),
        (
            BuiltPackageArtifact(
                output_path, extra_log_lines=summarize(json.loads(built.description))
            ),
        ),
    )


def rules() -> Iterable[Any]:
    return [*collect_rules(), UnionRule(PackageFieldSet, SlimRayImageFieldSet)]
