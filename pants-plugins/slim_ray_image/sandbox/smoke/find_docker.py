"""Finds out whether a Docker answers, and if not, why. Out: docker.json."""

from __future__ import annotations

from slim_ray_image.core.check.smoke_test import DOCKER_FILE, FindDockerRequest, FindDockerResult
from slim_ray_image.sandbox.report import run_program, write_result
from slim_ray_image.sandbox.smoke.docker_command import docker_path, run_docker

NO_DOCKER = "there is no `docker` on PATH"
_SECONDS = 30


def find_problem() -> str:
    """Return the reason why no Docker can be used, as a clause; "" if Docker answers."""
    if docker_path() is None:
        return NO_DOCKER
    result = run_docker(["version", "--format", "{{.Server.Version}}"], seconds=_SECONDS)
    if result.exit_code == 0:
        return ""
    if result.exit_code is None:
        return f"Docker does not answer in {_SECONDS} s"
    return f"Docker does not answer: {result.last_words}"


def main(request: FindDockerRequest) -> None:
    """Write docker.json, with the reason why no Docker can be used, if any."""
    write_result(DOCKER_FILE, FindDockerResult(find_problem()))


if __name__ == "__main__":
    run_program(main, FindDockerRequest)
