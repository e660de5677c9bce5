"""Tests of the containers that a smoke test removes from a real Docker, and of those that it does not touch."""

from __future__ import annotations

import io
import tarfile
import time
import uuid
from pathlib import Path
from typing import Iterator

import pytest
from harness.container import Docker
from needs import needs

from slim_ray_image.sandbox.smoke.smoke_container import LABEL, _remove_expired

pytestmark = needs("docker")

OVER = f"{LABEL}.until={int(time.time()) - 7200}"


@pytest.fixture
def image(docker: Docker, tmp_path: Path) -> Iterator[str]:
    """An image of one empty file, whose containers are created but not started."""
    with tarfile.open(tmp_path / "root.tar", "w") as root:
        root.addfile(tarfile.TarInfo("file"), io.BytesIO())
    name = f"slim-ray-image.local/leftovers-{uuid.uuid4().hex}"
    docker("import", str(tmp_path / "root.tar"), name)
    yield name
    docker("rmi", "--force", *docker.images(f"{name}*"))


@pytest.fixture
def made(docker: Docker) -> Iterator[list[str]]:
    """The ids of a test's containers, which are removed at its end."""
    found: list[str] = []
    yield found
    there = set(docker("ps", "--all", "--quiet", "--no-trunc").splitlines())
    for container in there & set(found):
        docker("rm", "--force", "--volumes", container)


def create(docker: Docker, made: list[str], image: str, *arguments: str) -> str:
    made.append(docker("create", "--volume", "/data", *arguments, image, "run"))
    return made[-1]


def labelled(docker: Docker, image: str, tmp_path: Path, until: str) -> str:
    """Return an image with the labels that only containers of smoke tests should have."""
    name = f"{image}-{uuid.uuid4().hex}"
    change = 'LABEL "{}"="{}"'
    docker(
        *("import", "--change", change.format(LABEL, "x")),
        *("--change", change.format(f"{LABEL}.until", until)),
        *(str(tmp_path / "root.tar"), name),
    )
    return name


def remaining(docker: Docker, made: list[str]) -> set[str]:
    return set(docker("ps", "--all", "--quiet", "--no-trunc").splitlines()) & set(made)


def name() -> str:
    return f"slim-ray-image-smoke-test-{uuid.uuid4().hex}"


def test_what_a_host_left_behind_goes_with_its_volume(
    docker: Docker, image: str, made: list[str]
) -> None:
    """An expired test's container is removed with its volume; another host's container that has time left stays."""
    ours = ("--label", f"{LABEL}=src/app:image")
    left = create(docker, made, image, "--name", name(), *ours, "--label", OVER)
    later = f"{LABEL}.until={int(time.time()) + 300}"
    other = create(docker, made, image, "--name", name(), *ours, "--label", later)
    (volume,) = docker(
        "inspect", "--format", "{{range .Mounts}}{{.Name}}{{end}}", left
    ).splitlines()
    _remove_expired()
    assert remaining(docker, made) == {other}
    assert volume not in docker("volume", "ls", "--quiet").splitlines()


def test_labels_of_an_image_remove_no_container(
    docker: Docker, image: str, made: list[str], tmp_path: Path
) -> None:
    """An image's labels remove neither its own containers nor a container that a line of a label names."""
    victim = create(docker, made, image, "--name", f"production-db-{uuid.uuid4().hex}")
    for until in ("1", f"soon\\n{victim} 1"):
        create(docker, made, labelled(docker, image, tmp_path, until))
        create(docker, made, labelled(docker, image, tmp_path, until), "--name", f"my-{name()}")
    _remove_expired()
    assert remaining(docker, made) == set(made)
