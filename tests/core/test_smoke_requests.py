"""Tests of core.check.smoke_requests."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import error_text

from slim_ray_image.core.check.smoke_requests import (
    EXAMPLE,
    JSON,
    TEXT,
    default_requests,
    in_new_spelling,
    parse_smoke_request,
    smoke_request,
)
from slim_ray_image.core.check.smoke_test import SmokeRequest

RANKED = '[{"clicks": 3}]'


@pytest.mark.parametrize(
    ("value", "request_"),
    [
        ("/health", SmokeRequest("GET", "/health")),
        ("/a?b=c%20d", SmokeRequest("GET", "/a?b=c%20d")),
        (smoke_request(path="/missing", status=404), SmokeRequest("GET", "/missing", status=404)),
        (smoke_request(path="/", contains="A fox"), SmokeRequest("GET", "/", contains="A fox")),
        (smoke_request(method="DELETE", path="/"), SmokeRequest("DELETE", "/")),
        (
            smoke_request(method="POST", path="/rank", json=[{"clicks": 3}], status=200),
            SmokeRequest("POST", "/rank", RANKED, JSON, 200),
        ),
        (smoke_request(method="POST", path="/", json={}), SmokeRequest("POST", "/", "{}", JSON)),
        (smoke_request(method="PUT", path="/", body="A fox"), SmokeRequest("PUT", "/", "A fox")),
        (smoke_request(method="PUT", path="/", body=""), SmokeRequest("PUT", "/", "", TEXT)),
        (
            smoke_request(method="POST", path="/", body="a,b\n1,2\n", media_type="text/csv"),
            SmokeRequest("POST", "/", "a,b\n1,2\n", "text/csv"),
        ),
        (SmokeRequest("GET", "/"), SmokeRequest("GET", "/")),
    ],
    ids=str,
)
def test_request_is_a_path_or_has_named_arguments(value: Any, request_: SmokeRequest) -> None:
    """A path is a GET; `json` is sent as JSON, and `body` as text or as its `media_type`."""
    assert parse_smoke_request(value) == request_
    assert hash(request_) == hash(parse_smoke_request(value))


POST: dict[str, Any] = {"method": "POST", "path": "/"}


@pytest.mark.parametrize(
    ("arguments", "subject", "fix"),
    [
        (
            {"path": "rank"},
            "must contain requests with a `path` that starts with '/' and has no blanks, "
            'but has smoke_request(path="rank").',
            'write the path as a URL has it, such as path="/rank?name=a%20fox"',
        ),
        ({}, "must contain requests with a `path` ", "write the path "),
        ({"path": "/a b"}, "must contain requests with a `path` ", "write the path "),
        ({"path": "/ä"}, "must contain requests with a `path` ", "write the path "),
        ({"path": ["/"]}, "must contain requests with a `path` ", "write the path "),
        (
            {"method": "get", "path": "/"},
            "must contain requests with a `method` of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, but ",
            "write one of these methods",
        ),
        (
            {"path": "/", "json": {}},
            "must contain requests that name a `method` if they have `json` or `body`, "
            'but has smoke_request(path="/", json={}).',
            'add method="POST", or the method that the application expects',
        ),
        (
            {**POST, "json": 1, "body": "a"},
            "must contain requests with at most one of `json` and `body`, but ",
            "remove one of them",
        ),
        (
            {**POST, "body": 1},
            "must contain requests whose `body` is a text, but ",
            "put the value",
        ),
        (
            {**POST, "contains": 1},
            "must contain requests whose `contains` is a text",
            "put the value",
        ),
        (
            {**POST, "json": 1, "media_type": "text/csv"},
            "must contain requests with a `media_type` only if they have a `body`, but ",
            "remove `media_type`, or send a text as `body`",
        ),
        (
            {**POST, "body": "a", "media_type": "text/csv\r\nHost: a"},
            "must contain requests whose `media_type` is printable ASCII, but ",
            'write one such as media_type="text/csv"',
        ),
        (
            {**POST, "status": 600},
            "must contain requests with a `status` from 100 to 599",
            "write a ",
        ),
        (
            {**POST, "status": "404"},
            "must contain requests with a `status` from ",
            "write a number ",
        ),
        (
            {**POST, "status": True},
            "must contain requests with a `status` from ",
            "write a number ",
        ),
        (
            {**POST, "json": {1}},
            "must contain requests whose `json` can be written as JSON (Object of type set is not JSON "
            'serializable), but has smoke_request(method="POST", path="/", json={1}).',
            "use lists, dictionaries, texts, numbers, True, False and None",
        ),
        ({**POST, "json": float("nan")}, "must contain requests whose `json` can be ", "use lists"),
        (
            {"path": "/", "state": 404},
            "must call `smoke_request` with the named arguments method, path, json, body, media_type, status, "
            'contains, but has smoke_request(path="/", state=404).',
            f"write {EXAMPLE}",
        ),
    ],
    ids=str,
)
def test_mistake_is_kept_for_the_field(arguments: dict[str, Any], subject: str, fix: str) -> None:
    """`smoke_request` raises no error; the field does, since it knows the target."""
    made = smoke_request(**arguments)
    error = error_text(lambda: parse_smoke_request(made))
    assert error.startswith(subject)
    assert f"\n\nTo fix, {fix}" in error


def test_arguments_without_names_are_refused() -> None:
    """Positional arguments are refused, and not guessed to be method and path."""
    error = error_text(lambda: parse_smoke_request(smoke_request("POST", "/rank", status=200)))
    assert 'but has smoke_request("POST", "/rank", status=200).' in error


def test_long_values_are_cut_in_errors() -> None:
    """An error shows only the start of a long value."""
    made = smoke_request(path="/", body="x" * 1_000_000)
    assert len(error_text(lambda: parse_smoke_request(made))) < 1000


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("GET /missing -> 404", 'smoke_request(path="/missing", status=404)'),
        ("/ -> 200 A quick fox", 'smoke_request(path="/", status=200, contains="A quick fox")'),
        (f"POST /rank {RANKED} -> 200 ranking", EXAMPLE),
        (f"POST /rank {RANKED}", f'smoke_request(method="POST", path="/rank", json={RANKED})'),
        ("/rank {}", 'smoke_request(method="POST", path="/rank", json={})'),
        ("DELETE / -> 204", 'smoke_request(method="DELETE", path="/", status=204)'),
        ("GET /health", '"/health"'),
        (" /health ", '"/health"'),
        (
            'POST / ["a -> 200 b"] -> 201 c',
            'smoke_request(method="POST", path="/", json=["a -> 200 b"], status=201, contains="c")',
        ),
        (
            "POST / [true, null]",
            'smoke_request(method="POST", path="/", json=[True, None])',
        ),
        ("POST / a->b", 'smoke_request(method="POST", path="/", body="a->b")'),
        (
            "POST / two\nlines -> 200",
            'smoke_request(method="POST", path="/", body="two\\nlines", status=200)',
        ),
    ],
    ids=str,
)
def test_old_spelling_is_refused_with_the_new_one(text: str, spelling: str) -> None:
    """The error for a request in the old spelling has the same request in the new spelling, to copy."""
    error = error_text(lambda: parse_smoke_request(text))
    assert error == (
        "must contain paths that start with '/' and have no blanks, and `smoke_request(...)`, "
        f"but has {text!r}.\n\nTo fix, write {spelling}."
    )
    made = eval(spelling, {"smoke_request": smoke_request})
    assert isinstance(parse_smoke_request(made), SmokeRequest)


@pytest.mark.parametrize(
    "text", ["health", "", "get /", "GET / -> 2000", "GET /health ->", "FETCH /", "GET http://a/"]
)
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    """A text that was no request in the old spelling either is refused with an example."""
    assert in_new_spelling(text) is None
    assert error_text(lambda: parse_smoke_request(text)).endswith(f"To fix, write {EXAMPLE}.")


def test_brackets_without_end_are_text() -> None:
    """An old body that is nested more deeply than Python reads JSON is shown as text."""
    shown = in_new_spelling(f"POST / {'[' * 100_000}{']' * 100_000}") or ""
    assert shown.startswith('smoke_request(method="POST", path="/", body="[[[')


def test_default_is_each_route() -> None:
    """By default each route prefix gets a GET; an application without a route gets none."""
    assert default_requests(["/", None, "/second"]) == (
        SmokeRequest("GET", "/"),
        SmokeRequest("GET", "/second"),
    )
