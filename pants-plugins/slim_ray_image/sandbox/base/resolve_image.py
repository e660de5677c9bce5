"""Read the manifest and the config of the base image for one platform from its registry.

In: the address of the registry, and a tag or a digest. Out: manifest.json and config.json, unchanged bytes of the
registry, each checked against its digest.
"""

from __future__ import annotations

from slim_ray_image.core.base.base_manifest import image_of, parse_manifest, platform_error
from slim_ray_image.core.base.registry_request import CONFIG, MANIFEST, ResolveImageRequest
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.sandbox.base.registry_client import connect
from slim_ray_image.sandbox.report import run_program


def main(request: ResolveImageRequest) -> None:
    """Write manifest.json and config.json of the base image for the platform, as the registry sent them."""
    reference, platform = request.place.reference, parse_platform(request.platform)
    with connect(request.place) as registry:
        content = registry.read_manifest(request.identifier)
        manifest = parse_manifest(reference, content)
        if manifest.entries is not None:
            image = image_of(manifest.entries, platform)
            if image is None:
                raise platform_error(reference, platform, manifest.entries)
            content = registry.read_manifest(image.digest)
            manifest = parse_manifest(reference, content)
        config = b"".join(registry.read_blob(manifest.config.digest))
    for name, text in ((MANIFEST, content), (CONFIG, config)):
        with open(name, "wb") as file:
            file.write(text)


if __name__ == "__main__":
    run_program(main, ResolveImageRequest)
