"""Tests of the examples of src/ in Docker, with the restrictions of careful clusters and with real databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
from harness.container import RESTRICTED, Docker, Service, loaded_images
from harness.databases import MariaDB, PostgreSQL
from harness.examples import EXAMPLES, package_examples
from harness.registry import free_port
from harness.repository import PackagedImage, Repository
from needs import needs, postgresql_programs, program

pytestmark = needs("base")
# For tests that send requests to containers.
in_docker = needs("docker", "skopeo", "database")

# The distributions that routes of essentials use.
PROVEN = frozenset(
    [
        *("aiohttp", "asyncpg", "fastapi", "neo4j", "numpy", "pandas", "prometheus-client"),
        *("psutil", "psycopg2-binary", "pydantic", "pyyaml", "scikit-learn", "scipy", "tqdm"),
        "uvicorn",
    ]
)
START = "src/jobs/nightly/start.sh"
NOTHING_LISTENS = "bolt://127.0.0.1:1"
TEXT = "A+fox,+a+box,+a+fox"
LINES = [{"product": "fox", "quantity": 3, "price": "0.10"}]
SALES = [{"region": "north", "amount": 1}, {"region": "north", "amount": 2}]

# Route of essentials with its query -> part of the expected answer. Other routes have their own tests.
GET: Mapping[str, Mapping[str, Any]] = {
    "/aiohttp": {"status": 200, "body": '{"status":"ok"}'},
    f"/asyncpg?text={TEXT}": {"words": {"box": 1, "fox": 2}},
    "/health": {"status": "ok"},
    "/neo4j": {"uri": NOTHING_LISTENS, "agent": None},
    "/psutil": {"uid": 1000},
    f"/psycopg2?text={TEXT}": {"words": {"box": 1, "fox": 2}},
    f"/tqdm?text={TEXT}": {"lengths": {"fox": 3, "box": 3}},
    "/uvicorn?text=A+fox": {"status": 200, "body": "A fox"},
}
POST: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "/numpy": (
        {"matrix": [[2, 1], [1, 3]], "vector": [3, 5]},
        {"solution": pytest.approx([0.8, 1.4])},
    ),
    "/pandas": (SALES, {"north": {"sum": 3, "mean": 1.5}}),
    "/pydantic": ({"lines": LINES}, {"lines": LINES, "total": "0.30"}),
    "/scipy": (
        {"first": [1, 2, 3], "second": [4, 5, 7]},
        {"p_value": pytest.approx(0.041914517)},
    ),
}
ALONE = {"/fastapi", "/prometheus", "/pyyaml", "/scikit-learn"}


@pytest.fixture(scope="module")
def packaged(
    shared_repository: Repository, echo: PackagedImage, ranker: PackagedImage
) -> dict[str, PackagedImage]:
    """All examples, packaged by one `pants package ::`, after echo and ranker were packaged separately."""
    return package_examples(shared_repository)


@pytest.fixture(scope="module")
def images(docker: Docker, packaged: dict[str, PackagedImage]) -> Iterator[dict[str, str]]:
    """The examples in Docker, except those of test_run.py, under names of this run alone."""
    names = ("drivers", "essentials", "nightly", "records")
    layouts = {name: packaged[name].folder / "oci" for name in names}
    with loaded_images(docker, program("skopeo"), layouts) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def network(docker: Docker) -> Iterator[str]:
    """A Docker network for the containers of this module alone."""
    created = docker("network", "create", f"slim-ray-image-test-{free_port()}")
    try:
        yield created
    finally:
        docker("network", "rm", created)


@pytest.fixture(scope="module")
def gateway(docker: Docker, network: str) -> str:
    """The address by which the containers reach this machine."""
    gateway = "{{(index .IPAM.Config 0).Gateway}}"
    return docker("network", "inspect", "--format", gateway, network)


@pytest.fixture(scope="module")
def postgresql(workspace: Path, gateway: str) -> Iterator[PostgreSQL]:
    """A PostgreSQL server that the containers can reach."""
    programs = postgresql_programs()
    assert programs
    server = PostgreSQL(programs, workspace / "postgresql", gateway)
    yield server
    server.close()


@pytest.fixture(scope="module")
def mariadb(workspace: Path, gateway: str) -> Iterator[MariaDB]:
    """A MariaDB server that the containers can reach."""
    server = MariaDB(
        program("mariadbd"),
        program("mariadb-install-db"),
        program("mariadb-admin"),
        workspace / "mariadb",
        gateway,
    )
    yield server
    server.close()


def restricted(network: str, environment: Mapping[str, str] = {}) -> list[str]:
    """Return the arguments of `docker run` for a container on the network, without rights."""
    variables = [
        argument for name, value in environment.items() for argument in ("--env", f"{name}={value}")
    ]
    return [*RESTRICTED, "--network", network, *variables]


@pytest.fixture(scope="module")
def essentials(
    docker: Docker, images: dict[str, str], network: str, postgresql: PostgreSQL
) -> Iterator[Service]:
    """The running service essentials, with a PostgreSQL and no Neo4j."""
    port = free_port()
    arguments = restricted(network, {**postgresql.environment, "NEO4J_URI": NOTHING_LISTENS})
    published = ("--publish", f"127.0.0.1:{port}:8000")
    with docker.running(*arguments, *published, images["essentials"]) as container:
        service = Service(docker, container, port)
        service.await_ready("/health")
        yield service


@pytest.fixture(scope="module")
def records(
    docker: Docker, images: dict[str, str], network: str, mariadb: MariaDB
) -> Iterator[Service]:
    """The running service records, with a MariaDB."""
    port = free_port()
    arguments = restricted(network, mariadb.environment)
    published = ("--publish", f"127.0.0.1:{port}:8000")
    with docker.running(*arguments, *published, images["records"]) as container:
        service = Service(docker, container, port)
        service.await_ready("/openapi.json")
        yield service


def json_lines(output: str) -> list[Any]:
    """Return the JSON objects that a job printed, without the lines that Ray logs."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


# --- All examples


def test_each_example_alone_is_the_same_image(
    packaged: dict[str, PackagedImage], shared_repository: Repository, workspace: Path
) -> None:
    """Packaged separately, in another folder by a fresh Pants, each example has the same digest as in a run of all."""
    copy = Repository.copy(workspace / "alone", shared_repository.environment, umask=0o022)
    try:
        digests = {
            name: copy.package(target).description["manifest_digest"]
            for name, target in EXAMPLES.items()
        }
    finally:
        copy.close()
    together = {name: image.description["manifest_digest"] for name, image in packaged.items()}
    assert digests == together


def test_echo_and_ranker_are_the_same_image_among_others(
    packaged: dict[str, PackagedImage], echo: PackagedImage, ranker: PackagedImage
) -> None:
    """Packaged separately, echo and ranker have the same digests as in a run of all."""
    for name, alone in (("echo", echo), ("ranker", ranker)):
        assert packaged[name].description["manifest_digest"] == alone.description["manifest_digest"]


def test_only_essentials_holds_what_it_proves(packaged: dict[str, PackagedImage]) -> None:
    """The image of essentials has the library of each route; services that import no database client have none."""
    assert packaged["essentials"].distributions >= PROVEN
    clients = {"asyncpg", "neo4j", "psycopg2-binary", "pymysql"}
    assert clients & packaged["records"].distributions == {"pymysql"}
    assert clients & packaged["essentials"].distributions == clients - {"pymysql"}
    for name in ("drivers", "echo", "nightly", "ranker"):
        assert clients.isdisjoint(packaged[name].distributions), name


# --- Essentials


@in_docker
@pytest.mark.parametrize("path", GET)
def test_essentials_answers_get(essentials: Service, path: str) -> None:
    """The answer to a GET has the library's result for the query."""
    answer = essentials.ask_json("GET", path)
    assert answer == {**answer, **GET[path]}


@in_docker
@pytest.mark.parametrize("path", POST)
def test_essentials_answers_post(essentials: Service, path: str) -> None:
    """The answer to a POST has the library's result for the body."""
    sent, expected = POST[path]
    answer = essentials.ask_json("POST", path, sent)
    assert answer == {**answer, **expected}


@in_docker
def test_essentials_converts_yaml(essentials: Service) -> None:
    """PyYAML reads the body, whatever its media type."""
    body = essentials.ask("POST", "/pyyaml", b"fox: [quick, 2]\nborn: 2026-10-01")
    assert json.loads(body) == {"document": {"fox": ["quick", 2], "born": "2026-10-01"}}


@in_docker
def test_essentials_ranks_by_the_shared_library(essentials: Service) -> None:
    """The model of libs.features is fitted, and ranks the articles of the request."""
    articles = [{"clicks": 2, "age_days": 9}, {"clicks": 900, "age_days": 0}]
    ranking = essentials.ask_json("POST", "/scikit-learn", articles)["ranking"]
    assert [article["clicks"] for article in ranking] == [900, 2]


@in_docker
def test_essentials_names_a_refused_connection(essentials: Service) -> None:
    """If no Neo4j listens, the error in the answer starts with "Connection refused"."""
    error = essentials.ask_json("GET", "/neo4j")["error"]
    assert error.startswith("Connection refused: Couldn't connect to 127.0.0.1:1 ")


@in_docker
def test_essentials_exposes_its_metrics(essentials: Service) -> None:
    """The counter of a route goes up by one with each request."""

    def count() -> float:
        lines = essentials.ask("GET", "/prometheus").decode().splitlines()
        (value,) = (
            line.rpartition(" ")[2]
            for line in lines
            if line.startswith('essentials_requests_total{route="/health"}')
        )
        return float(value)

    before = count()
    essentials.ask("GET", "/health")
    assert count() == before + 1


@in_docker
def test_every_route_of_essentials_is_asked(essentials: Service) -> None:
    """Every route that FastAPI lists has a test in this module."""
    asked = {path.partition("?")[0] for path in (*GET, *POST)} | ALONE
    assert set(essentials.ask_json("GET", "/fastapi")["routes"]) == asked
    assert "Traceback" not in essentials.log()


# --- Records


@in_docker
def test_records_are_kept(records: Service) -> None:
    """The table is created once; inserted records are listed in order, all of them or those with a word."""
    for _ in range(2):
        assert records.ask_json("PUT", "/table") == {"table": "records"}
    titles = ["A quick fox", "Über: 'boxes'; -- 🦊"]
    ids = [records.ask_json("POST", "/records", {"title": title})["id"] for title in titles]
    listed = records.ask_json("GET", "/records")
    assert [(row["id"], row["title"]) for row in listed] == list(zip(ids, titles))
    assert [row["id"] for row in records.ask_json("GET", "/records?word=fox")] == ids[:1]


# --- Jobs


@in_docker
def test_nightly_runs_its_driver(docker: Docker, images: dict[str, str], network: str) -> None:
    """The default command runs the rounds that `entry_point` sets, on a local Ray, and exits with 0."""
    with docker.running(*restricted(network), images["nightly"]) as container:
        exit_code, output = docker.finish(container)
    assert exit_code == 0, output
    *rounds, result = json_lines(output)
    assert [line["round"] for line in rounds] == [1, 2, 3]
    assert next(iter(result["ranks"])) == "an old favourite"
    assert sum(result["ranks"].values()) == pytest.approx(1, abs=1e-5)


@in_docker
def test_nightly_waits_for_a_head(docker: Docker, images: dict[str, str], network: str) -> None:
    """The script, started first, waits until the head in another container accepts clients, and uses this head."""
    image = images["nightly"]
    head = f"head-{free_port()}"
    waiting = restricted(network, {"RAY_HEAD": head, "RAY_HEAD_WAIT_SECONDS": "240"})
    with docker.running(*waiting, image, START, "--rounds", "2") as job:
        command = ("ray", "start", "--head", "--block", "--include-dashboard=false")
        alias = ("--network-alias", head)
        with docker.running(*restricted(network), *alias, image, *command) as container:
            exit_code, output = docker.finish(job)
            assert exit_code == 0, f"{output}\nThe head:\n{docker.output(container)}"
    assert f"The Ray head at {head}:10001 takes clients" in output
    assert f"ray://{head}:10001" in output
    assert [line["round"] for line in json_lines(output)[:-1]] == [1, 2]


@in_docker
def test_nightly_gives_up_without_a_head(
    docker: Docker, images: dict[str, str], network: str
) -> None:
    """If no head answers, the script exits with code 75 after its waiting time."""
    waiting = restricted(network, {"RAY_HEAD": "127.0.0.1:1", "RAY_HEAD_WAIT_SECONDS": "1"})
    with docker.running(*waiting, images["nightly"], START) as container:
        exit_code, output = docker.finish(container)
    assert exit_code == 75, output
    assert "No Ray head takes clients at 127.0.0.1:1 after" in output


@in_docker
def test_drivers_share_an_image(docker: Docker, images: dict[str, str], network: str) -> None:
    """Both drivers run in the image, which has no command of its own."""
    articles = json.dumps([{"clicks": 3, "age_days": 9}, {"clicks": 900, "age_days": 1}])
    script = (
        "python -m jobs.reports.common_words 'The quick fox' 'A fox in a box' && "
        f"echo '{articles}' | python -m jobs.reports.ranking"
    )
    with docker.running(*restricted(network), images["drivers"], "sh", "-c", script) as container:
        exit_code, output = docker.finish(container)
    assert exit_code == 0, output
    words, ranking = json_lines(output)
    assert words == {"common": {"fox": 2}}
    assert [article["clicks"] for article in ranking["ranking"]] == [900, 3]
