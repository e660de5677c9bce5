"""Tests of images in Docker: they serve as a user without rights, and stop."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Iterator

import pytest
from harness.container import Docker, await_answer
from harness.registry import free_port
from harness.repository import Repository
from harness.targets import write_driver
from needs import needs

pytestmark = needs("base", "docker")

IMAGES = "slim-ray-image.local/src/services/{}/image"
# The PATH of a login shell.
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin"


@pytest.fixture(scope="module")
def port() -> int:
    """The port that the service listens on, in the container and on this machine, where 8000 may be taken."""
    return free_port()


@pytest.fixture(scope="module")
def names(docker: Docker, port: int) -> Iterator[dict[str, str]]:
    """Names for this run alone, since users of this machine share its Docker; their images are removed at the end."""
    found = {name: f"{name}_{port}" for name in ("driver", "echo")}
    yield found
    for name in found.values():
        docker.remove(IMAGES.format(name))


@pytest.fixture
def driver(repository: Repository, names: dict[str, str]) -> str:
    """The address of a target that runs to its end."""
    return write_driver(repository, names["driver"])


@pytest.fixture
def service(repository: Repository, names: dict[str, str], port: int) -> str:
    """The address of a target that serves echo on another port."""
    folder = f"src/services/{names['echo']}"
    repository.write(
        f"{folder}/BUILD",
        'slim_ray_image(name="image", serve_app="services.echo.app:app", '
        f'ports=[{port}], env={{"RAY_SERVE_DEFAULT_HTTP_PORT": "{port}"}})\n',
    )
    return f"{folder}:image"


@pytest.fixture
def image(repository: Repository, docker: Docker, names: dict[str, str], service: str) -> str:
    """The service's image in Docker, loaded by `pants run`."""
    images = IMAGES.format(names["echo"])
    if not docker.images(images):
        run = repository.pants("run", service, "--", "echo", "loaded")
        assert run.output.endswith("\nloaded\n")
    (reference,) = docker.images(images)
    return reference


def words_of(port: int, text: str) -> object:
    """Return the JSON answer of the service on a port to a POST of `text`."""
    status, body = await_answer(f"http://127.0.0.1:{port}/", data=text.encode())
    assert status == 200
    return json.loads(body)


ANSWER = {"echo": "The quick fox", "words": ["quick", "fox"]}


def test_run_serves_until_interrupted(
    repository: Repository, docker: Docker, service: str, image: str, port: int, tmp_path: Path
) -> None:
    """`pants run` maps the port and serves; Ctrl-C ends it, and the container ends when its replicas have stopped."""
    output = tmp_path / "output"
    process = repository.start("run", service, output=output)
    try:
        assert words_of(port, "The quick fox") == ANSWER
        assert len(docker.containers(image)) == 1
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    # Pants waits three seconds for Docker's command line to end, and the service needs somewhat longer.
    docker.await_no_container(image)
    assert "Traceback" not in output.read_text()


def test_service_runs_read_only_as_a_user_without_rights(
    docker: Docker, image: str, port: int
) -> None:
    """With a read-only root and /tmp in memory, the service answers, and each of its processes has uid 1000."""
    container = docker(
        *("run", "--detach", "--read-only", "--tmpfs", "/tmp", "--shm-size=1g", "--cap-drop=ALL"),
        *("--security-opt=no-new-privileges", "--publish", f"127.0.0.1:{port}:{port}", image),
    )
    try:
        assert words_of(port, "The quick fox") == ANSWER
        assert docker("exec", container, "id") == "uid=1000(ray) gid=100(users) groups=100(users)"
        uids = docker("top", container, "-eo", "uid,pid").splitlines()[1:]
        assert {line.split()[0] for line in uids} == {"1000"}
    finally:
        docker("rm", "--force", container)


def test_commands_are_found_without_the_environment_of_the_image(
    docker: Docker, image: str
) -> None:
    """`ray`, `serve` and a `python` that imports ray are on a login shell's PATH."""
    script = (
        "command -v ray; command -v serve; command -v python; ray --version; "
        "python -c 'import ray; print(ray.__version__)'"
    )
    environment = ("--env", f"PATH={LOGIN_PATH}", "--env", "PYTHONPATH=")
    assert docker("run", "--rm", *environment, image, "sh", "-c", script).splitlines() == [
        "/usr/local/bin/ray",
        "/usr/local/bin/serve",
        "/usr/local/bin/python",
        "ray, version 2.48.0",
        "2.48.0",
    ]


def test_every_installed_module_has_its_bytecode(docker: Docker, image: str) -> None:
    """Nothing is compiled at start: importing the service reads the bytecode of the image and writes none."""
    script = (
        "import sys, services.echo.app\n"
        "modules = [m for m in list(sys.modules.values()) if (getattr(m, '__file__', None) or '').endswith('.py')]\n"
        "ours = [m for m in modules if m.__file__.startswith(('/opt/venv/', '/app/'))]\n"
        "import os\n"
        "print(len(ours) > 100, [m.__name__ for m in ours if not os.path.exists(m.__cached__ or '')])\n"
    )
    assert docker("run", "--rm", image, "python", "-c", script) == "True []"


def test_entry_point_runs_with_its_arguments(repository: Repository, driver: str) -> None:
    """`pants run` runs a script with the arguments of `entry_point` to its end, and exits with its exit code."""
    run = repository.pants("run", driver)
    assert run.output.endswith("['--rounds', '3'] ['quick', 'fox']\n")
    failing = repository.pants("run", driver, "--", "sh", "-c", "exit 7", check=False)
    assert failing.exit_code == 7


def test_run_without_docker_says_so(repository: Repository, driver: str) -> None:
    """If Docker does not answer, the error of `pants run` says how to fix this."""
    run = repository.pants("run", driver, check=False, DOCKER_HOST="tcp://127.0.0.1:1")
    assert run.exit_code == 1
    assert "Cannot run the image: Docker does not answer" in run.output
    assert "To fix, start Docker, or set DOCKER_HOST to a Docker that runs." in run.output
