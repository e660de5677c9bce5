"""Tests of the services' own functions; Ray is imported and never started."""

from __future__ import annotations

import pytest  # pants: no-infer-dep

from services.echo.app import DEFAULT_TEXT, echo
from services.ranker.app import parse_articles


def test_echo_answers_with_text_and_words() -> None:
    """The text is returned unchanged, and its words are chosen by libs.text."""
    assert echo(DEFAULT_TEXT) == {"echo": DEFAULT_TEXT, "words": ["hello", "ray", "serve"]}


def test_parse_articles_takes_a_list_of_objects() -> None:
    """A list of objects is accepted; libs.features checks their content."""
    assert parse_articles(b'[{"clicks": 3}]') == [{"clicks": 3}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "must be JSON"),
        (b"\xff", "must be JSON"),
        (b"{}", "must be a list of articles"),
        (b"[1]", "must be a list of articles"),
    ],
)
def test_parse_articles_refuses_anything_else(body: bytes, message: str) -> None:
    """The error describes the form that the body must have."""
    with pytest.raises(ValueError, match=message):
        parse_articles(body)
