"""Runs the command line program `docker`."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Optional, Sequence

from slim_ray_image.core.errors import SlimRayImageError


@dataclass(frozen=True)
class Finished:
    """The output and the exit code of a Docker command; the exit code is None if the command did not end in time."""

    exit_code: Optional[int]
    stdout: str
    stderr: str

    @property
    def last_words(self) -> str:
        """Last non-blank line of a Docker command's stderr, else of its stdout; "" if there is none."""
        lines = [
            line for line in (self.stdout + "\n" + self.stderr).splitlines() if line.strip()
        ] or [""]
        return lines[-1].strip()


def docker_path() -> Optional[str]:
    """Return the path of the `docker` on PATH; None if there is none."""
    return shutil.which("docker")


def _text(output: object) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else str(output or "")


def run_docker(arguments: Sequence[str], *, seconds: float, stdin: str = "") -> Finished:
    """Run a Docker command to its end, or kill it after `seconds`."""
    try:
        result = subprocess.run(
            ["docker", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=max(seconds, 0.1),
        )
    except subprocess.TimeoutExpired as error:
        return Finished(None, _text(error.stdout), _text(error.stderr))
    return Finished(result.returncode, result.stdout, result.stderr)


def require_docker(arguments: Sequence[str], *, seconds: float) -> str:
    """Run a Docker command that must succeed, and return its stdout.

    Raises:
        SlimRayImageError: If the command fails or does not end in time.
    """
    result = run_docker(arguments, seconds=seconds)
    if result.exit_code != 0:
        ended = (
            "did not end in time" if result.exit_code is None else f"failed: {result.last_words}"
        )
        raise SlimRayImageError(
            f"`docker {arguments[0]}` {ended}",
            evidence=[f"DOCKER_HOST is {os.environ.get('DOCKER_HOST') or 'not set'}"],
            fixes=["check that this Docker works, for example with `docker run --rm IMAGE`"],
        )
    return result.stdout.strip()
