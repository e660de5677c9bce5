"""Tests that skopeo, umoci, podman and Docker can read the output of `pants package`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from harness.container import Docker
from harness.image_layout import validate_layout
from harness.repository import PackagedImage, Repository
from harness.targets import references, write_driver, write_fields
from needs import needs, program

pytestmark = needs("base")


@pytest.fixture(params=["echo", "ranker"])
def image(request: Any) -> PackagedImage:
    """The image of each of the two packaged services."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def driver(repository: Repository) -> str:
    """The address of a target with a script and no distribution."""
    return write_driver(repository)


@pytest.fixture
def folder_name() -> str:
    """A name for a driver's folder, for this test alone, since the image's name in Docker contains it."""
    return f"outputs_{uuid4().hex}"


def read_json(*command: str) -> Any:
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def archive_path(archive: PackagedImage) -> Path:
    return archive.folder / "image.tar"


# --- The layout


@needs("skopeo")
def test_skopeo_reads_the_image(image: PackagedImage) -> None:
    """Skopeo finds the same digest, layers and platform."""
    command = [program("skopeo"), "inspect", f"oci:{image.folder / 'oci'}"]
    inspected = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert inspected["Digest"] == image.description["manifest_digest"]
    assert inspected["Layers"] == [layer.digest for layer in image.layout.layers]
    assert (inspected["Os"], inspected["Architecture"]) == ("linux", "amd64")


@needs("umoci")
def test_umoci_unpacks_the_image(echo: PackagedImage, tmp_path: Path) -> None:
    """Umoci, which checks every diff_id, unpacks a root file system with the user, the environment and the service."""
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    bundle = tmp_path / "bundle"
    subprocess.run(
        [
            *(program("umoci"), "unpack", *rootless),
            *("--image", f"{echo.folder / 'oci'}:latest", str(bundle)),
        ],
        check=True,
        capture_output=True,
    )
    root = bundle / "rootfs"
    accounts = (root / "etc/passwd").read_text().splitlines()
    assert "ray:x:1000:100::/home/ray:/bin/bash" in accounts
    assert accounts[0].startswith("root:")
    assert os.readlink(root / "opt/venv/bin/python") == "/usr/local/bin/python3.10"
    assert os.readlink(root / "usr/local/bin/ray") == "/opt/venv/bin/ray"
    assert (root / "app/services/echo/app.py").is_file()
    if not rootless:
        for folder in ("home/ray", "app"):
            found = (root / folder).stat()
            assert (found.st_uid, found.st_gid) == (1000, 100)
        assert (root / "app/services").stat().st_uid == 0


@needs("skopeo", "umoci")
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
        [program("umoci"), "ls", "--layout", str(layout)], check=True, capture_output=True
    )
    assert sorted(listed.stdout.decode().split()) == sorted(tags)
    for tag in tags:
        assert read_json(program("skopeo"), "inspect", f"oci:{layout}:{tag}")["Digest"] == digest


# --- The archive


@needs("docker")
def test_docker_loads_the_archive(
    archive: PackagedImage, docker: Docker, archive_name: str
) -> None:
    """After `docker load`, Docker has the image under every name, with our config."""
    try:
        docker("load", "--input", str(archive_path(archive)))
        for reference in references(archive_name):
            (inspected,) = json.loads(docker("image", "inspect", reference))
            assert inspected["Id"] == archive.description["config_digest"]
            assert inspected["Config"]["Cmd"][:2] == ["python", "-m"]
            assert inspected["Config"]["User"] == "1000:100"
        output = docker("run", "--rm", references(archive_name)[0])
        assert output == "['--rounds', '3'] ['quick', 'fox']"
    finally:
        for reference in references(archive_name):
            docker("rmi", reference)


@needs("podman")
def test_podman_loads_the_archive(
    archive: PackagedImage, archive_name: str, workspace: Path
) -> None:
    """After `podman load` into a separate storage, Podman has the image under every name, with our config."""
    podman = (
        *(program("podman"), "--storage-driver=vfs"),
        *(f"--root={workspace / 'podman'}", f"--runroot={workspace / 'podman-run'}"),
    )
    subprocess.run(
        [*podman, "load", "--input", str(archive_path(archive))], check=True, capture_output=True
    )
    for reference in references(archive_name):
        (inspected,) = read_json(*podman, "image", "inspect", reference)
        assert f"sha256:{inspected['Id']}" == archive.description["config_digest"]


@needs("skopeo")
def test_skopeo_reads_the_archive_as_docker_s(archive: PackagedImage, archive_name: str) -> None:
    """`docker-archive:` finds the image by its names, with our config."""
    for reference in references(archive_name):
        source = f"docker-archive:{archive_path(archive)}:{reference}"
        config = read_json(program("skopeo"), "inspect", "--config", "--raw", source)
        assert config["config"]["Cmd"][:2] == ["python", "-m"]
        assert config["rootfs"]["diff_ids"] == [
            layer["diff_id"] for layer in archive.description["layers"]
        ]


@needs("skopeo")
def test_skopeo_reads_the_archive_as_oci_s(archive: PackagedImage) -> None:
    """`oci-archive:` finds the image by its tags, with the digest of image.json."""
    for tag in ("1", "stable"):
        source = f"oci-archive:{archive_path(archive)}:{tag}"
        inspected = read_json(program("skopeo"), "inspect", source)
        assert inspected["Digest"] == archive.description["manifest_digest"]


# --- `pants run` of other outputs


@needs("docker")
def test_image_runs_when_nothing_is_written(
    repository: Repository, docker: Docker, folder_name: str
) -> None:
    """With `outputs=[]`, dist/ has only image.json, and `pants run` works."""
    driver = write_driver(repository, folder_name)
    write_fields(repository, driver, "outputs=[]")
    try:
        image = repository.package(driver)
        assert os.listdir(image.folder) == ["image.json"]
        run = repository.pants("run", driver)
        assert run.output.endswith("['--rounds', '3'] ['quick', 'fox']\n")
    finally:
        docker.remove(f"slim-ray-image.local/src/services/{folder_name}/image")


# --- Parametrized targets


@needs("docker")
def test_parametrized_target_is_an_image_for_each_value(
    repository: Repository, base_source: str, docker: Docker, folder_name: str
) -> None:
    """Two bases give two folders in dist/, two images, and two names in Docker."""
    driver = write_driver(repository, f"{folder_name}_bases")
    write_fields(
        repository,
        driver,
        f'base_image=parametrize(py310="python:3.10-slim", other="{base_source}")',
    )
    folder = driver.partition(":")[0]
    run = repository.pants("package", f"{folder}:")
    images = {
        value: PackagedImage(driver, repository.output_of(f"{driver}@base_image={value}"), run)
        for value in ("py310", "other")
    }
    for value, image in images.items():
        assert validate_layout(image.folder / "oci") == []
        assert image.description["target"] == f"{driver}@base_image={value}"
    assert len({image.description["manifest_digest"] for image in images.values()}) == 2
    try:
        run = repository.pants("run", f"{driver}@base_image=other")
        assert run.output.endswith("['--rounds', '3'] ['quick', 'fox']\n")
        local = f"slim-ray-image.local/{folder}/image-base_image-other"
        assert len(docker.images(local)) == 1
    finally:
        docker.remove(f"slim-ray-image.local/{folder}/image-base_image-other")
