"""The only build path: a target -> its closure (everything that its code needs) -> wheels -> layers -> image.

`pants package`, `run`, `check` and `test` all start from the `BuiltImage` of a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

from pants.backend.python.subsystems.setup import PythonSetup
from pants.engine.fs import CreateDigest, Digest, FileContent, FileDigest, FileEntry, MergeDigests
from pants.engine.rules import collect_rules

from slim_ray_image.base_image import PreparedBase, prepare_base
from slim_ray_image.closure import ImageClosure, resolve_image_closure
from slim_ray_image.compat import concurrently, create_digest, implicitly, merge_digests, rule
from slim_ray_image.core.base.base_layers import base_layers
from slim_ray_image.core.image.image_description import (
    DescribedBase,
    DescribedWarning,
    ImageDescription,
    describe_applications,
    describe_files,
    describe_layers,
    describe_pruned,
    describe_requirements,
    describe_warnings,
    total,
)
from slim_ray_image.core.image.oci import (
    BuiltLayer,
    Image,
    append_layers,
    blob_path,
)
from slim_ray_image.core.image.settings import TargetSettings, image_settings
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.python.dynamic_imports import unfollowed_imports
from slim_ray_image.core.python.import_statements import missing_imports
from slim_ray_image.core.python.module_names import HeldModules, modules_of
from slim_ray_image.core.wheels.consistency import check_python
from slim_ray_image.field_sets import (
    SlimRayImageFieldSet,
    base_image_request,
    closure_request,
    names_request,
    target_settings,
)
from slim_ray_image.image_content import ImageContent, added_account, build_content
from slim_ray_image.image_names import find_image_names
from slim_ray_image.pack_pex import PackPexRequest
from slim_ray_image.serve_config import ConfigWarningRequest, warn_of_config
from slim_ray_image.subsystem import SlimRayImageSubsystem


@dataclass(frozen=True)
class BuildImageRequest:
    """A request for the image of a target."""

    field_set: SlimRayImageFieldSet


@dataclass(frozen=True)
class BuiltImage:
    """The image of a target, with the facts that the build found about the image.

    Attributes:
        closure: First-party files and requirements, without the files that `exclude_files` matches.
        layers: Lowest first, the base's layers included.
        blobs_tree: All blobs of the image, as an OCI image layout has them: `blobs/sha256/...`.
        sparse_blobs_tree: The same without the blobs of the base's layers.
        description: The content of image.json.
        ports: TCP ports that the image listens on.
        pex: A request for the image's distributions as a PEX.
    """

    image: Image
    base: PreparedBase
    closure: ImageClosure
    layers: tuple[BuiltLayer, ...]
    blobs_tree: Digest
    sparse_blobs_tree: Digest
    description: ImageDescription
    ports: tuple[int, ...]
    pex: PackPexRequest


def _warnings(content: ImageContent) -> tuple[DescribedWarning, ...]:
    held = HeldModules(
        modules=modules_of(file.path for file in content.closure.files),
        packages=[m for d in content.included.wheels.distributions for m in d.modules],
    )
    return describe_warnings(
        unfollowed_imports(content.sources.dynamic_imports, held),
        missing_imports(content.sources.import_statements, held),
        content.closure.files,
    )


def _describe_base(base: PreparedBase) -> DescribedBase:
    return DescribedBase(
        reference=base.image.reference,
        digest=base.image.manifest_digest,
        source=base.image.source,
        python_version=base.interpreter.facts.python_version,
        libc=f"glibc {base.interpreter.facts.glibc}",
    )


def _describe(
    address: str,
    target: TargetSettings,
    image: Image,
    references: tuple[str, ...],
    base: PreparedBase,
    content: ImageContent,
    layers: tuple[BuiltLayer, ...],
) -> ImageDescription:
    serve = target.config.serve if target.config else None
    included, described_layers = content.included, describe_layers(layers)
    return ImageDescription(
        target=address,
        applications=describe_applications(target.serve_app, serve),
        serve_config=target.serve_config,
        reference=references,
        platform=str(image.platform),
        manifest_digest=image.manifest_descriptor.digest,
        config_digest=image.config_descriptor.digest,
        base=_describe_base(base),
        layers=described_layers,
        requirements=describe_requirements(
            included.wheels.distributions, included.required, content.layers
        ),
        files=describe_files(content.closure.files),
        pruned=describe_pruned(content.distributions.pruned),
        ray_extras=content.closure.ray_extras,
        totals=total(described_layers),
        warnings=_warnings(content),
    )


async def _own_blobs(image: Image, layers: Iterable[BuiltLayer]) -> Digest:
    """Return the blobs that an image adds to its base's: the manifest, the config and the plugin's own layers."""
    descriptors = [layer.descriptor for layer in layers]
    return await create_digest(
        CreateDigest(
            [
                FileContent(blob_path(image.manifest_descriptor), image.manifest),
                FileContent(blob_path(image.config_descriptor), image.config),
                *(
                    FileEntry(blob_path(layer), FileDigest(layer.hex, layer.size))
                    for layer in descriptors
                ),
            ]
        )
    )


def _check_python(
    field_set: SlimRayImageFieldSet, closure: ImageClosure, base: PreparedBase, setup: PythonSetup
) -> None:
    constraints = setup.resolves_to_interpreter_constraints.get(
        closure.resolve, setup.interpreter_constraints
    )
    check_python(
        field_set.image,
        closure.resolve,
        constraints,
        base.image.reference,
        base.interpreter.facts.python_version,
    )


async def _warn_of_config(closure: ImageClosure) -> None:
    texts = closure.config.warnings if closure.config else ()
    await concurrently(warn_of_config(ConfigWarningRequest(text), **implicitly()) for text in texts)


def _append(
    field_set: SlimRayImageFieldSet,
    target: TargetSettings,
    base: PreparedBase,
    content: ImageContent,
) -> tuple[Image, tuple[int, ...]]:
    """Append the plugin's layers to the base image (stage 5 of 6); return the new image and its ports."""
    program = content.closure.program
    settings = image_settings(
        target,
        base_path=base.image.environment["PATH"],
        account=added_account(field_set, base),
        entry_path=program.path if program else None,
    )
    image = append_layers(
        base.image,
        content.layers,
        settings,
        parse_platform(field_set.platform),
        base.timestamp,
    )
    return image, settings.ports


@rule(desc="Build a slim_ray_image")
async def build_image(
    request: BuildImageRequest, subsystem: SlimRayImageSubsystem, python_setup: PythonSetup
) -> BuiltImage:
    """Build the whole image of a target; each costly step is a separate cached process."""
    field_set = request.field_set
    names = await find_image_names(names_request(field_set), **implicitly())
    # Stage 2. Stage 1, the inference of dependencies, is a rule that Pants calls while the closure is resolved.
    needed, base = await concurrently(
        resolve_image_closure(closure_request(field_set), **implicitly()),
        prepare_base(base_image_request(field_set, subsystem), **implicitly()),
    )
    await _warn_of_config(needed)
    _check_python(field_set, needed, base, python_setup)
    # Stages 3 and 4.
    content = await build_content(field_set, subsystem, needed, base)
    # Stage 5. Each goal does stage 6, the outputs, itself.
    target = target_settings(field_set, content.closure)
    image, ports = _append(field_set, target, base, content)
    references = names.references(image.manifest_descriptor.hex)
    layers = (
        *base_layers(base.image, base.interpreter.facts.layer_sizes),
        *content.layers,
    )
    description = _describe(field_set.image, target, image, references, base, content, layers)
    sparse_blobs_tree = await _own_blobs(image, content.layers)
    return BuiltImage(
        image=image,
        base=base,
        closure=content.closure,
        layers=layers,
        blobs_tree=await merge_digests(MergeDigests([sparse_blobs_tree, base.blobs_tree])),
        sparse_blobs_tree=sparse_blobs_tree,
        description=description,
        ports=ports,
        pex=content.pex,
    )


def rules() -> Iterable[Any]:
    return collect_rules()
