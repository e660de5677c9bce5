"""Tests of `pants test` with images in a real Docker: passes, failures and their messages, and no leftovers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator
from uuid import uuid4

import pytest
from harness.container import Docker
from harness.repository import ROOT, PantsRun, Repository
from needs import needs

from slim_ray_image.core.check.smoke_test import TryImageRequest
from slim_ray_image.core.wire import to_json

pytestmark = needs("base", "docker")

LABEL = "slim-ray-image.smoke-test"
IMAGES = "slim-ray-image.local/src/services/{}/image"
STEPS = (
    "the head answers the operator's probe",
    "1 application deployed by the REST API: default",
    "the proxy answers the operator's probe",
    "2 requests answered as expected",
    "the metrics on :8080 include ray_serve_ series",
    "`ray job submit` runs a job",
    "`ray health-check` succeeds",
)


@pytest.fixture(scope="module")
def service(docker: Docker) -> Iterator[str]:
    """A name for targets of this run alone; their images are removed at the end."""
    name = f"smoke_{uuid4().hex}"
    yield name
    docker.remove(IMAGES.format(name))


def smoke_test(
    repository: Repository,
    service: str,
    *requests: str,
    application: str = "services.echo.app:app",
    **environment: str,
) -> PantsRun:
    """Run `pants test` of an image with an application and requests, in the spelling of BUILD files."""
    repository.write(
        f"src/services/{service}/BUILD",
        f'python_sources()\nslim_ray_image(name="image", serve_app="{application}", smoke_test=True, '
        f"smoke_requests=[{', '.join(requests)}])\n",
    )
    arguments = ("--test-output=all", "test", f"src/services/{service}:image")
    return repository.pants(*arguments, check=False, **environment)


def containers(docker: Docker, service: str) -> list[str]:
    """Return the ids of the containers of the service's smoke tests, ended ones included."""
    label = f"label={LABEL}=src/services/{service}:image"
    return docker("ps", "--all", "--quiet", "--no-trunc", "--filter", label).splitlines()


def await_containers(docker: Docker, service: str, count: int, seconds: float) -> list[str]:
    until = time.monotonic() + seconds
    while len(containers(docker, service)) != count:
        assert time.monotonic() < until, f"There are {containers(docker, service)}, not {count}."
        time.sleep(0.2)
    return containers(docker, service)


HELLO = 'smoke_request(path="/", status=200, contains="Hello")'
REQUESTS = (
    HELLO,
    'smoke_request(method="POST", path="/", body="A quick fox", status=200, contains="quick")',
)


def test_image_passes_as_kuberay_runs_it(
    repository: Repository, docker: Docker, service: str
) -> None:
    """Each step is shown, no container is left, and a second run takes the result from the cache."""
    run = smoke_test(repository, service, *REQUESTS)
    assert run.exit_code == 0, run.output
    shown = [line.partition(" s  ")[2] for line in run.output.splitlines() if " s  " in line]
    assert [line for line in shown if line in STEPS] == list(STEPS)
    assert containers(docker, service) == []
    again = smoke_test(repository, service, *REQUESTS)
    assert again.exit_code == 0
    assert f"Smoke-test src/services/{service}:image" not in again.started


def test_port_of_the_config_is_asked(repository: Repository, service: str) -> None:
    """Requests go to the port of the config, which the target's `ports` need not name."""
    folder = f"src/services/{service}"
    repository.write(
        f"{folder}/serve.yaml",
        "http_options: {host: 0.0.0.0, port: 8001}\napplications: [{import_path: services.echo.app:app}]\n",
    )
    repository.write(
        f"{folder}/BUILD",
        'slim_ray_image(name="image", serve_config="serve.yaml", smoke_test=True, '
        f"smoke_requests=[{HELLO}])\n",
    )
    run = repository.pants("--test-output=all", "test", f"{folder}:image")
    assert "1 request answered as expected" in run.output


def test_wrong_answer_fails_with_the_logs(
    repository: Repository, docker: Docker, service: str
) -> None:
    """The error names every request with another answer than expected, and the container's log is shown."""
    run = smoke_test(
        repository,
        service,
        'smoke_request(path="/", status=200, contains="Goodbye")',
        '"/"',
        'smoke_request(method="POST", path="/", body="fox", status=404)',
    )
    assert run.exit_code != 0
    assert (
        f"2 of 3 requests to src/services/{service}:image were not answered as expected.\n\n"
        '  * GET / answered without \'Goodbye\': {"echo":"Hello from Ray Serve"'
    ) in run.output
    assert "  * POST / answered 200, not 404: " in run.output
    assert "--- docker logs\n" in run.output
    assert "Traceback" not in run.output
    assert containers(docker, service) == []


def test_application_that_fails_to_start_tells_why(
    repository: Repository, docker: Docker, service: str
) -> None:
    """The message has the application's own error, with its traceback above."""
    repository.write(
        f"src/services/{service}/broken.py",
        "from ray import serve\n\n\n@serve.deployment\nclass Broken:\n    def __init__(self) -> None:\n"
        '        raise ValueError("there is no model")\n\n\napp = Broken.bind()\n',
    )
    repository.write(f"src/services/{service}/__init__.py", "")
    run = smoke_test(repository, service, application=f"services.{service}.broken:app")
    assert run.exit_code != 0
    assert f"1 application of src/services/{service}:image failed to deploy." in run.output
    assert "ValueError: there is no model" in run.output.rpartition("failed to deploy.")[2]
    assert "--- message of application 'default'\n" in run.output
    assert containers(docker, service) == []


def test_without_docker_the_test_is_skipped(repository: Repository, service: str) -> None:
    """One warning gives the reason for the skipped tests, and nothing fails."""
    run = smoke_test(repository, service, '"/"', DOCKER_HOST="tcp://127.0.0.1:1")
    assert run.exit_code == 0, run.output
    (warning,) = (text for text in run.warnings if "Smoke tests" in text)
    assert warning.startswith("Smoke tests of `slim_ray_image` targets are skipped: Docker does ")
    assert f"Smoke-test src/services/{service}:image" not in run.started


def test_interrupted_pants_leaves_no_container(
    repository: Repository, docker: Docker, service: str, tmp_path: Path
) -> None:
    """After Ctrl-C while the test runs, Pants kills the program, and the container is removed."""
    repository.write(
        f"src/services/{service}/BUILD",
        'slim_ray_image(name="image", serve_app="services.echo.app:app", smoke_test=True)\n',
    )
    output = tmp_path / "output"
    process = repository.start("test", f"src/services/{service}:image", output=output)
    try:
        await_containers(docker, service, 1, seconds=240)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    await_containers(docker, service, 0, seconds=30)


def test_killed_program_leaves_no_container(
    docker: Docker, service: str, repository: Repository, tmp_path: Path
) -> None:
    """After a SIGKILL of the program's process group, the container is removed within seconds."""
    smoke_test(repository, service, *REQUESTS)
    reference = docker.images(IMAGES.format(service))[0]
    request = TryImageRequest(f"src/services/{service}:image", reference, (), "", (), 100)
    (tmp_path / "request.json").write_text(to_json(request))
    program = subprocess.Popen(
        [sys.executable, "-m", "slim_ray_image.sandbox.smoke.try_image", "request.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "pants-plugins")},
        start_new_session=True,
    )
    try:
        (container,) = await_containers(docker, service, 1, seconds=60)
        label = f'{{{{index .Config.Labels "{LABEL}.until"}}}}'
        assert int(docker("inspect", "--format", label, container)) > time.time()
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    await_containers(docker, service, 0, seconds=30)
