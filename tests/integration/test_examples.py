"""The examples of src/ in Docker, as careful clusters run images, with real databases: each does what it is there for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest

from integration.conftest import executable
from integration.container import RESTRICTED, Docker, Service
from integration.databases import MariaDB, PostgreSQL
from integration.registry import free_port
from integration.repository import PackagedImage, Repository

pytestmark = pytest.mark.integration

TARGETS = {
    "drivers": "src/jobs/reports:drivers",
    "echo": "src/services/echo:image",
    "essentials": "src/services/essentials:image",
    "nightly": "src/jobs/nightly:image",
    "ranker": "src/services/ranker:image",
    "records": "src/services/records:image",
}
PROVEN = {
    *("aiohttp", "asyncpg", "fastapi", "neo4j", "numpy", "pandas", "prometheus-client", "psutil"),
    *("psycopg2-binary", "pydantic", "pyyaml", "scikit-learn", "scipy", "tqdm", "uvicorn"),
}
START = "src/jobs/nightly/start.sh"
NOTHING_LISTENS = "bolt://127.0.0.1:1"

# What the routes of essentials answer, at least.
ARTICLES = [{"title": "Quiet", "clicks": 2, "age_days": 9}, {"clicks": 900, "age_days": 0}]
LINES = [{"product": "fox", "quantity": 3, "price": "0.10"}]
GET = {
    "/health": {"status": "ok"},
    "/uvicorn?text=A+fox": {"status": 200, "body": "A fox"},
    "/aiohttp": {"status": 200, "body": '{"status":"ok"}'},
    "/psutil": {"uid": 1000},
    "/tqdm?text=the+quick+fox": {"lengths": {"quick": 5, "fox": 3}},
    "/asyncpg?text=A+fox,+a+box,+a+fox": {"words": {"box": 1, "fox": 2}},
    "/psycopg2?text=A+fox,+a+box,+a+fox": {"words": {"box": 1, "fox": 2}},
    "/neo4j": {"uri": NOTHING_LISTENS, "agent": None},
}
POST: Mapping[str, tuple[Any, Any]] = {
    "/numpy": (
        {"matrix": [[2, 1], [1, 3]], "vector": [3, 5]},
        {"solution": pytest.approx([0.8, 1.4])},
    ),
    "/pandas": (
        [{"region": "north", "amount": 1}, {"region": "north", "amount": 2}],
        {"north": {"sum": 3, "mean": 1.5}},
    ),
    "/scipy": (
        {"first": [1, 2, 3], "second": [4, 5, 7]},
        {"p_value": pytest.approx(0.041914517)},
    ),
    "/pydantic": ({"lines": LINES}, {"lines": LINES, "total": "0.30"}),
    "/pyyaml": ({"fox": ["quick"]}, {"document": {"fox": ["quick"]}}),  # JSON is YAML, too
}
OTHERS = {"/fastapi", "/prometheus", "/scikit-learn"}


@pytest.fixture(scope="module")
def packaged(
    shared_repository: Repository, echo: PackagedImage, ranker: PackagedImage
) -> dict[str, PackagedImage]:
    """Every example, by one `pants package ::`; of echo and ranker, the processes are in the cache."""
    run = shared_repository.pants("package", "::")
    return {
        name: PackagedImage(target, shared_repository.output_of(target), run)
        for name, target in TARGETS.items()
    }


@pytest.fixture(scope="module")
def images(docker: Docker, packaged: dict[str, PackagedImage]) -> Iterator[dict[str, str]]:
    """The examples in Docker, under names of this run alone, until its end."""
    skopeo = executable("skopeo")
    repository = f"slim-ray-image.test/{free_port()}"
    names = {name: f"{repository}/{name}:test" for name in TARGETS}
    try:
        for name, reference in names.items():
            if name not in ("echo", "ranker"):  # test_run.py has those
                layout = f"oci:{packaged[name].folder}/oci"
                run_program(skopeo, "copy", "--quiet", layout, f"docker-daemon:{reference}")
        yield names
    finally:
        for reference in names.values():
            docker.remove(reference)
