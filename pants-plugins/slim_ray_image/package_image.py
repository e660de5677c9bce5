"""Stage 6 of 6: image -> what `pants package` writes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Iterable

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, PackageFieldSet
from pants.engine.fs import AddPrefix, CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.rules import collect_rules
from pants.engine.unions import UnionRule

from slim_ray_image.base_image import prepare_base
from slim_ray_image.build_image import (
    BuildImageRequest,
    BuiltImage,
    SlimRayImageFieldSet,
    base_image_request,
    build_image,
)
from slim_ray_image.compat import add_prefix, create_digest, implicitly, merge_digests, rule
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.names import tags_of
from slim_ray_image.core.outputs import ARCHIVE, LAYOUT, PEX, SPARSE_LAYOUT, parse_outputs
from slim_ray_image.core.result import summarize
from slim_ray_image.outputs import ArchiveRequest, image_layout, write_archive
from slim_ray_image.pex import pack_pex
from slim_ray_image.subsystem import SlimRayImageSubsystem


def _chosen_outputs(
    field_set: SlimRayImageFieldSet, subsystem: SlimRayImageSubsystem
) -> frozenset[str]:
    if field_set.outputs.value is not None:
        return parse_outputs(field_set.outputs.value)
    try:
        return parse_outputs(subsystem.outputs)
    except SlimRayImageError as error:
        raise SlimRayImageError(f"The option `[slim-ray].outputs` {error}") from error


async def _archive_tree(
    built: BuiltImage, field_set: SlimRayImageFieldSet, subsystem: SlimRayImageSubsystem
) -> Digest:
    base = await prepare_base(base_image_request(field_set, subsystem), **implicitly())
    archive = await write_archive(
        ArchiveRequest(
            built.image,
            built.references,
            built.blobs_tree,
            base.interpreter,
            base.tools,
            f"Write image.tar of {field_set.address}",
        ),
        **implicitly(),
    )
    return archive.tree


@rule(desc="Package a slim_ray_image")
async def package_slim_ray_image(
    field_set: SlimRayImageFieldSet, subsystem: SlimRayImageSubsystem
) -> BuiltPackage:
    """What `pants package` writes: image.json, and what `outputs` says."""
    outputs = _chosen_outputs(field_set, subsystem)
    built = await build_image(BuildImageRequest(field_set), **implicitly())
    trees = [
        await create_digest(CreateDigest([FileContent("image.json", built.description.encode())]))
    ]
    if outputs & {LAYOUT, SPARSE_LAYOUT}:
        blobs_tree = built.blobs_tree if LAYOUT in outputs else built.sparse_blobs_tree
        layout = await image_layout(built.image, tags_of(built.references), blobs_tree)
        trees.append(await add_prefix(AddPrefix(layout, "oci")))
    if ARCHIVE in outputs:
        trees.append(await _archive_tree(built, field_set, subsystem))
    if PEX in outputs:
        packed = await pack_pex(replace(built.pex, is_output=True), **implicitly())
        trees.append(packed.tree)
    output_path = field_set.output_path.value_or_default(file_ending=None)
    tree = await merge_digests(MergeDigests(trees))
    return BuiltPackage(
        await add_prefix(AddPrefix(tree, output_path)),
        (
            BuiltPackageArtifact(
                output_path, extra_log_lines=summarize(json.loads(built.description))
            ),
        ),
    )


def rules() -> Iterable[Any]:
    return [*collect_rules(), UnionRule(PackageFieldSet, SlimRayImageFieldSet)]
