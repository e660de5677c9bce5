"""Stage 1 of 6: parsing of a base image's index, manifest and config, for one platform.

In: JSON from a registry or a local layout. Out: the descriptor of the blob to read next (the platform's manifest, then
its config), and finally a `BaseImage`.
Specification: https://github.com/opencontainers/image-spec/tree/v1.1.0 (image-index.md, manifest.md, config.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image.digests import sha256
from slim_ray_image.core.image.oci import (
    ANNOTATION_REF_NAME,
    MEDIA_TYPE_INDEX,
    MEDIA_TYPE_LAYER,
    MEDIA_TYPE_LAYER_GZIP,
    MEDIA_TYPE_MANIFEST,
    BaseImage,
    Descriptor,
)
from slim_ray_image.core.platforms import Platform

_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

_INDEX_MEDIA_TYPES = (MEDIA_TYPE_INDEX, _DOCKER_INDEX)
_MANIFEST_MEDIA_TYPES = (MEDIA_TYPE_MANIFEST, _DOCKER_MANIFEST)
# Docker's layers are the same bytes under another media type (media-types.md, "Compatibility Matrix").
_OCI_LAYER_MEDIA_TYPES = {
    MEDIA_TYPE_LAYER: MEDIA_TYPE_LAYER,
    MEDIA_TYPE_LAYER_GZIP: MEDIA_TYPE_LAYER_GZIP,
    _DOCKER_LAYER: MEDIA_TYPE_LAYER,
    _DOCKER_LAYER_GZIP: MEDIA_TYPE_LAYER_GZIP,
}


@dataclass(frozen=True)
class IndexEntry:
    """A manifest, or another index, that an index points at (image-index.md, "manifests").

    Attributes:
        platform: Platform of the image, such as "linux/amd64"; None if the index does not give it.
        tag: Tag of the entry in a local layout, if it has one.
    """

    descriptor: Descriptor
    platform: Optional[str]
    tag: Optional[str]

    @property
    def is_index(self) -> bool:
        return self.descriptor.media_type in _INDEX_MEDIA_TYPES

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> IndexEntry:
        platform = value.get("platform") or {}
        os, architecture = platform.get("os"), platform.get("architecture")
        return cls(
            Descriptor.from_json(value),
            f"{os}/{architecture}" if os and architecture else None,
            (value.get("annotations") or {}).get(ANNOTATION_REF_NAME),
        )


@dataclass(frozen=True)
class Manifest:
    """A manifest of one image, or an image index: a base image's reference can name either.

    Attributes:
        reference: Reference of the base image, for messages.
        fields: Fields of the JSON object.
        entries: Entries of an image index; None for a manifest.
    """

    reference: str
    fields: Mapping[str, Any]
    entries: Optional[tuple[IndexEntry, ...]]

    @property
    def config(self) -> Descriptor:
        """The descriptor of the image's config.

        Raises:
            SlimRayImageError: If this is not the manifest of an image.
        """
        implied = MEDIA_TYPE_MANIFEST if self.entries is None else MEDIA_TYPE_INDEX
        media_type = self.fields.get("mediaType", implied)
        if media_type not in _MANIFEST_MEDIA_TYPES:
            raise _no_image(self.reference, f"its manifest has the media type {media_type}")
        try:
            return Descriptor.from_json(self.fields["config"])
        except (KeyError, TypeError) as error:
            raise _no_image(self.reference, f"its manifest lacks or misuses {error}") from error


def _no_image(reference: str, evidence: str) -> SlimRayImageError:
    return SlimRayImageError(
        f"The base image {reference} is not an OCI or Docker image.",
        evidence=[evidence],
        fixes=["name an OCI or Docker image in `base_image`"],
    )


def parse_manifest(reference: str, content: bytes) -> Manifest:
    """Parse the JSON of an image manifest or of an image index.

    Args:
        reference: Reference of the base image, for messages.

    Raises:
        SlimRayImageError: If `content` is neither, or is a manifest of Docker's first schema.
    """
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise _no_image(reference, f"its manifest: {error}") from error
    if not isinstance(fields, dict):
        raise _no_image(reference, "its manifest: it is no JSON object")
    if fields.get("schemaVersion", 2) != 2:
        raise _no_image(reference, "its manifest: schemaVersion is not 2")
    if fields.get("mediaType") not in _INDEX_MEDIA_TYPES and "manifests" not in fields:
        return Manifest(reference, fields, None)
    try:
        entries = tuple(map(IndexEntry.from_json, fields.get("manifests") or ()))
    except (AttributeError, KeyError, TypeError) as error:
        raise _no_image(reference, f"its index lacks or misuses {error}") from error
    return Manifest(reference, fields, entries)


def image_of(entries: Iterable[IndexEntry], platform: Platform) -> Optional[Descriptor]:
    """Return the descriptor of an index's first manifest for `platform`; None without one (image-index.md)."""
    found = (entry.descriptor for entry in entries if entry.platform == str(platform))
    return next(found, None)


def platform_error(
    reference: str, platform: Platform, entries: Iterable[IndexEntry]
) -> SlimRayImageError:
    """Return the error for a base image whose `entries` are all for other platforms."""
    return SlimRayImageError(
        f"The base image {reference} has no image for {platform}.",
        evidence=sorted(f"it has {entry.platform}" for entry in entries if entry.platform),
        fixes=["name a base image of that platform in `base_image`"],
    )


def parse_base_image(
    reference: str, source: str, manifest: bytes, config: bytes, platform: Platform
) -> BaseImage:
    """Parse the manifest and the config of a base image. Their digests must have been checked.

    Args:
        reference: Reference of the base image, for messages.
        source: Reference that the base image is read from.

    Raises:
        SlimRayImageError: If they do not describe an image for `platform` that layers can be added to.
    """
    fix = ["name an OCI or Docker image of that platform in `base_image`"]
    try:
        fields, configured = json.loads(manifest), json.loads(config)
        layers = [Descriptor.from_json(layer) for layer in fields["layers"]]
        diff_ids = list(configured["rootfs"]["diff_ids"])
        where = f"{configured['os']}/{configured['architecture']}"
    except (ValueError, KeyError, TypeError) as error:
        raise _no_image(reference, f"its manifest or config lacks or misuses {error}") from error
    if where != str(platform):
        raise SlimRayImageError(
            f"The base image {reference} is for {where}, but the image is for {platform}.",
            fixes=fix,
        )
    if len(layers) != len(diff_ids):
        raise SlimRayImageError(
            f"The base image {reference} is not valid: it has {len(layers)} layers and {len(diff_ids)} diff_ids.",
            fixes=fix,
        )
    unknown = sorted({layer.media_type for layer in layers} - set(_OCI_LAYER_MEDIA_TYPES))
    if unknown:
        raise SlimRayImageError(
            f"The base image {reference} has layers that cannot be read.",
            evidence=[f"media type {media_type}" for media_type in unknown],
            fixes=["name a base image whose layers are tar or tar+gzip"],
        )
    return BaseImage(
        reference=reference,
        source=source,
        manifest_digest=sha256(manifest),
        layers=tuple(
            Descriptor(_OCI_LAYER_MEDIA_TYPES[layer.media_type], layer.digest, layer.size)
            for layer in layers
        ),
        config=config.decode(),
    )
