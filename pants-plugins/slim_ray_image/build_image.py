"""Stage 5 of 6, and the one build path: target -> closure -> wheels -> layers -> image.

`pants package`, `run`, `check` and `test` all start from what `build_image` returns.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Iterable, Optional

from pants.backend.python.subsystems.setup import PythonSetup
from pants.core.goals.package import OutputPathField, PackageFieldSet
from pants.engine.fs import CreateDigest, Digest, FileContent, FileDigest, FileEntry, MergeDigests
from pants.engine.rules import collect_rules

from slim_ray_image.base_image import BaseImageRequest, PreparedBase, prepare_base
from slim_ray_image.closure import ImageClosure, ImageClosureRequest, resolve_image_closure
from slim_ray_image.compat import concurrently, create_digest, implicitly, merge_digests, rule
from slim_ray_image.core.accounts import Account, account_of, owner_of
from slim_ray_image.core.conflicts import check_paths, check_scripts
from slim_ray_image.core.consistency import check_python, check_ray_versions
from slim_ray_image.core.dynamic_imports import (
    DynamicImport,
    HeldModules,
    modules_of,
    unfollowed_imports,
)
from slim_ray_image.core.import_statements import ImportStatement, missing_imports
from slim_ray_image.core.layers import plan_files, plan_layers
from slim_ray_image.core.oci import (
    BuiltLayer,
    Image,
    append_layers,
    blob_path,
)
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.pruning import Pruned
from slim_ray_image.core.ray_extras import check_uncovered, explain_added
from slim_ray_image.core.requirements import RequiredDistribution
from slim_ray_image.core.result import application_rows, describe_image
from slim_ray_image.core.settings import TargetSettings, image_settings
from slim_ray_image.dependency_inference import EntryFieldSet
from slim_ray_image.image_names import ImageNamesRequest, find_image_names
from slim_ray_image.layers import (
    LayerRequest,
    PlannedDistributions,
    RuntimeLayerQuery,
    distribution_layer,
    files_layer,
    files_layer_request,
    shared_layer,
    sources_layer,
    sources_layer_request,
    write_layer,
    write_runtime_layer,
    write_shared_layer,
)
from slim_ray_image.pex import PackPexRequest, pack_pex, pack_pex_request
from slim_ray_image.prune import (
    chosen_pruning,
    excluded_files,
    leave_out,
    parts_for,
    pruned_rows,
)
from slim_ray_image.serve_config import ConfigWarningRequest, warn_of_config
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import (
    BaseImageField,
    BytecodeField,
    CmdField,
    EntrypointField,
    EnvField,
    ExcludeFilesField,
    ImageTagsField,
    LabelsField,
    LayerBudgetField,
    OutputsField,
    PlatformsField,
    PortsField,
    PruneField,
    RayExtrasField,
    RegistriesField,
    RepositoryField,
    UserField,
    WorkdirField,
)
from slim_ray_image.wheels import ImageWheels, WheelsRequest, find_wheels


@dataclass(frozen=True)
class SlimRayImageFieldSet(EntryFieldSet, PackageFieldSet):
    """The fields that a build reads."""

    ray_extras: RayExtrasField
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
    prune: PruneField
    exclude_files: ExcludeFilesField
    repository: RepositoryField
    registries: RegistriesField
    image_tags: ImageTagsField
    outputs: OutputsField
    output_path: OutputPathField


@dataclass(frozen=True)
class BuildImageRequest:
    """A request for the image of a target."""

    field_set: SlimRayImageFieldSet


@dataclass(frozen=True)
class BuiltImage:
    """The image of a target.

    Attributes:
        references: Its names.
        blobs_tree: All its blobs, as an OCI image layout has them: `blobs/sha256/...`.
        sparse_blobs_tree: The same without the base's layers.
        description: image.json.
        pex: A request for its distributions as a PEX.
    """

    image: Image
    references: tuple[str, ...]
    blobs_tree: Digest
    sparse_blobs_tree: Digest
    description: str
    ports: tuple[int, ...]
    pex: PackPexRequest


def closure_request(field_set: SlimRayImageFieldSet) -> ImageClosureRequest:
    """Return the request for what goes into the image of a target."""
    # Its own type, so that inference and the closure share what is found of it.
    entry = EntryFieldSet(**{f.name: getattr(field_set, f.name) for f in fields(EntryFieldSet)})
    return ImageClosureRequest(entry, field_set.ray_extras.value)


def _names_request(field_set: SlimRayImageFieldSet) -> ImageNamesRequest:
    return ImageNamesRequest(
        field_set.address, field_set.repository, field_set.registries, field_set.image_tags
    )


def _target_settings(field_set: SlimRayImageFieldSet, closure: ImageClosure) -> TargetSettings:
    return TargetSettings(
        serve_app=field_set.serve_app.import_path,
        config=closure.config,
        entry_point=field_set.entry_point.entry_point,
        user=field_set.user.value,
        workdir=field_set.workdir.value,
        env=field_set.env.value or {},
        ports=field_set.ports.value,
        labels=field_set.labels.value or {},
        entrypoint=field_set.entrypoint.value,
        cmd=field_set.cmd.value,
    )


def _wheels_request(
    field_set: SlimRayImageFieldSet, closure: ImageClosure, base: PreparedBase
) -> WheelsRequest:
    """The locked distributions, and those of the repository itself."""
    return WheelsRequest(
        field_set.address,
        tuple(sorted({requirement.text for requirement in closure.requirements})),
        explain_added(closure.ray_extras),
        closure.resolve,
        closure.wheels,
        closure.wheels_tree,
        base.image.reference,
        base.interpreter,
        base.tools,
    )


def _first_party_requests(
    field_set: SlimRayImageFieldSet,
    closure: ImageClosure,
    base: PreparedBase,
    account: Optional[Account],
) -> tuple[LayerRequest, ...]:
    """Return the request for the layer of the sources, and that for large files, where there are any."""
    workdir = field_set.workdir.value
    at_path = {file.path: file for file in closure.files}
    plan = plan_files(
        {file.path: file.bytes for file in closure.files}, field_set.layer_budget.value
    )
    large = [at_path[path] for path in plan.large]
    sources = sources_layer_request(
        closure,
        [at_path[path] for path in plan.others],
        base,
        image=str(field_set.address),
        workdir=workdir,
        bytecode=field_set.bytecode.value,
        owner=owner_of(
            field_set.user.value, base.interpreter.facts.passwd, base.interpreter.facts.group
        ),
        account=account,
    )
    return (sources, *([files_layer_request(large, base, workdir=workdir)] if large else []))


@dataclass(frozen=True)
class _WrittenLayers:
    """The layers, lowest first, and what went into them."""

    layers: tuple[BuiltLayer, ...]
    pex: PackPexRequest
    wheels: ImageWheels
    closure: ImageClosure
    required: tuple[RequiredDistribution, ...]
    pruned: tuple[Pruned, ...]
    unfollowed: tuple[DynamicImport, ...]
    missing: tuple[ImportStatement, ...]


def _named_modules(closure: ImageClosure) -> tuple[str, ...]:
    """The modules that the image starts with, or that its Serve config names, which may be Ray's own."""
    serve = closure.config.serve if closure.config else None
    return (
        *(entry.import_path.module for entry in closure.entries if entry.import_path),
        *(named.module for named in (serve.modules if serve else ())),
    )


async def _write_layers(
    field_set: SlimRayImageFieldSet,
    subsystem: SlimRayImageSubsystem,
    closure: ImageClosure,
    base: PreparedBase,
    account: Optional[Account],
) -> _WrittenLayers:
    """The layers. That of the sources does not wait for the distributions: a mistake in them shows early."""
    bytecode, pruning = field_set.bytecode.value, chosen_pruning(field_set.prune.value, subsystem)
    excluded = excluded_files(field_set.exclude_files.value or (), base.interpreter)
    closure, matched = excluded.remove_from(closure, field_set.workdir.value)
    every, runtime, *first_party = await concurrently(
        find_wheels(_wheels_request(field_set, closure, base), **implicitly()),
        write_runtime_layer(RuntimeLayerQuery(base, bytecode, excluded.absolute), **implicitly()),
        *(
            write_layer(request, **implicitly())
            for request in _first_party_requests(field_set, closure, base, account)
        ),
    )
    sources, *files = sources_layer(first_party[0]), *map(files_layer, first_party[1:])
    image, base_reference = str(field_set.address), base.image.reference
    remaining = leave_out(image, pruning, closure, every, base.interpreter)
    wheels = remaining.wheels
    check_uncovered(image, closure.ray_uses, {d.name for d in wheels.distributions})
    if closure.config:
        ray = next((d.version for d in wheels.distributions if d.name == "ray"), None)
        check_ray_versions(image, closure.config.ray_versions, ray)
    check_paths(image, wheels.distributions, excluded.absolute)
    check_scripts(
        image, base_reference, wheels.distributions, dict(base.interpreter.facts.programs)
    )
    parts = parts_for(pruning, (*_named_modules(closure), *sources.result.uses), wheels)
    specs = plan_layers(
        wheels.distributions,
        field_set.layer_budget.value,
        parts=parts,
        has_large_files=bool(files),
    )
    pex = pack_pex_request(every, closure.wheels, base.interpreter, base.tools, image)
    planned = PlannedDistributions(wheels, base, bytecode, pruning, excluded.absolute)
    *own, rest = specs
    shared, *written, _ = await concurrently(
        write_shared_layer(planned.shared_layer_request(rest), **implicitly()),
        *(write_layer(planned.layer_request(spec), **implicitly()) for spec in own),
        pack_pex(pex, **implicitly()),
    )
    distributions = [*map(distribution_layer, own, written), shared_layer(rest, shared)]
    taken = (p for layer in (runtime, *distributions) for p in layer.matched)
    excluded.check(image, {*matched, *taken})
    held = HeldModules(
        modules=modules_of(file.path for file in closure.files),
        packages=[module for d in wheels.distributions for module in d.modules],
    )
    return _WrittenLayers(
        (*runtime.layers, *(one.layer for one in distributions), *files, sources.layer),
        pex,
        wheels,
        closure,
        remaining.required,
        pruned_rows(distributions, parts, remaining.left_out),
        unfollowed_imports(sources.result.dynamic_imports, held),
        missing_imports(sources.result.import_statements, held),
    )


async def _own_blobs(image: Image, base: PreparedBase) -> Digest:
    """Manifest, config and our layers. The layers are named by their digests alone: they are in Pants' store."""
    own = image.layers[len(base.image.layers) :]
    return await create_digest(
        CreateDigest(
            [
                FileContent(blob_path(image.manifest_descriptor), image.manifest),
                FileContent(blob_path(image.config_descriptor), image.config),
                *(FileEntry(blob_path(layer), FileDigest(layer.hex, layer.size)) for layer in own),
            ]
        )
    )


def base_image_request(
    field_set: SlimRayImageFieldSet, subsystem: SlimRayImageSubsystem
) -> BaseImageRequest:
    """Return the request for the base image of a target."""
    (platform,) = field_set.platforms.value or ()
    return BaseImageRequest(field_set.base_image.value or subsystem.default_base_image, platform)


def _check_python(
    field_set: SlimRayImageFieldSet, closure: ImageClosure, base: PreparedBase, setup: PythonSetup
) -> None:
    constraints = setup.resolves_to_interpreter_constraints.get(
        closure.resolve, setup.interpreter_constraints
    )
    check_python(
        str(field_set.address),
        closure.resolve,
        constraints,
        base.image.reference,
        base.interpreter.facts.python_version,
    )


async def _warn_of_config(closure: ImageClosure) -> None:
    texts = closure.config.warnings if closure.config else ()
    await concurrently(warn_of_config(ConfigWarningRequest(text), **implicitly()) for text in texts)


@rule(desc="Build a slim_ray_image")
async def build_image(
    request: BuildImageRequest, subsystem: SlimRayImageSubsystem, python_setup: PythonSetup
) -> BuiltImage:
    """The whole image; every costly step in it is a cached process of its own."""
    field_set = request.field_set
    base_request = base_image_request(field_set, subsystem)
    names = await find_image_names(_names_request(field_set), **implicitly())
    closure, base = await concurrently(
        resolve_image_closure(closure_request(field_set), **implicitly()),
        prepare_base(base_request, **implicitly()),
    )
    await _warn_of_config(closure)
    _check_python(field_set, closure, base, python_setup)
    facts = base.interpreter.facts
    account = account_of(field_set.user.value, facts.passwd, facts.group)
    written = await _write_layers(field_set, subsystem, closure, base, account)
    wheels, closure = written.wheels, written.closure
    target_settings = _target_settings(field_set, closure)
    settings = image_settings(
        target_settings,
        base_path=base.image.environment["PATH"],
        account=account,
        entry_path=closure.program.path if closure.program else None,
    )
    image = append_layers(
        base.image,
        written.layers,
        settings,
        parse_platform(base_request.platform),
        base.timestamp,
    )
    references = names.references(image.manifest_descriptor.hex)
    description = describe_image(
        target=str(field_set.address),
        references=references,
        image=image,
        base=base.image,
        base_layer_sizes=[asdict(size) for size in facts.layer_sizes],
        python_version=facts.python_version,
        libc=f"glibc {facts.glibc}",
        layers=written.layers,
        distributions=wheels.distributions,
        required=written.required,
        files=closure.files,
        pruned=written.pruned,
        unfollowed=written.unfollowed,
        missing=written.missing,
        ray_extras=closure.ray_extras,
        applications=application_rows(
            field_set.serve_app.import_path, closure.config.serve if closure.config else None
        ),
        serve_config=target_settings.serve_config,
    )
    sparse_blobs_tree = await _own_blobs(image, base)
    blobs_tree = await merge_digests(MergeDigests([sparse_blobs_tree, base.blobs_tree]))
    return BuiltImage(
        image,
        references,
        blobs_tree,
        sparse_blobs_tree,
        description.decode(),
        settings.ports,
        written.pex,
    )


def rules() -> Iterable[Any]:
    return collect_rules()
