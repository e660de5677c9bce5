"""The English of docstrings and comments: a measure of how much a reader has to decode."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import Iterator

import pytest
from conftest import ROOT

FOLDERS = ("pants-plugins", "tests")
# Per 1,000 words. A clause with "what" leaves the noun to the reader; pip's sources have 0.7, those of Pants 2.3.
MOST_WHATS = 1.0
# Words that no summary starts with: a summary starts with a verb or a noun.
OPENERS = {"As", "It", "Of", "That", "Theirs", "Those", "What"}


def sources() -> list[Path]:
    paths = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in paths if "/." not in str(path.relative_to(ROOT)))


def docstrings(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""


def comments(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def rate_of(word: str, texts: Iterator[str]) -> float:
    """Return how often a word occurs per 1,000 words."""
    words = [found.lower() for text in texts for found in re.findall(r"[A-Za-z']+", text)]
    return 1000 * words.count(word) / len(words)


def test_sources_are_found() -> None:
    """The tests below have something to read."""
    names = {path.name for path in sources()}
    assert {"build_image.py", "report.py", "test_english.py"} <= names


def test_what_is_rare() -> None:
    """The rate does not rise."""
    texts = (
        text
        for path in sources()
        for source in [path.read_text(encoding="utf-8")]
        for text in (*docstrings(source), *comments(source))
    )
    assert rate_of("what", texts) <= MOST_WHATS


def test_summaries_start_with_a_verb_or_a_noun() -> None:
    """None starts with a pronoun or a bare genitive."""
    wrong = [
        f"{path.relative_to(ROOT)}: {docstring.splitlines()[0]}"
        for path in sources()
        for docstring in docstrings(path.read_text(encoding="utf-8"))
        if docstring and docstring.split()[0].rstrip(",") in OPENERS
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "rate"),
    [("What what", 1000.0), ("one two three four", 0.0), ("what whatever it's x", 250.0)],
)
def test_rate_is_that_of_whole_words(text: str, rate: float) -> None:
    """The measure itself."""
    assert rate_of("what", iter([text])) == rate
