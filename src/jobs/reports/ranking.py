"""Prints a ranking of the articles on standard input, a JSON list, by a model that a Ray task fits.

From the directory src:

    echo '[{"clicks": 3, "age_days": 9}, {"clicks": 900, "age_days": 1}]' | python -m jobs.reports.ranking
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ray

from libs.cluster.connection import connected
from libs.features.ranking import fit_model, rank


@ray.remote
def ranked(articles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the articles, the likeliest to be read first."""
    return rank(fit_model(), articles)


if __name__ == "__main__":
    with connected():
        print(json.dumps({"ranking": ray.get(ranked.remote(json.load(sys.stdin)))}), flush=True)
