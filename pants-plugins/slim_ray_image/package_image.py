"""Stage 6 of 6: image -> the outputs of `pants package`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterable

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, PackageFieldSet
from pants.engine.addresses import Address
from pants.engine.fs import AddPrefix, CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.rules import collect_rules
from pants.engine.unions import UnionRule

from slim_ray_image.build_image import BuildImageRequest, BuiltImage, build_image
from slim_ray_image.compat import add_prefix, create_digest, implicitly, merge_digests, rule
from slim_ray_image.core.image.image_description import FILE, summarize
from slim_ray_image.core.image.names import tags_of
from slim_ray_image.core.image.outputs import ARCHIVE, LAYOUT, PEX, SPARSE_LAYOUT
from slim_ray_image.field_sets import SlimRayImageFieldSet, chosen_outputs
from slim_ray_image.outputs import ArchiveRequest, image_layout, write_archive
from slim_ray_image.pack_pex import pack_pex
from slim_ray_image.subsystem import SlimRayImageSubsystem


async def _archive_tree(address: Address, built: BuiltImage) -> Digest:
    archive = await write_archive(
        ArchiveRequest(
            built.image,
            built.description.reference,
            built.blobs_tree,
            built.base.interpreter,
            built.base.tools,
            f"Write image.tar of {address}",
        ),
        **implicitly(),
    )
    return archive.tree


@rule(desc="Package a slim_ray_image")
async def package_slim_ray_image(
    field_set: SlimRayImageFieldSet, subsystem: SlimRayImageSubsystem
) -> BuiltPackage:
    """Return the files that `pants package` writes: image.json, and the files that the field `outputs` selects."""
    outputs = chosen_outputs(field_set, subsystem)
    built = await build_image(BuildImageRequest(field_set), **implicitly())
    description = built.description
    trees = [await create_digest(CreateDigest([FileContent(FILE, description.to_json())]))]
    if outputs & {LAYOUT, SPARSE_LAYOUT}:
        blobs_tree = built.blobs_tree if LAYOUT in outputs else built.sparse_blobs_tree
        layout = await image_layout(built.image, tags_of(description.reference), blobs_tree)
        trees.append(await add_prefix(AddPrefix(layout, "oci")))
    if ARCHIVE in outputs:
        trees.append(await _archive_tree(field_set.address, built))
    if PEX in outputs:
        packed = await pack_pex(replace(built.pex, is_output=True), **implicitly())
        trees.append(packed.tree)
    output_path = field_set.output_path.value_or_default(file_ending=None)
    tree = await merge_digests(MergeDigests(trees))
    return BuiltPackage(
        await add_prefix(AddPrefix(tree, output_path)),
        (BuiltPackageArtifact(output_path, extra_log_lines=summarize(description)),),
    )


def rules() -> Iterable[Any]:
    return [*collect_rules(), UnionRule(PackageFieldSet, SlimRayImageFieldSet)]
