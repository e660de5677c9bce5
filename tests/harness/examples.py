"""The examples of src/, packaged by one run of Pants: for tests of what is in the images, and for tests in Docker."""

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
# A RayService manifest of two applications, where its image has the config.
SHOP = "src/services/shop"
SHOP_MANIFEST = f"{SHOP}/rayservice.yaml"
SHOP_CONFIG = "/app/serve_config.yaml"


def package_examples(repository: Repository) -> dict[str, PackagedImage]:
    """Package everything by `pants package ::`, and return name -> image of `EXAMPLES`."""
    run = repository.pants("package", "::")
    images = {
        name: PackagedImage(target, repository.output_of(target), run)
        for name, target in EXAMPLES.items()
    }
    for image in images.values():
        assert image.description  # read now: a later run may write to the same folder
    return images


def package_shop(repository: Repository, folder: Path) -> dict[str, PackagedImage]:
    """Package the image of both applications of the manifest, and of each, and copy them below `folder`."""
    run = repository.pants("package", f"{SHOP}:image", f"{SHOP}:apart")
    targets = {"both": f"{SHOP}:image", "fruit": f"{SHOP}:fruit", "prices": f"{SHOP}:prices"}
    return {
        name: PackagedImage(target, repository.output_of(target), run).move_to(
            folder / f"shop-{name}"
        )
        for name, target in targets.items()
    }
