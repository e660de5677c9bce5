"""Tests of base images from a layout or a registry, by tag or by digest, and of the errors for unsuitable ones."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
from harness.failures import assert_fails
from harness.fixtures import BASE_REFERENCE
from harness.image_layout import ImageLayout, validate_layout
from harness.registry import Registry, free_port
from harness.repository import PackagedImage, Repository
from harness.targets import write_driver
from needs import needs

pytestmark = needs("base", "registry")

ECHO = "src/services/echo:image"
DRIVER = "src/services/driver:image"
UNPINNED = "The base image {} is a tag, so an image can change while this repository does not."


def read_from(source: str) -> str:
    """Return the option by which the base image is read from `source`, while targets still name `BASE_REFERENCE`."""
    return f"--slim-ray-base-image-sources={ {BASE_REFERENCE: source} !r}"


def base_digest(base_layout: Path) -> str:
    return ImageLayout(base_layout).manifest_descriptor["digest"]


# --- Suitable base images


def test_image_does_not_depend_on_where_the_base_comes_from(
    repository: Repository, registry: Registry, base_layout: Path, echo: PackagedImage
) -> None:
    """A base that is read by tag, by digest or from a layout gives the same, complete image."""
    name = f"{registry.address}/library/{BASE_REFERENCE}"
    for source in (name, f"{name}@{base_digest(base_layout)}"):
        image = repository.package(ECHO, read_from(source))
        assert image.description["manifest_digest"] == echo.description["manifest_digest"], source
        assert image.description["base"]["source"] == source
        assert validate_layout(image.folder / "oci") == []


def test_tag_warns_once_with_the_digest_that_it_has(
    repository: Repository, registry: Registry, base_layout: Path, echo: PackagedImage
) -> None:
    """Two images on one tag give one warning, with the line for the BUILD file; with that line there is no warning.

    An equal base under another name writes no layer again, since the interpreter taken out of it has equal bytes.
    """
    write_driver(repository)
    name = f"{registry.address}/library/{BASE_REFERENCE}"
    by_tag = repository.pants(f"--slim-ray-default-base-image={name}", "package", ECHO, DRIVER)
    pinned = f"{name}@{base_digest(base_layout)}"
    assert by_tag.output.count(UNPINNED.format(name)) == 1
    assert f'    base_image="{pinned}"\n' in by_tag.output
    by_digest = repository.pants(f"--slim-ray-default-base-image={pinned}", "package", ECHO, DRIVER)
    assert "is a tag" not in by_digest.output
    for reference, run in ((name, by_tag), (pinned, by_digest)):
        assert f"Extract the interpreter of {reference}" in run.started
        assert "Write the layer of ray" not in run.started


# --- Unsuitable base images


def _closed_port(registry: Registry) -> str:
    return f"127.0.0.1:{free_port()}/library/{BASE_REFERENCE}"


def _unknown_tag(registry: Registry) -> str:
    return f"{registry.address}/library/python:none"


def _unknown_repository(registry: Registry) -> str:
    return f"{registry.address}/library/none:1"


def _unknown_digest(registry: Registry) -> str:
    return f"{registry.address}/library/python@sha256:{'0' * 64}"


def _index_of_other_platforms(registry: Registry) -> str:
    registry.push_index("platforms/index:1", ["arm64", "s390x"])
    return f"{registry.address}/platforms/index:1"


def _image_of_another_platform(registry: Registry) -> str:
    registry.push_image("platforms/image:1", architecture="arm64", files={"a": "a"})
    return f"{registry.address}/platforms/image:1"


def _corrupt_config(registry: Registry) -> str:
    manifest = registry.push_image("corrupt/config:1", files={"a": "corrupt config"})
    registry.corrupt(manifest["config"]["digest"])
    return f"{registry.address}/corrupt/config:1"


def _corrupt_layer(registry: Registry) -> str:
    manifest = registry.push_image("corrupt/layer:1", files={"a": "corrupt layer"})
    registry.corrupt(manifest["layers"][0]["digest"])
    return f"{registry.address}/corrupt/layer:1"


def _corrupt_manifest(registry: Registry) -> str:
    manifest = registry.push_image("corrupt/manifest:1", files={"a": "corrupt manifest"})
    digest = registry.push_manifest("corrupt/manifest:1", manifest)["digest"]
    registry.corrupt(digest)
    return f"{registry.address}/corrupt/manifest@{digest}"


def _helm_chart(registry: Registry) -> str:
    registry.push_artifact("charts/chart:1")
    return f"{registry.address}/charts/chart:1"


def _image_without_python(registry: Registry) -> str:
    registry.push_image("no/python:1", files={"etc/passwd": "root:x:0:0::/root:/bin/sh\n"})
    return f"{registry.address}/no/python:1"


@pytest.mark.parametrize(
    ("make_reference", "parts"),
    [
        (_closed_port, ["cannot be read", "does not answer over http", "Connection refused"]),
        (_unknown_tag, ["was not found", "answered 404"]),
        (_unknown_repository, ["was not found", "answered 404"]),
        (_unknown_digest, ["was not found", "answered 404"]),
        (_index_of_other_platforms, ["has no image for linux/amd64", "linux/arm64", "linux/s390x"]),
        (_image_of_another_platform, ["is for linux/arm64, but the image is for linux/amd64"]),
        (_corrupt_config, ["does not match its digest", "a blob should be sha256:"]),
        (_corrupt_layer, ["does not match its digest", "a blob should be sha256:"]),
        (_corrupt_manifest, ["corrupt/manifest@sha256:"]),
        (_helm_chart, ["is not an OCI or Docker image"]),
        (_image_without_python, ["has no Python"]),
    ],
)
def test_base_image_that_does_not_do_is_an_error(
    make_reference: Callable[[Registry], str],
    parts: list[str],
    repository: Repository,
    registry: Registry,
    echo: PackagedImage,
) -> None:
    """One clear error names the base image and its fault; earlier output in dist/ stays."""
    reference = make_reference(registry)
    error = assert_fails(repository, ECHO, f"--slim-ray-default-base-image={reference}")
    assert reference in error
    for part in parts:
        assert part in error
