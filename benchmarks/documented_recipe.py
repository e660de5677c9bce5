"""The way that Pants' own documentation builds an image of a Python application, for src/services/essentials.

Two `pex_binary`, one of the distributions and one of the sources, both packed; a `docker_image` unpacks each with the
`venv` command of Pex in a stage of its own, and the last stage copies both.
"""

from __future__ import annotations

import os
from pathlib import Path

from checkouts import Checkout
from hand_written import BASE_IN_DOCKER, DOCKER

_FOLDER = "src/services/essentials"
_TARGETS = """

pex_binary(
    name="deps",
    entry_point="app.py",
    layout="packed",
    include_sources=False,
    include_tools=True,
)

pex_binary(
    name="srcs",
    entry_point="app.py",
    layout="packed",
    include_requirements=False,
    include_tools=True,
)

docker_image(
    name="docker",
    repository="slim-ray-image.local/benchmark-pants",
    dependencies=[":deps", ":srcs"],
    instructions=[
        "FROM BASE AS deps",
        "COPY src.services.essentials/deps.pex /deps.pex",
        "RUN PEX_TOOLS=1 python3 /deps.pex venv --scope=deps --compile /bin/app",
        "FROM BASE AS srcs",
        "COPY src.services.essentials/srcs.pex /srcs.pex",
        "RUN PEX_TOOLS=1 python3 /srcs.pex venv --scope=srcs --compile /bin/app",
        "FROM BASE",
        "COPY --from=deps /bin/app /bin/app",
        "COPY --from=srcs /bin/app /bin/app",
        "ENV RAY_SERVE_DEFAULT_HTTP_HOST=0.0.0.0",
        "EXPOSE 8000",
        'ENTRYPOINT ["/bin/app/bin/serve", "run", "services.essentials.app:app"]',
    ],
)
"""
# Pants 2.17 has no option for `--no-cache`, nor for `--network`, which the other Dockerfiles are built with too.
_DOCKER_WITHOUT_CACHE = """#!/bin/sh
export DOCKER_BUILDKIT=1
if [ "$1" = build ]; then
    shift
    exec {docker} build --no-cache --network host "$@"
fi
exec {docker} "$@"
"""


def add_targets(checkout: Checkout) -> None:
    """Add the recipe's targets to a copy of the repository, and a program `docker` that builds without a cache."""
    build_file = checkout.path / _FOLDER / "BUILD"
    targets = _TARGETS.replace("FROM BASE", f"FROM {BASE_IN_DOCKER}")
    build_file.write_text(build_file.read_text() + targets)
    docker = _programs(checkout) / "docker"
    docker.parent.mkdir()
    docker.write_text(_DOCKER_WITHOUT_CACHE.format(docker=DOCKER))
    docker.chmod(0o755)


def build_cold(checkout: Checkout) -> float:
    """Return the seconds of one build by the recipe with empty caches, which loads the image into Docker."""
    checkout.empty_caches()
    run = checkout.pants(
        "--backend-packages=+['pants.backend.docker']",
        "--docker-env-vars=+['DOCKER_HOST', 'HOME', 'PATH']",
        "package",
        f"{_FOLDER}:docker",
        environment={"PATH": f"{_programs(checkout)}:{os.environ['PATH']}"},
    )
    return run.seconds


def _programs(checkout: Checkout) -> Path:
    return checkout.folder / "programs"
