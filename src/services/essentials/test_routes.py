"""Tests of the functions behind the routes, without Ray, HTTP clients or databases."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest  # pants: no-infer-dep
from fastapi import HTTPException
from pydantic import ValidationError

from services.essentials.computing import (
    LinearSystem,
    Sale,
    Samples,
    compare,
    rank_articles,
    solve,
    sum_by_region,
)
from services.essentials.databases import (
    ask_neo4j,
    count_words_in_a_table,
    count_words_in_one_query,
)
from services.essentials.documents import Order, measure_words, read_yaml, total
from services.essentials.serving import describe_process, serve_once
from services.essentials.settings import own_url, postgres_dsn


def closed_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# --- Computing


def test_solve_solves_linear_equations() -> None:
    """The system 2x + y = 3, x + 3y = 5 has its solution."""
    system = LinearSystem(matrix=[[2, 1], [1, 3]], vector=[3, 5])
    assert solve(system)["solution"] == pytest.approx([0.8, 1.4])


@pytest.mark.parametrize(
    ("matrix", "vector"),
    [
        pytest.param([[1, 1], [2, 2]], [1, 2], id="singular"),
        pytest.param([[1, 1]], [1], id="not square"),
        pytest.param([[1, 1], [1]], [1, 2], id="ragged"),
    ],
)
def test_solve_refuses_what_has_no_solution(matrix: Any, vector: Any) -> None:
    """A system without a solution is the client's error."""
    with pytest.raises(HTTPException, match="The system cannot be solved") as caught:
        solve(LinearSystem(matrix=matrix, vector=vector))
    assert caught.value.status_code == 422


@pytest.mark.parametrize("value", ["nan", "inf", 1e13])
def test_numbers_are_finite(value: Any) -> None:
    """A number whose result JSON could not represent is rejected."""
    with pytest.raises(ValidationError):
        Sale(region="north", amount=value)


def test_sum_by_region_groups() -> None:
    """Each region has the sum and the mean of its own sales; without sales, there are no regions."""
    sales = [("north", 1), ("south", 4), ("north", 2)]
    assert sum_by_region([Sale(region=region, amount=amount) for region, amount in sales]) == {
        "north": {"sum": 3, "mean": 1.5},
        "south": {"sum": 4, "mean": 4},
    }
    assert sum_by_region([]) == {}


def test_compare_tells_groups_apart() -> None:
    """Groups that overlap may differ by chance; groups that are far apart do not."""
    near = compare(Samples(first=[1, 2, 3, 4], second=[1, 2, 3, 5]))
    far = compare(Samples(first=[1, 2, 3, 4], second=[101, 102, 103, 105]))
    assert near["p_value"] > 0.5 > 0.001 > far["p_value"]
    assert far["statistic"] < 0


def test_compare_refuses_constants() -> None:
    """Groups without variance are rejected, since the test needs variance."""
    with pytest.raises(HTTPException, match="must vary"):
        compare(Samples(first=[1, 1], second=[2, 2]))


def test_rank_articles_ranks_and_refuses() -> None:
    """The ranking, and the error for a missing feature, come from libs.features."""
    ranking = rank_articles([{"clicks": 2, "age_days": 9}, {"clicks": 900, "age_days": 0}])
    assert [article["clicks"] for article in ranking["ranking"]] == [900, 2]
    with pytest.raises(HTTPException, match="`age_days` of article 0"):
        rank_articles([{"clicks": 2}])


# --- Databases


def test_word_counts_need_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a DSN, or if nothing listens there, the client gets the reason."""
    monkeypatch.delenv("POSTGRES_DSN", raising=False)
    with pytest.raises(HTTPException, match="POSTGRES_DSN is not set"):
        postgres_dsn()
    dsn = f"postgresql://somebody@127.0.0.1:{closed_port()}/postgres"
    with pytest.raises(HTTPException, match=r"PostgreSQL does not answer: .*Connect"):
        asyncio.run(count_words_in_one_query(dsn))
    with pytest.raises(HTTPException, match=r"PostgreSQL does not answer: .*refused"):
        count_words_in_a_table(dsn)


def test_neo4j_reports_a_refused_connection() -> None:
    """The answer for a closed port names the refused connection."""
    uri = f"bolt://127.0.0.1:{closed_port()}"
    answer = asyncio.run(ask_neo4j(uri))
    assert (answer.uri, answer.agent) == (uri, None)
    assert answer.error and answer.error.startswith("Connection refused: Couldn't connect to")


# --- Documents


def test_total_adds_the_lines() -> None:
    """The total is exact, and part of the answer."""
    lines = [
        {"product": "fox", "quantity": 3, "price": "0.10"},
        {"product": "box", "quantity": 1, "price": "2.50"},
    ]
    order = total(Order.model_validate({"lines": lines}))
    assert order.model_dump(mode="json")["total"] == "2.80"


def test_read_yaml_keeps_what_json_can_say() -> None:
    """Lists, mappings and numbers stay, and dates become texts."""
    assert read_yaml(b"fox: [quick, 2]\nborn: 2026-10-01") == {
        "fox": ["quick", 2],
        "born": "2026-10-01",
    }


@pytest.mark.parametrize("text", [b"[", b"\xff", b"&loop [*loop]", b".nan", b"? [a]\n: b"])
def test_read_yaml_refuses_the_rest(text: bytes) -> None:
    """Invalid YAML, and values that JSON cannot represent, are the client's error."""
    with pytest.raises(ValueError, match="must be a YAML document that JSON can hold"):
        read_yaml(text)


def test_measure_words_draws_a_progress_bar() -> None:
    """Each word is measured, and the progress bar reaches its end."""
    answer = measure_words("The quick fox")
    assert answer["lengths"] == {"quick": 5, "fox": 3}
    assert answer["progress"].startswith("words: 100%|##########| 2/2")


# --- Serving


def test_serve_once_answers_over_http() -> None:
    """The text comes back from the server that was started for it."""
    answer = asyncio.run(serve_once("grüße"))
    assert (answer["status"], answer["body"]) == (200, "grüße")


def test_describe_process_is_about_this_one() -> None:
    """The facts are the same as from the operating system."""
    facts = describe_process()
    assert (facts["pid"], facts["uid"]) == (os.getpid(), os.getuid())
    assert facts["parents"][0] == os.getppid()
    assert facts["resident_bytes"] > 10**6


def test_own_url_follows_ray_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is Ray Serve's default, or the one in the environment."""
    monkeypatch.delenv("RAY_SERVE_DEFAULT_HTTP_PORT", raising=False)
    assert own_url() == "http://127.0.0.1:8000"
    monkeypatch.setenv("RAY_SERVE_DEFAULT_HTTP_PORT", "8001")
    assert own_url() == "http://127.0.0.1:8001"
