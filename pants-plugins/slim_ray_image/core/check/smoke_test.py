"""`pants test`: requests to the programs that find Docker and test an image in Docker, and their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from slim_ray_image.core.serve.served_application import ServedApplication

# File that `find_docker` writes.
DOCKER_FILE = "docker.json"
# Folder in which `try_image` finds the files of the image, in the form that `docker load` reads.
IMAGE_FOLDER = "image"
_FIRST_FAILURE = 400


@dataclass(frozen=True)
class FindDockerRequest:
    """A request to find the Docker of this machine; environment variables choose which one."""


@dataclass(frozen=True)
class FindDockerResult:
    """The answer whether Docker can be used on this machine, with the reason if it cannot.

    Attributes:
        problem: Why no Docker can be used, as a clause; empty if Docker answers.
    """

    problem: str


@dataclass(frozen=True)
class SmokeRequest:
    """An HTTP request that a smoke test sends to the image's application, and the answer that it must get.

    Attributes:
        media_type: Media type of `body`; unused without a body.
        status: Status that the answer must have; None for any below 400, redirects included.
        contains: Text that the answer's body must contain; may be empty.
    """

    method: str
    path: str
    body: Optional[str] = None
    media_type: str = "text/plain; charset=utf-8"
    status: Optional[int] = None
    contains: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def problem(self, status: int, body: str) -> Optional[str]:
        """Return a clause that says how an HTTP answer is wrong; None if its status and text are right."""
        if self.status is None and status >= _FIRST_FAILURE:
            return f"answered {status}, not a status below {_FIRST_FAILURE}"
        if self.status not in (None, status):
            return f"answered {status}, not {self.status}"
        if self.contains not in body:
            return f"answered without {self.contains!r}"
        return None


@dataclass(frozen=True)
class TryImageRequest:
    """A request to run and test an image in Docker.

    Attributes:
        target: Address of the target.
        reference: Name of the image in Docker.
        config_path: Path of the Serve config in the image; empty without one.
        seconds: Time limit of the whole test, from the start of the container.
    """

    target: str
    reference: str
    applications: tuple[ServedApplication, ...]
    config_path: str
    requests: tuple[SmokeRequest, ...]
    seconds: int
