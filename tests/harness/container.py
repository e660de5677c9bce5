"""The Docker of this machine, with containers and images that are removed at the end of the tests."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional
from urllib.error import HTTPError

from harness.registry import free_port, open_url

# Options of `docker run` as in careful clusters: a read-only root, /tmp in memory, and no capabilities.
RESTRICTED = (
    *("--read-only", "--tmpfs=/tmp", "--shm-size=1g"),
    *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
)


class Docker:
    """Docker's command line."""

    def __init__(self, executable: str) -> None:
        self._executable = executable

    def problem(self) -> str:
        """Return why Docker does not answer, or "" if it does."""
        result = subprocess.run(
            [self._executable, "version"], capture_output=True, text=True, check=False, timeout=60
        )
        return "" if result.returncode == 0 else result.stderr.strip().splitlines()[-1]

    def __call__(self, *arguments: str) -> str:
        """Run a command of Docker, which must succeed, and return its stdout."""
        result = subprocess.run(
            [self._executable, *arguments], capture_output=True, text=True, check=False, timeout=300
        )
        assert result.returncode == 0, f"docker {' '.join(arguments)}:\n{result.stderr}"
        return result.stdout.strip()

    def images(self, repository: str) -> list[str]:
        """Return the references of the images of a repository."""
        listed = self("images", "--format", "{{.Repository}}:{{.Tag}}", repository)
        return listed.splitlines()

    def containers(self, image: str) -> list[str]:
        """Return the ids of the containers of an image, ended ones included."""
        return self("ps", "--all", "--quiet", "--filter", f"ancestor={image}").splitlines()

    def await_no_container(self, image: str, seconds: float = 30) -> None:
        """Wait until an image has no container any more."""
        until = time.monotonic() + seconds
        while self.containers(image):
            assert time.monotonic() < until, f"There is still a container of {image}."
            time.sleep(0.2)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[str]:
        """Start a container and yield its id; at the end the container is removed, also after an error."""
        container = self("run", "--detach", *arguments)
        try:
            yield container
        finally:
            self("rm", "--force", "--volumes", container)

    def output(self, container: str) -> str:
        """Return stdout and stderr of a container."""
        result = subprocess.run(
            [self._executable, "logs", container],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        return result.stdout

    def finish(self, container: str) -> tuple[int, str]:
        """Wait until a container has ended, and return its exit code and output."""
        return int(self("wait", container)), self.output(container)

    def remove(self, repository: str) -> None:
        """Remove the images of a repository, and their containers."""
        for image in self.images(repository):
            for container in self.containers(image):
                self("rm", "--force", container)
            self("rmi", image)


@contextmanager
def loaded_images(
    docker: Docker, skopeo: str, layouts: Mapping[str, Path]
) -> Iterator[dict[str, str]]:
    """Load OCI image layouts into Docker, under names of this run alone, until the end.

    Args:
        skopeo: Path of the executable.
        layouts: Name -> folder of its layout.

    Yields:
        Name -> repository in Docker.
    """
    repository = f"slim-ray-image.test/{free_port()}"
    images = {name: f"{repository}/{name}" for name in layouts}
    try:
        for name, image in images.items():
            layout, loaded = f"oci:{layouts[name]}", f"docker-daemon:{image}:latest"
            subprocess.run([skopeo, "copy", "--quiet", layout, loaded], check=True)
        yield images
    finally:
        for image in images.values():
            docker.remove(image)


def await_answer(url: str, *, data: bytes | None = None, seconds: float = 120) -> tuple[int, Any]:
    """Return status and body of a service's first answer; ask again until `seconds` have passed."""
    until = time.monotonic() + seconds
    while True:
        try:
            with open_url(url, method="POST" if data else "GET", data=data) as response:
                return response.status, response.read()
        except OSError:  # The service, or its application, is not ready yet.
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


class Service:
    """A service in a container, reached by HTTP. The error for a missing or wrong answer has the container's log."""

    def __init__(self, docker: Docker, container: str, port: int) -> None:
        self._docker = docker
        self._container = container
        self._url = f"http://127.0.0.1:{port}"

    def log(self) -> str:
        return self._docker.output(self._container)

    def await_ready(self, path: str, seconds: float = 180) -> None:
        """Wait until the service answers a GET of `path`."""
        try:
            await_answer(f"{self._url}{path}", seconds=seconds)
        except OSError as error:
            raise AssertionError(f"GET {path}: {error}\n{self.log()}") from error

    def ask(
        self, method: str, path: str, data: Optional[bytes] = None, media_type: str = ""
    ) -> bytes:
        """Return the body of the answer, whose status must be 200."""
        url = f"{self._url}{path}"
        try:
            with open_url(url, method=method, data=data, media_type=media_type) as response:
                status, body = response.status, response.read()
        except OSError as error:
            answer = error.read().decode() if isinstance(error, HTTPError) else ""
            raise AssertionError(f"{method} {path}: {error} {answer}\n{self.log()}") from error
        assert status == 200, f"{method} {path}: {status}\n{self.log()}"
        return body

    def ask_json(self, method: str, path: str, value: Any = None) -> Any:
        """Send `value` as JSON, unless it is None, and return the JSON of the answer."""
        data = None if value is None else json.dumps(value).encode()
        return json.loads(self.ask(method, path, data, "application/json"))
