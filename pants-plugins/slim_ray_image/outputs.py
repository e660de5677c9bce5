"""Stage 6 of 6: the files that an image is written as, put together from descriptors and digests.

Of a blob only its SHA-256 is known here; `sandbox/image/write_archive.py` alone reads them, for image.tar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Sequence

from pants.engine.fs import CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.rules import collect_rules

from slim_ray_image.compat import create_digest, merge_digests, rule
from slim_ray_image.core.image.archive import RESULT, ArchiveFilesRequest
from slim_ray_image.core.image.oci import (
    LAYOUT_FILE,
    Image,
    archive_index,
    blob_path,
    docker_archive_manifest,
    layout_index,
)
from slim_ray_image.tools import BaseInterpreter, BaseTools, run_on_base

_MARKER = FileContent("oci-layout", LAYOUT_FILE)
_INDEX = "index.json"
_DOCKER_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ArchiveRequest:
    """A request for an image as one file. Its bytes depend on `image` and `references` alone."""

    image: Image
    references: tuple[str, ...]
    blobs_tree: Digest  # complete
    interpreter: BaseInterpreter
    tools: BaseTools
    description: str


@dataclass(frozen=True)
class Archive:
    """A folder with one file, image.tar."""

    tree: Digest


async def image_layout(image: Image, tags: Sequence[str], blobs_tree: Digest) -> Digest:
    """Return an OCI image layout with those of the image's blobs that are in `blobs_tree`."""
    own_tree = await create_digest(
        CreateDigest([_MARKER, FileContent(_INDEX, layout_index(image, tags))])
    )
    return await merge_digests(MergeDigests([own_tree, blobs_tree]))


async def archive_folder(image: Image, references: Sequence[str], blobs_tree: Digest) -> Digest:
    """Return what an archive for `docker load` holds: an OCI image layout, and manifest.json for the older ones."""
    own_tree = await create_digest(
        CreateDigest(
            [
                _MARKER,
                FileContent(_INDEX, archive_index(image, references)),
                FileContent(_DOCKER_MANIFEST, docker_archive_manifest(image, references)),
            ]
        )
    )
    return await merge_digests(MergeDigests([own_tree, blobs_tree]))


@rule(desc="Write image.tar of a slim_ray_image")
async def write_archive(request: ArchiveRequest) -> Archive:
    """One process, keyed by the image and its names; on the base's interpreter, as Pythons differ in a tar's bytes."""
    image = request.image
    blobs = (image.manifest_descriptor, image.config_descriptor, *image.layers)
    result = await run_on_base(
        "image.write_archive",
        ArchiveFilesRequest(
            tuple(sorted({_MARKER.path, _INDEX, _DOCKER_MANIFEST, *map(blob_path, blobs)}))
        ),
        request.interpreter,
        request.tools,
        inputs=await archive_folder(image, request.references, request.blobs_tree),
        output_files=(RESULT,),
        description=request.description,
    )
    return Archive(result.output_digest)


def rules() -> Iterable[Any]:
    return collect_rules()
