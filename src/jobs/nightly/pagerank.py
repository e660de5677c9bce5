"""PageRank in parts: the attention that each article gets if readers follow its links.

A round has two steps. Each part of the articles passes attention on to others (`passed_on`), and the sums of the
attention are the next ranks (`next_ranks`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Iterable, Mapping, Sequence

from libs.text.words import normalize

Links = Mapping[str, Sequence[str]]
Ranks = Mapping[str, float]

# Share of the readers who follow a link; the others start anew, at any article.
FOLLOWED = 0.85


def parse_links(text: str) -> dict[str, list[str]]:
    """Map each article to the articles that it links to, in the order of `text`: lines of `article -> article`.

    Raises:
        ValueError: If a line has another form.
    """
    links: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        source, arrow, target = (normalize(part) for part in line.partition("->"))
        if not (source and arrow and target):
            raise ValueError(f"Line {number} must be `article -> article`, but is {line!r}.")
        links.setdefault(source, []).append(target)
        links.setdefault(target, [])
    return links


def first_ranks(links: Links) -> dict[str, float]:
    """Return the ranks before any round, which are equal and add up to 1."""
    return {article: 1 / len(links) for article in links}


def split(links: Links, parts: int) -> list[dict[str, Sequence[str]]]:
    """Return `links` in at most `parts` parts of about the same size."""
    articles = list(links)
    count = min(parts, len(articles))
    return [{article: links[article] for article in articles[at::count]} for at in range(count)]


def passed_on(part: Links, ranks: Ranks) -> dict[str, float]:
    """Map each article to the attention that it gets from the articles in `part`.

    An article without links passes its attention on to all articles.
    """
    passed: dict[str, float] = defaultdict(float)
    for article, linked in part.items():
        targets = linked or list(ranks)
        for target in targets:
            passed[target] += ranks[article] / len(targets)
    return dict(passed)


def next_ranks(articles: Iterable[str], passed: Sequence[Ranks]) -> dict[str, float]:
    """Return the ranks after a round, from the attention that all parts have passed on."""
    names = list(articles)
    anew = (1 - FOLLOWED) / len(names)
    return {name: anew + FOLLOWED * sum(part.get(name, 0.0) for part in passed) for name in names}
