"""Tests of core.smoke_requests."""

from __future__ import annotations

import pytest
from conftest import error_text

from slim_ray_image.core.smoke_requests import (
    SmokeRequest,
    default_requests,
    parse_smoke_request,
)

RANKED = '[{"clicks": 3}]'


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("/health", SmokeRequest("GET", "/health")),
        ("  GET /a?b=c%20d ", SmokeRequest("GET", "/a?b=c%20d")),
        ("GET /missing -> 404", SmokeRequest("GET", "/missing", status=404)),
        ("/ -> 200 A quick fox", SmokeRequest("GET", "/", status=200, text="A quick fox")),
        (f"POST /rank {RANKED}", SmokeRequest("POST", "/rank", RANKED)),
        (f"POST /rank {RANKED} -> 200", SmokeRequest("POST", "/rank", RANKED, 200)),
        ("PUT / a -> b -> 201 c -> d", SmokeRequest("PUT", "/", "a -> b", 201, "c -> d")),
        (
            "GET /health  ->  200  healthy",
            SmokeRequest("GET", "/health", status=200, text="healthy"),
        ),
        ('POST / ["a -> 200 b"]', SmokeRequest("POST", "/", '["a -> 200 b"]')),
        ('POST / ["a -> 200 b"] -> 201 c', SmokeRequest("POST", "/", '["a -> 200 b"]', 201, "c")),
        ("POST / a->b", SmokeRequest("POST", "/", "a->b")),
        ("POST / two\nlines", SmokeRequest("POST", "/", "two\nlines")),
        ("DELETE / -> 204", SmokeRequest("DELETE", "/", status=204)),
    ],
    ids=str,
)
def test_request_is_method_path_body_and_answer(text: str, request_: SmokeRequest) -> None:
    """All but the path may be left out; an arrow is part of the body unless a status follows it, and of JSON always."""
    assert parse_smoke_request(text) == request_


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("health", "must hold HTTP requests, but has 'health'."),
        ("", "must hold HTTP requests, but has ''."),
        ("get /", "must hold HTTP requests, but has 'get /'."),
        ("GET / -> 2000", "must hold HTTP requests, but has 'GET / -> 2000'."),
        ("PUT / a -> 99", "must hold HTTP requests, but has 'PUT / a -> 99'."),
        ("POST / [1] -> OK", "must hold HTTP requests, but has 'POST / [1] -> OK'."),
        ("GET /health ->", "must hold HTTP requests, but has 'GET /health ->'."),
        ("GET http://127.0.0.1/", "must hold HTTP requests, but has 'GET http://127.0.0.1/'."),
        ("FETCH /", "must hold HTTP requests with a method of DELETE, GET, HEAD, OPTIONS, "),
        ("/rank {}", "must hold HTTP requests that name their method where they have a body, "),
    ],
    ids=str,
)
def test_other_texts_are_refused(text: str, start: str) -> None:
    """What is no request, or one that may mean two things, is refused, and the form is told."""
    error = error_text(lambda: parse_smoke_request(text))
    assert error.startswith(start)
    assert "To fix, write `[METHOD ]PATH[ BODY][ -> STATUS[ TEXT]]`, as '/health', " in error


@pytest.mark.parametrize(
    ("text", "status", "body", "problem"),
    [
        ("/", 200, "", None),
        ("/", 307, "", None),
        ("/", 404, "", "answered 404, not a status below 400"),
        ("/", 500, "", "answered 500, not a status below 400"),
        ("/ -> 404", 404, "", None),
        ("/ -> 200", 201, "", "answered 201, not 200"),
        ("/ -> 200 fox", 200, "a fox", None),
        ("/ -> 200 fox", 200, "a box", "answered without 'fox'"),
    ],
    ids=str,
)
def test_answer_is_judged(text: str, status: int, body: str, problem: object) -> None:
    """Without a status any success counts, redirects included; with one, that alone."""
    assert parse_smoke_request(text).problem(status, body) == problem


def test_body_has_the_media_type_of_what_it_is() -> None:
    """What is JSON is sent as JSON, anything else as text."""
    assert parse_smoke_request(f"POST / {RANKED}").media_type == "application/json"
    assert parse_smoke_request("POST / A fox").media_type == "text/plain; charset=utf-8"


def test_default_is_each_route() -> None:
    """Each application is asked at its route prefix; one without HTTP is not."""
    assert default_requests(["/", None, "/second"]) == (
        SmokeRequest("GET", "/"),
        SmokeRequest("GET", "/second"),
    )


def test_brackets_without_end_are_text() -> None:
    """A body that is nested more deeply than Python reads JSON is sent as it is."""
    body = "[" * 100_000 + "]" * 100_000
    assert parse_smoke_request(f"POST / {body}").media_type != "application/json"
