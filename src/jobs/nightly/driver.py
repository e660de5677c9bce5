"""Ranks the articles of links.txt by PageRank, with a few Ray tasks per round.

From the directory src:

    python -m jobs.nightly.driver --rounds 3

The job starts its own Ray, or connects to the cluster that RAY_ADDRESS names. It prints one JSON object per round, with
the round's number and the change of the ranks; at the end, it prints the ranks, highest first.
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from typing import Iterator, Optional, Sequence

import ray

from jobs.nightly.pagerank import Links, first_ranks, next_ranks, parse_links, passed_on, split
from libs.cluster.connection import connected


def rank_by_rounds(links: Links, rounds: int, parts: int) -> Iterator[dict[str, float]]:
    """Yield the ranks after each round, computed by one Ray task for each part of the articles."""
    remote = ray.remote(passed_on)
    ranks = first_ranks(links)
    for _ in range(rounds):
        tasks = [remote.remote(part, ranks) for part in split(links, parts)]
        ranks = next_ranks(links, ray.get(tasks))
        yield ranks


def run(rounds: int, parts: int) -> None:
    """Print the change of the ranks in each round, and the ranks after the last."""
    links = parse_links(files("jobs.nightly").joinpath("links.txt").read_text("utf-8"))
    ranks = first_ranks(links)
    for number, ranked in enumerate(rank_by_rounds(links, rounds, parts), start=1):
        change = sum(abs(ranked[article] - ranks[article]) for article in links)
        print(json.dumps({"round": number, "change": round(change, 6)}), flush=True)
        ranks = ranked
    best_first = sorted(ranks, key=lambda article: -ranks[article])
    print(json.dumps({"ranks": {name: round(ranks[name], 6) for name in best_first}}), flush=True)


def parse_arguments(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="driver.py", description="Rank articles by PageRank.")
    parser.add_argument("--rounds", type=int, default=10, help="how many rounds (default: 10)")
    parser.add_argument("--parts", type=int, default=2, help="how many tasks a round (default: 2)")
    found = parser.parse_args(arguments)
    if found.rounds < 1 or found.parts < 1:
        parser.error("--rounds and --parts must be at least 1")
    return found


if __name__ == "__main__":
    options = parse_arguments()
    with connected():
        run(options.rounds, options.parts)
