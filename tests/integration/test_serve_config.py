"""Tests of a RayService manifest of two applications: an image of both, an image of each, versions that must agree."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from conftest import Golden
from harness.examples import SHOP, SHOP_CONFIG, SHOP_MANIFEST, package_shop
from harness.failures import assert_fails, message_of
from harness.repository import PackagedImage, Repository
from needs import needs

pytestmark = needs("base")


@pytest.fixture(scope="module")
def packaged(shared_repository: Repository, workspace: Path) -> dict[str, PackagedImage]:
    """The image of both applications, and an image of each, packaged by one run."""
    return package_shop(shared_repository, workspace)


# --- Packaged


def test_image_of_a_manifest_serves_both(packaged: dict[str, PackagedImage]) -> None:
    """image.json has names, routes and import paths, and the reason for each file, with the line of the manifest."""
    described = packaged["both"].description
    assert described["serve_config"] == SHOP_CONFIG
    assert described["applications"] == [
        {
            "name": "fruit",
            "route_prefix": "/fruit",
            "import_path": "services.shop.fruit:app",
            "args": [],
        },
        {
            "name": "prices",
            "route_prefix": "/prices",
            "import_path": "services.shop.prices:build",
            "args": ["currency", "discount"],
        },
    ]
    reasons = {row["path"]: row["reason"] for row in described["files"]}
    assert reasons["services/shop/fruit.py"] == f"application 'fruit' at {SHOP_MANIFEST}:15"
    assert reasons["services/shop/prices.py"] == f"application 'prices' at {SHOP_MANIFEST}:23"
    assert reasons["serve_config.yaml"] == f"`serve_config` of {SHOP}:image"


def test_image_of_one_application_has_the_code_of_that_alone(
    packaged: dict[str, PackagedImage],
) -> None:
    """Each generated image is named after its application, and has its code and libraries, not the other's code."""
    for name, other in (("fruit", "prices"), ("prices", "fruit")):
        described = packaged[name].description
        assert described["target"] == f"{SHOP}:apart#{name}"
        assert described["reference"] == [f"{name}:latest"]
        assert [row["name"] for row in described["applications"]] == [name]
        paths = {row["path"] for row in described["files"]}
        assert {f"services/shop/{name}.py", "libs/catalog/goods.py", "serve_config.yaml"} <= paths
        assert f"services/shop/{other}.py" not in paths


def test_edit_of_the_manifest_changes_the_image(
    repository: Repository, packaged: dict[str, PackagedImage]
) -> None:
    """When an application is removed, its code leaves the image, and only the first-party layer is written again."""
    text = repository.read(SHOP_MANIFEST)
    start, end = text.index("      - name: prices"), text.index("  rayClusterConfig:")
    repository.write(SHOP_MANIFEST, text[:start] + text[end:])
    # The target with an image for each application has `overrides` for the removed one.
    build = repository.read(f"{SHOP}/BUILD")
    repository.write(f"{SHOP}/BUILD", build[: build.index("slim_ray_images(")])
    fruit = f"{SHOP}/fruit.py"
    repository.write(fruit, f"{repository.read(fruit)}\n# Edit {uuid4()}.\n")
    image = repository.package(f"{SHOP}:image")
    paths = {row["path"] for row in image.description["files"]}
    assert "services/shop/prices.py" not in paths
    assert [row["name"] for row in image.description["applications"]] == ["fruit"]
    written = [what for what in image.run.started if what.startswith("Write the layer")]
    assert written == [f"Write the layer of 7 first-party files of {SHOP}:image"]


# --- Versions that must agree


def test_other_ray_in_the_manifest_is_an_error(repository: Repository, golden: Golden) -> None:
    """A `rayVersion` other than the locked Ray is an error: KubeRay chooses commands and probes by it."""
    text = repository.read(SHOP_MANIFEST)
    repository.write(SHOP_MANIFEST, text.replace('rayVersion: "2.48.0"', 'rayVersion: "2.46.0"'))
    error = assert_fails(repository, f"{SHOP}:image")
    golden.check("errors/packages/package-other-ray-in-the-manifest.txt", message_of(error))


def test_base_of_another_python_than_the_resolve_s_is_an_error(repository: Repository) -> None:
    """A base whose Python is outside the resolve's interpreter constraints is an error."""
    constraints = "+{'ray-default': ['CPython==3.11.*']}"
    option = f"--python-resolves-to-interpreter-constraints={constraints}"
    error = assert_fails(repository, f"{SHOP}:image", option)
    assert "which the resolve 'ray-default' does not allow" in error
    assert "its interpreter constraints are 'CPython==3.11.*'" in error


def test_base_past_its_end_of_life_is_told_once(
    repository: Repository, packaged: dict[str, PackagedImage]
) -> None:
    """All images on such a base give one warning, with the date, and their digests stay the same."""
    targets = (f"{SHOP}:image", f"{SHOP}:apart")
    run = repository.pants("--slim-ray-warn-end-of-life", "package", *targets)
    assert run.output.count("whose end of life was in October 2026") == 1
    assert "end of life" not in packaged["both"].run.output
    for image in packaged.values():
        again = PackagedImage(image.target, repository.output_of(image.target), run)
        assert again.description["manifest_digest"] == image.description["manifest_digest"]
