"""`pants test`: what the programs that find Docker and try an image in it are told, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from slim_ray_image.core.serve.served_application import ServedApplication

# What `find_docker` writes.
DOCKER_FILE = "docker.json"
# Where `try_image` finds the files of the image, as `docker load` reads them.
IMAGE_FOLDER = "image"
_FIRST_FAILURE = 400


@dataclass(frozen=True)
class FindDockerRequest:
    """A request for the Docker of this machine; the environment says which one."""


@dataclass(frozen=True)
class FindDockerResult:
    """An answer about the Docker of this machine.

    Attributes:
        problem: Why none can be used, as a clause; empty where one answers.
    """

    problem: str


@dataclass(frozen=True)
class SmokeRequest:
    """An HTTP request, and the answer that it must get.

    Attributes:
        media_type: The body's; of no meaning without one.
        status: The answer's; None for any below 400, redirects included.
        contains: A text that the answer's body must contain; may be empty.
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
        """Return what is wrong with an answer, as a clause, or None."""
        if self.status is None and status >= _FIRST_FAILURE:
            return f"answered {status}, not a status below {_FIRST_FAILURE}"
        if self.status not in (None, status):
            return f"answered {status}, not {self.status}"
        if self.contains not in body:
            return f"answered without {self.contains!r}"
        return None


@dataclass(frozen=True)
class TryImageRequest:
    """A request to run an image in Docker, and to test it there.

    Attributes:
        target: The target's address.
        reference: The image's name in Docker.
        config_path: The path of the Serve config in the image; empty where it has none.
        seconds: The time for the whole test, from the start of the container.
    """

    target: str
    reference: str
    applications: tuple[ServedApplication, ...]
    config_path: str
    requests: tuple[SmokeRequest, ...]
    seconds: int
