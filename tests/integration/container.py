"""The Docker of this machine, and the containers and images that the tests leave in it until they are done."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from integration.registry import open_url


class Docker:
    """Docker's command line."""

    def __init__(self, executable: str) -> None:
        self._executable = executable

    def problem(self) -> str:
        """Return why Docker does not answer, or nothing."""
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

    def remove(self, repository: str) -> None:
        """Remove the images of a repository, and their containers."""
        for image in self.images(repository):
            for container in self.containers(image):
                self("rm", "--force", container)
            self("rmi", image)


def await_answer(url: str, *, data: bytes | None = None, seconds: float = 120) -> tuple[int, Any]:
    """Return status and body of what a service answers, as soon as it does."""
    until = time.monotonic() + seconds
    while True:
        try:
            with open_url(url, method="POST" if data else "GET", data=data) as response:
                return response.status, response.read()
        except OSError:  # not there yet, or there without its application
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
