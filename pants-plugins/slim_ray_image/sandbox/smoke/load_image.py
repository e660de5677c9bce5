"""Loads an image into Docker, for `pants run` and `pants test`."""

from __future__ import annotations

import os
import subprocess
import tarfile
import threading

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.smoke.docker_command import run_docker

_INSPECT_SECONDS = 60
_LOAD_SECONDS = 600
_SHOWN_LINES = 3


def is_loaded(reference: str) -> bool:
    """Return whether Docker has an image of this name, which ends with the start of the image's digest."""
    return run_docker(["image", "inspect", reference], seconds=_INSPECT_SECONDS).exit_code == 0


def load_image(reference: str, folder: str) -> None:
    """Load an image into Docker from a folder of the image's files, by `docker load`.

    Args:
        folder: Files of the image, as `docker load` takes them from an archive.

    Raises:
        SlimRayImageError: If Docker does not load the image.
    """
    with subprocess.Popen(
        ["docker", "load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=False,
    ) as load:
        assert load.stdin is not None
        timer = threading.Timer(_LOAD_SECONDS, load.kill)
        timer.daemon = True
        timer.start()
        try:
            with tarfile.open(fileobj=load.stdin, mode="w|", dereference=True) as archive:
                for name in sorted(os.listdir(folder)):
                    archive.add(f"{folder}/{name}", name)
        except BrokenPipeError:  # Docker's output has the reason
            pass
        output, _ = load.communicate()
        timer.cancel()
    if load.returncode != 0:
        last_lines = output.decode(errors="replace").strip().splitlines()[-_SHOWN_LINES:]
        raise SlimRayImageError(
            f"Cannot load the image {reference} into Docker.",
            evidence=last_lines or [f"`docker load` ended with exit code {load.returncode}"],
            fixes=[
                "check that Docker answers and has space left, for example with `docker system df`"
            ],
        )
