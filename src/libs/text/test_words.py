"""Tests of libs.text."""

from __future__ import annotations

import pytest  # pants: no-infer-dep

from libs.text.words import meaningful_words, normalize, stopwords


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Ray  Serve\n", "ray serve", id="case and spaces"),
        pytest.param("STRASSE Straße", "strasse strasse", id="case folding"),
        pytest.param("ﬁle e\u0301te\u0301", "file été", id="one Unicode form"),
        pytest.param(" ", "", id="nothing"),
    ],
)
def test_normalize(text: str, expected: str) -> None:
    """Texts that look the same to a reader become equal."""
    assert normalize(text) == expected


def test_stopwords_come_from_the_resource() -> None:
    """The stop words are read from the package's file, one word per line."""
    assert {"the", "and"} <= stopwords()
    assert all(word == normalize(word) for word in stopwords())


def test_meaningful_words_keep_their_order() -> None:
    """Stop words and punctuation are removed; the other words stay, in order, repeated or not."""
    text = "The fox, the quick fox, is in THIS box!"
    assert meaningful_words(text) == ["fox", "quick", "fox", "box"]
