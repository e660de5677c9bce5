"""Read a base image from the files of a local OCI image layout, which Pants does not watch.

In: the layout's folder, and the base's reference. Out: the base's manifest and config, and its layers.
Specification: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterable, Sequence

from pants.base.build_environment import get_buildroot
from pants.engine.fs import CreateDigest, Digest, DownloadFile, FileContent, FileDigest, FileEntry
from pants.engine.rules import collect_rules

from slim_ray_image.compat import (
    concurrently,
    create_digest,
    download_file,
    get_digest_entries,
    implicitly,
    uncacheable_rule,
)
from slim_ray_image.core.base.base_manifest import IndexEntry, parse_base_image, parse_manifest
from slim_ray_image.core.base.layout_index import (
    LayoutQuery,
    named_entries,
    parse_layout_index,
    select_image,
    unreadable_error,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image.digests import check_digest
from slim_ray_image.core.image.oci import BaseImage, Descriptor, blob_path
from slim_ray_image.core.image.references import LayoutReference


def _path_of(layout: LayoutReference, name: str) -> Path:
    return Path(get_buildroot(), os.path.expanduser(layout.path), name)


def _read_blob(layout: LayoutReference, descriptor: Descriptor) -> bytes:
    try:
        content = _path_of(layout, blob_path(descriptor)).read_bytes()
    except OSError as error:
        raise SlimRayImageError(
            f"The OCI image layout {layout.text} lacks a blob.",
            evidence=[f"{descriptor.digest}: {error.strerror}"],
            fixes=["create the complete layout again"],
        ) from error
    check_digest(layout.text, descriptor.digest, content)
    return content


def _read_index(layout: LayoutReference) -> tuple[IndexEntry, ...]:
    try:
        content = _path_of(layout, "index.json").read_bytes()
    except OSError as error:
        raise unreadable_error(layout, str(error.strerror)) from error
    return parse_layout_index(layout, content)


def _images_of(query: LayoutQuery, entry: IndexEntry) -> tuple[IndexEntry, ...]:
    """Return the entries that an entry of a layout's index.json stands for: those of a nested index, or only itself."""
    if not entry.is_index:
        return (entry,)
    content = _read_blob(query.layout, entry.descriptor)
    return parse_manifest(query.reference, content).entries or ()


@uncacheable_rule(desc="Read the base image's OCI image layout")
async def read_layout(query: LayoutQuery) -> BaseImage:
    """Return the base image in a local OCI image layout; runs in each session, because the layout may have changed."""
    entries = named_entries(query, _read_index(query.layout))
    image = select_image(query, {entry: _images_of(query, entry) for entry in entries})
    manifest = _read_blob(query.layout, image)
    config = _read_blob(query.layout, parse_manifest(query.reference, manifest).config)
    return parse_base_image(query.reference, query.layout.text, manifest, config, query.platform)


async def _read_layer(layout: LayoutReference, layer: Descriptor) -> Digest:
    """Return a layer of a local layout by Pants' file download, which checks its digest; no cache key has its path."""
    path = blob_path(layer)
    url = _path_of(layout, path).as_uri()
    if "%" in url:  # Not every Pants decodes an escape in a file URL.
        return await create_digest(CreateDigest([FileContent(path, _read_blob(layout, layer))]))
    downloaded = await download_file(
        DownloadFile(url, FileDigest(layer.hex, layer.size)), **implicitly()
    )
    (entry,) = await get_digest_entries(downloaded)
    return await create_digest(CreateDigest([FileEntry(path, entry.file_digest)]))


async def read_layout_layers(
    layout: LayoutReference, layers: Sequence[Descriptor]
) -> Sequence[Digest]:
    """Return a folder for each layer of a base image in a local layout, with the layer at its path `blobs/sha256/...`.

    Raises:
        SlimRayImageError: If the layout lacks a layer, or its content does not match the digest.
    """
    try:
        return await concurrently(_read_layer(layout, layer) for layer in layers)
    except Exception:
        for layer in layers:  # raises an error that the user can act on
            _read_blob(layout, layer)
        raise


def rules() -> Iterable[Any]:
    return collect_rules()
