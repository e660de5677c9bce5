"""Finds an image for a platform in its registry.

In: where the registry is, and a tag or a digest. Out: manifest.json and config.json, byte for byte as the registry has
them, each checked against its digest.
"""

from __future__ import annotations

import json
from typing import Any, Mapping

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.oci import INDEX_MEDIA_TYPES, MANIFEST_MEDIA_TYPES, select_manifest
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.registry_request import CONFIG, MANIFEST, ResolveImageRequest
from slim_ray_image.sandbox.registry_client import connect
from slim_ray_image.sandbox.report import run_program


def _no_image(reference: str, evidence: str) -> SlimRayImageError:
    return SlimRayImageError(
        f"The base image {reference} is not an OCI or Docker image.",
        evidence=[evidence],
        fixes=["name an OCI or Docker image in `base_image`"],
    )


def _parse(reference: str, content: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise _no_image(reference, f"its manifest: {error}") from error
    if not isinstance(fields, dict) or fields.get("schemaVersion") != 2:
        raise _no_image(reference, "its manifest: schemaVersion is not 2")
    return fields


def _select(reference: str, platform_text: str, index: Mapping[str, Any]) -> str:
    """Return the digest of the platform's manifest in an image index."""
    platform = parse_platform(platform_text)
    selected = select_manifest(index, platform)
    if selected is None:
        raise SlimRayImageError(
            f"The base image {reference} has no image for {platform}.",
            evidence=sorted(
                "it has {os}/{architecture}".format(**manifest["platform"])
                for manifest in index.get("manifests") or ()
                if "platform" in manifest
            ),
            fixes=["name a base image of that platform in `base_image`"],
        )
    return selected.digest


def _config_digest(reference: str, manifest: Mapping[str, Any]) -> str:
    media_type = manifest.get("mediaType", MANIFEST_MEDIA_TYPES[0])
    digest = (manifest.get("config") or {}).get("digest")
    if media_type not in MANIFEST_MEDIA_TYPES or not digest:
        raise _no_image(reference, f"its manifest has the media type {manifest.get('mediaType')}")
    return str(digest)


def main(request: ResolveImageRequest) -> None:
    """Write the manifest and the config."""
    reference = request.place.reference
    with connect(request.place) as registry:
        manifest = registry.read_manifest(request.identifier)
        fields = _parse(reference, manifest)
        if fields.get("mediaType") in INDEX_MEDIA_TYPES or "manifests" in fields:
            manifest = registry.read_manifest(_select(reference, request.platform, fields))
            fields = _parse(reference, manifest)
        config = b"".join(registry.read_blob(_config_digest(reference, fields)))
    for name, content in ((MANIFEST, manifest), (CONFIG, config)):
        with open(name, "wb") as file:
            file.write(content)


if __name__ == "__main__":
    run_program(main, ResolveImageRequest)
