"""Loads an image into Docker, unless Docker has it, and replaces itself by `docker run`, for `pants run`.

In: on the command line, the folder of the image's files, the image's name in Docker, and the arguments of `docker run`.
The container runs in the foreground, so its logs are streamed and Ctrl-C reaches it.
"""

from __future__ import annotations

import os
import sys

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.smoke.find_docker import NO_DOCKER, find_problem
from slim_ray_image.sandbox.smoke.load_image import is_loaded, load_image

_INTERRUPTED = 130  # as a shell has it: 128 + SIGINT


def _check_docker() -> None:
    problem = find_problem()
    if problem:
        raise SlimRayImageError(
            f"Cannot run the image: {problem.rstrip('.')}.",
            fixes=[
                (
                    "install Docker, or run the image of `pants package` elsewhere"
                    if problem == NO_DOCKER
                    else "start Docker, or set DOCKER_HOST to a Docker that runs"
                )
            ],
        )


def main(folder: str, reference: str, *arguments: str) -> None:
    """Load the image into Docker, unless Docker has it, and replace this process by `docker run`. Does not return."""
    try:
        _check_docker()
        if not is_loaded(reference):
            print(f"Loading {reference} into Docker", file=sys.stderr, flush=True)  # noqa: T201
            load_image(reference, folder)
        os.execvp("docker", ["docker", "run", *arguments])
    except SlimRayImageError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main(*sys.argv[1:])
