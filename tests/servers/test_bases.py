"""Tests of images on other bases than python:3.10-slim of Debian 12: another Debian, another CPython."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable, Iterator

import pytest
from harness.container import Docker, await_answer
from harness.fixtures import build_stand_in
from harness.image_layout import validate_layout
from harness.registry import free_port
from harness.repository import PackagedImage, Repository
from needs import needs

pytestmark = needs("stand-in", "docker")


def trixie() -> Path:
    return build_stand_in("3.10-trixie", "--suite", "trixie")


def python_311() -> Path:
    return build_stand_in("3.11-bookworm", STAND_IN_PYTHON="3.11")


# The resolve normally allows one Python, and a base with another one is refused. This option allows two.
TWO_PYTHONS = (
    "--python-resolves-to-interpreter-constraints=+{'ray-default': ['CPython>=3.10,<3.12']}"
)

BASES = [
    pytest.param(trixie, "3.10-slim", "3.10", "glibc 2.41", id="Debian 13"),
    pytest.param(python_311, "3.11-slim", "3.11", "glibc 2.36", id="Python 3.11"),
]


@pytest.fixture
def docker_images(docker: Docker) -> Iterator[str]:
    """A folder name for this run alone; at the end, the images of its target are removed from Docker."""
    name = f"bases_{free_port()}"
    yield name
    docker.remove(f"slim-ray-image.local/src/services/{name}/image")


@pytest.mark.parametrize(("base", "tag", "python", "libc"), BASES)
def test_service_runs_on_another_base(
    base: Callable[[], Path],
    tag: str,
    python: str,
    libc: str,
    repository: Repository,
    docker: Docker,
    docker_images: str,
) -> None:
    """The base's Python and glibc are described correctly, and the service answers as on the usual base."""
    layout = base()
    folder, port = f"src/services/{docker_images}", free_port()
    repository.write(
        f"{folder}/BUILD",
        f'slim_ray_image(name="image", serve_app="services.echo.app:app", base_image="oci:{layout}:{tag}", '
        f'ports=[{port}], env={{"RAY_SERVE_DEFAULT_HTTP_PORT": "{port}"}})\n',
    )
    packaged: PackagedImage = repository.package(f"{folder}:image", TWO_PYTHONS)
    described = packaged.description["base"]
    assert described["python_version"].startswith(f"{python}.")
    assert described["libc"] == libc
    assert validate_layout(packaged.folder / "oci") == []
    # Load the image, and run another program than the service.
    run = repository.pants(TWO_PYTHONS, "run", f"{folder}:image", "--", "python", "-V")
    assert f"Python {described['python_version']}\n" in run.output
    (image,) = docker.images(f"slim-ray-image.local/{folder}/image")
    container = docker(
        *("run", "--detach", "--read-only", "--tmpfs", "/tmp", "--shm-size=1g"),
        *("--publish", f"127.0.0.1:{port}:{port}", image),
    )
    try:
        status, body = await_answer(f"http://127.0.0.1:{port}/", data=b"The quick fox")
        assert (status, json.loads(body)["words"]) == (200, ["quick", "fox"])
    finally:
        docker("rm", "--force", container)
