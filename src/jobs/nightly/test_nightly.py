"""Tests of the job; Ray is imported and never started."""

from __future__ import annotations

from importlib.resources import files

import pytest  # pants: no-infer-dep

from jobs.nightly.driver import parse_arguments
from jobs.nightly.pagerank import first_ranks, next_ranks, parse_links, passed_on, split

LINKS = {"a": ["b", "c"], "b": ["c"], "c": ["a"], "alone": []}


def test_parse_links_reads_lines() -> None:
    """Articles are normalized, and an article without a line of its own has no links."""
    text = "# A comment\n\nThe  Fox -> a box\nthe fox->Letters\n"
    assert parse_links(text) == {"the fox": ["a box", "letters"], "a box": [], "letters": []}


@pytest.mark.parametrize("line", ["fox", "fox ->", "-> box"])
def test_parse_links_refuses_other_lines(line: str) -> None:
    """The error names the number of the line."""
    with pytest.raises(ValueError, match="Line 2 must be `article -> article`, but is"):
        parse_links(f"a -> b\n{line}\n")


def test_links_of_the_job_can_be_parsed() -> None:
    """The file that goes into the image is valid."""
    assert len(parse_links(files("jobs.nightly").joinpath("links.txt").read_text("utf-8"))) == 4


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_ranks_do_not_depend_on_the_number_of_parts(parts: int) -> None:
    """A round gives the same ranks for any number of parts, and the ranks add up to 1."""
    ranks = first_ranks(LINKS)
    for _ in range(3):
        ranks = next_ranks(LINKS, [passed_on(part, ranks) for part in split(LINKS, parts)])
    assert sum(ranks.values()) == pytest.approx(1)
    assert sorted(ranks, key=lambda article: -ranks[article]) == ["c", "a", "b", "alone"]
    assert ranks["c"] == pytest.approx(0.379, abs=0.001)


def test_split_leaves_no_part_empty() -> None:
    """There are no more parts than articles, and each article is in one part."""
    parts = split(LINKS, 9)
    assert len(parts) == len(LINKS)
    assert sorted(article for part in parts for article in part) == sorted(LINKS)


def test_arguments_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """A number of rounds below 1 is rejected."""
    assert parse_arguments(["--rounds", "3"]).rounds == 3
    with pytest.raises(SystemExit):
        parse_arguments(["--rounds", "0"])
    assert "must be at least 1" in capsys.readouterr().err
