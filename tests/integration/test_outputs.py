"""What lands in dist/, under which names, and who reads it: Docker, podman, skopeo and umoci."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from integration.conftest import executable
from integration.container import Docker
from integration.failures import assert_fails
from integration.image_layout import ImageLayout, validate_layout
from integration.registry import free_port
from integration.repository import PackagedImage, Repository
from integration.targets import write_driver

pytestmark = pytest.mark.integration

REFERENCES = ("one.example.com/{}:1", "one.example.com/{}:stable", "two.example.com/team/{}:1")


@pytest.fixture(scope="module")
def name() -> str:
    """A name of this run alone, as Docker is shared with whoever uses this machine."""
    return f"outputs-{free_port()}"


@pytest.fixture
def driver(repository: Repository) -> str:
    """A target that holds a script and no distribution."""
    return write_driver(repository)


def write_fields(repository: Repository, driver: str, fields: str) -> None:
    folder = driver.partition(":")[0]
    repository.write(
        f"{folder}/BUILD",
        f'python_sources()\nslim_ray_image(name="image", entry_point="driver.py --rounds 3", {fields})\n',
    )


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def archive(shared_repository: Repository, name: str, workspace: Path) -> Iterator[PackagedImage]:
    """The driver's image as image.tar alone, named in two registries."""
    driver = write_driver(shared_repository)
    registries = {
        "one": {"address": "one.example.com", "default": True, "extra_image_tags": ["stable"]},
        "two": {"address": "two.example.com", "repository": "team/{target_repository}"},
    }
    write_fields(
        shared_repository,
        driver,
        f'repository="{name}", registries=["@one", "@two"], image_tags=["1"], outputs=["archive"]',
    )
    try:
        image = shared_repository.package(driver, f"--docker-registries={registries!r}")
        yield image.move_to(workspace / "archive")
    finally:
        shared_repository.restore()


def read_json(*command: str) -> Any:
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def references(name: str) -> list[str]:
    return [reference.format(name) for reference in REFERENCES]


def archive_path(archive: PackagedImage) -> Path:
    return archive.folder / "image.tar"


# --- Names


def test_names_are_in_the_description_and_in_the_output(archive: PackagedImage, name: str) -> None:
    """image.json has every reference, and the run tells them."""
    assert archive.description["reference"] == references(name)
    assert f"Named {', '.join(references(name))}\n" in archive.run.output


def test_names_are_no_part_of_the_image(
    repository: Repository, driver: str, archive: PackagedImage
) -> None:
    """Under other names, and written as something else, it is the same image."""
    plain = repository.package(driver)
    assert plain.description["reference"] == ["image:latest"]
    assert plain.description["manifest_digest"] == archive.description["manifest_digest"]


def test_layout_has_the_image_under_each_tag(repository: Repository, driver: str) -> None:
    """Skopeo and umoci find each tag, with the same digest; `{pants.hash}` is that digest."""
    write_fields(repository, driver, 'image_tags=["1", "{pants.hash}"]')
    image = repository.package(driver)
    digest = image.description["manifest_digest"]
    tags = ["1", digest.partition(":")[2]]
    assert image.description["reference"] == [f"image:{tag}" for tag in tags]
    layout = image.folder / "oci"
    assert validate_layout(layout) == []
    listed = subprocess.run(
        [executable("umoci"), "ls", "--layout", str(layout)], check=True, capture_output=True
    )
    assert sorted(listed.stdout.decode().split()) == sorted(tags)
    for tag in tags:
        assert read_json(executable("skopeo"), "inspect", f"oci:{layout}:{tag}")["Digest"] == digest


def test_mistake_in_a_name_is_an_error(repository: Repository, driver: str) -> None:
    """Nothing is built for an image whose name no registry would take."""
    write_fields(repository, driver, 'image_tags=["1.0+local"]')
    error = assert_fails(repository, driver)
    assert f"The `image_tags` field in target {driver} must hold letters" in error
    assert "'1.0+local'" in error


# --- Outputs


def test_archive_alone_can_be_written(archive: PackagedImage) -> None:
    """The target's folder has image.json and image.tar, and no layout."""
    assert files_of(archive.folder) == {"image.json", "image.tar"}


def test_sparse_layout_lacks_the_layers_of_the_base(
    repository: Repository, driver: str, base_layout: Path
) -> None:
    """Index, manifest, config and our layers are there; what is missing is the base's, blob for blob."""
    write_fields(repository, driver, 'outputs=["sparse-layout"]')
    image = repository.package(driver)
    missing = {layer.digest for layer in ImageLayout(base_layout).layers}
    assert sorted(validate_layout(image.folder / "oci")) == sorted(
        f"blobs/{digest.replace(':', '/')}: No such file or directory" for digest in missing
    )


def test_image_runs_when_nothing_is_written(
    repository: Repository, driver: str, docker: Docker, name: str
) -> None:
    """`outputs=[]` leaves image.json alone in dist/, and `pants run` does not need more."""
    moved = write_driver(repository, name.replace("-", "_"))
    write_fields(repository, moved, "outputs=[]")
    try:
        image = repository.package(moved)
        assert files_of(image.folder) == {"image.json"}
        run = repository.pants("run", moved)
        assert run.output.endswith("['--rounds', '3'] ['quick', 'fox']\n")
    finally:
        docker.remove(f"slim-ray-image.local/src/services/{name.replace('-', '_')}/image")


# --- The archive


def test_docker_loads_the_archive(archive: PackagedImage, docker: Docker, name: str) -> None:
    """Docker has the image under every name, with our config."""
    try:
        docker("load", "--input", str(archive_path(archive)))
        for reference in references(name):
            (inspected,) = json.loads(docker("image", "inspect", reference))
            assert inspected["Id"] == archive.description["config_digest"]
            assert inspected["Config"]["Cmd"][:2] == ["python", "-m"]
            assert inspected["Config"]["User"] == "1000:100"
        output = docker("run", "--rm", references(name)[0])
        assert output == "['--rounds', '3'] ['quick', 'fox']"
    finally:
        for reference in references(name):
            docker("rmi", reference)


def test_podman_loads_the_archive(archive: PackagedImage, name: str, workspace: Path) -> None:
    """Podman has the image under every name, with our config; in a storage of its own."""
    podman = (
        *(executable("podman"), "--storage-driver=vfs"),
        *(f"--root={workspace / 'podman'}", f"--runroot={workspace / 'podman-run'}"),
    )
    subprocess.run(
        [*podman, "load", "--input", str(archive_path(archive))], check=True, capture_output=True
    )
    for reference in references(name):
        (inspected,) = read_json(*podman, "image", "inspect", reference)
        assert f"sha256:{inspected['Id']}" == archive.description["config_digest"]


def test_skopeo_reads_the_archive_as_docker_s(archive: PackagedImage, name: str) -> None:
    """`docker-archive:` finds the image by its names, with our config."""
    for reference in references(name):
        source = f"docker-archive:{archive_path(archive)}:{reference}"
        config = read_json(executable("skopeo"), "inspect", "--config", "--raw", source)
        assert config["config"]["Cmd"][:2] == ["python", "-m"]
        assert config["rootfs"]["diff_ids"] == [
            layer["diff_id"] for layer in archive.description["layers"]
        ]


def test_skopeo_reads_the_archive_as_oci_s(archive: PackagedImage) -> None:
    """`oci-archive:` finds the image by its tags, with the digest of image.json."""
    for tag in ("1", "stable"):
        source = f"oci-archive:{archive_path(archive)}:{tag}"
        inspected = read_json(executable("skopeo"), "inspect", source)
        assert inspected["Digest"] == archive.description["manifest_digest"]


# --- Parametrized targets


def test_parametrized_target_is_an_image_for_each_value(
    repository: Repository, driver: str, base_layout: Path, docker: Docker, name: str
) -> None:
    """Two bases give two folders in dist/, two images, and two names in Docker."""
    moved = write_driver(repository, f"{name.replace('-', '_')}_bases")
    write_fields(
        repository,
        moved,
        f'base_image=parametrize(py310="python:3.10-slim", other="oci:{base_layout}:3.10-slim")',
    )
    folder = moved.partition(":")[0]
    run = repository.pants("package", f"{folder}:")
    images = {
        value: PackagedImage(moved, repository.output_of(f"{moved}@base_image={value}"), run)
        for value in ("py310", "other")
    }
    for value, image in images.items():
        assert validate_layout(image.folder / "oci") == []
        assert image.description["target"] == f"{moved}@base_image={value}"
    assert len({image.description["manifest_digest"] for image in images.values()}) == 2
    try:
        run = repository.pants("run", f"{moved}@base_image=other")
        assert run.output.endswith("['--rounds', '3'] ['quick', 'fox']\n")
        local = f"slim-ray-image.local/{folder}/image-base_image-other"
        assert len(docker.images(local)) == 1
    finally:
        docker.remove(f"slim-ray-image.local/{folder}/image-base_image-other")


# --- Tailor


def test_tailor_adds_an_image_once(repository: Repository) -> None:
    """`pants tailor` adds a target that can be packaged, and then has nothing more to add."""
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
