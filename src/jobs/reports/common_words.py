"""Prints the words that texts have in common, with one Ray task per text.

From the directory src:

    python -m jobs.reports.common_words 'The quick fox' 'A fox in a box'
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Sequence

import ray

from libs.cluster.connection import connected
from libs.text.words import meaningful_words


@ray.remote
def words_of(text: str) -> set[str]:
    """Return the distinct words of a text."""
    return set(meaningful_words(text))


def common_words(texts: Sequence[str]) -> dict[str, int]:
    """Map each word that is in two or more of the texts to the number of these texts."""
    counts = Counter(
        word for words in ray.get([words_of.remote(t) for t in texts]) for word in words
    )
    return {word: count for word, count in sorted(counts.items()) if count > 1}


if __name__ == "__main__":
    with connected():
        print(json.dumps({"common": common_words(sys.argv[1:])}), flush=True)
