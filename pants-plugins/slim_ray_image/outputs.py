"""Stage 6 of 6: image -> the files of an OCI image layout, or image.tar for `docker load`.

This module knows blobs only by their SHA-256; only `sandbox/image/write_archive.py` reads them, for image.tar.
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
    """A request for an image as one file, image.tar. The file's bytes depend on `image` and `references` only."""

    image: Image
    references: tuple[str, ...]
    blobs_tree: Digest  # complete
    interpreter: BaseInterpreter
    tools: BaseTools
    description: str


@dataclass(frozen=True)
class Archive:
    """A folder with one file, image.tar, which contains a whole image for `docker load`."""

    tree: Digest


async def image_layout(image: Image, tags: Sequence[str], blobs_tree: Digest) -> Digest:
    """Return an OCI image layout with the blobs in `blobs_tree`, which may be some of the image's blobs."""
    own_tree = await create_digest(
        CreateDigest([_MARKER, FileContent(_INDEX, layout_index(image, tags))])
    )
    return await merge_digests(MergeDigests([own_tree, blobs_tree]))


async def archive_folder(image: Image, references: Sequence[str], blobs_tree: Digest) -> Digest:
    """Return the content of an archive for `docker load`: an OCI image layout, and manifest.json for older Dockers."""
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
    """Write image.tar in one process, cached by image and names; the base's Python runs it: tar bytes depend on it."""
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
