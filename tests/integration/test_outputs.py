"""Tests of the files in dist/, and of the names of images."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.failures import assert_fails
from harness.image_layout import ImageLayout, validate_layout
from harness.repository import PackagedImage, Repository
from harness.targets import references, write_driver, write_fields
from needs import needs

pytestmark = needs("base")


@pytest.fixture
def driver(repository: Repository) -> str:
    """The address of a target with a script and no distribution."""
    return write_driver(repository)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# --- Names


def test_names_are_in_the_description_and_in_the_output(
    archive: PackagedImage, archive_name: str
) -> None:
    """image.json and the output of the run have every reference."""
    assert archive.description["reference"] == references(archive_name)
    assert f"Named {', '.join(references(archive_name))}\n" in archive.run.output


def test_names_are_no_part_of_the_image(
    repository: Repository, driver: str, archive: PackagedImage
) -> None:
    """With other names and another output, the image is the same."""
    plain = repository.package(driver)
    assert plain.description["reference"] == ["image:latest"]
    assert plain.description["manifest_digest"] == archive.description["manifest_digest"]


def test_mistake_in_a_name_is_an_error(repository: Repository, driver: str) -> None:
    """A name that no registry would accept is an error."""
    write_fields(repository, driver, 'image_tags=["1.0+local"]')
    error = assert_fails(repository, driver)
    assert f"The `image_tags` field in target {driver} must contain tags of" in error
    assert "'1.0+local'" in error


# --- Outputs


def test_archive_alone_can_be_written(archive: PackagedImage) -> None:
    """The target's folder has image.json and image.tar, and no layout."""
    assert files_of(archive.folder) == {"image.json", "image.tar"}


def test_sparse_layout_lacks_the_layers_of_the_base(
    repository: Repository, driver: str, base_layout: Path
) -> None:
    """A sparse layout has index, manifest, config and our layers, and lacks only the blobs of the base's layers."""
    write_fields(repository, driver, 'outputs=["sparse-layout"]')
    image = repository.package(driver)
    missing = {layer.digest for layer in ImageLayout(base_layout).layers}
    assert sorted(validate_layout(image.folder / "oci")) == sorted(
        f"blobs/{digest.replace(':', '/')}: No such file or directory" for digest in missing
    )


# --- Tailor


def test_tailor_adds_an_image_once(repository: Repository) -> None:
    """`pants tailor` adds a target with the right dependencies, and then has nothing more to add."""
    folder = "src/services/tailored"
    repository.write(f"{folder}/__init__.py", "")
    repository.write(f"{folder}/main.py", repository.read("src/services/echo/app.py"))
    repository.write(f"{folder}/BUILD", "python_sources()\n")
    repository.pants("tailor", f"{folder}::")
    assert repository.read(f"{folder}/BUILD") == (
        "python_sources()\n\n"
        "slim_ray_image(\n"
        '    name="image",\n'
        '    serve_app="services.tailored.main:app",\n'
        ")\n"
    )
    repository.pants("tailor", "--check", f"{folder}::")
    found = repository.pants("dependencies", f"{folder}:image").output
    assert f"{folder}/main.py" in found
