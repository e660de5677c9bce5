"""The examples of src/, packaged by one run of Pants: for tests of the images' contents, and for tests in Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

from harness.repository import PackagedImage, Repository

EXAMPLES: Mapping[str, str] = {
    "drivers": "src/jobs/reports:drivers",
    "echo": "src/services/echo:image",
    "essentials": "src/services/essentials:image",
    "nightly": "src/jobs/nightly:image",
    "ranker": "src/services/ranker:image",
    "records": "src/services/records:image",
}
# A RayService manifest of two applications, and the path of the config in its image.
SHOP = "src/services/shop"
SHOP_MANIFEST = f"{SHOP}/rayservice.yaml"
SHOP_CONFIG = "/app/serve_config.yaml"


def package_examples(repository: Repository) -> dict[str, PackagedImage]:
    """Package all targets by `pants package ::`, and map each name of `EXAMPLES` to its image."""
    run = repository.pants("package", "::")
    images = {
        name: PackagedImage(target, repository.output_of(target), run)
        for name, target in EXAMPLES.items()
    }
    for image in images.values():
        assert image.description  # Read now, since a later run may write to the same folder.
    return images


def package_shop(repository: Repository, folder: Path) -> dict[str, PackagedImage]:
    """Package an image of both applications of the manifest and an image of each, and copy all below `folder`."""
    run = repository.pants("package", f"{SHOP}:image", f"{SHOP}:apart")
    targets = {"both": f"{SHOP}:image", "fruit": f"{SHOP}:fruit", "prices": f"{SHOP}:prices"}
    return {
        name: PackagedImage(target, repository.output_of(target), run).move_to(
            folder / f"shop-{name}"
        )
        for name, target in targets.items()
    }
