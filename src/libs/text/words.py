"""The words of a text that carry its meaning."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files


def normalize(text: str) -> str:
    """Return `text` in lower case, in one Unicode form, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@cache
def stopwords() -> frozenset[str]:
    """Return the words that carry too little meaning to keep, from the file stopwords.txt."""
    return frozenset(files("libs.text").joinpath("stopwords.txt").read_text("utf-8").split())


def meaningful_words(text: str) -> list[str]:
    """Return the normalized words of `text` in their order, without stop words."""
    return [word for word in re.findall(r"\w+", normalize(text)) if word not in stopwords()]
