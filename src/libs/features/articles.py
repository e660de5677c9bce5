"""Articles as rows of numbers, ready for a model."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np
import pandas as pd

COLUMNS = ("clicks", "age_days")
LARGEST = 10**12


def feature_frame(articles: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row of features for each article, in the order given.

    Both features are on a logarithmic scale: the step from 10 clicks to 100 counts about as much as
    the one from 100 to 1000.

    Args:
        articles: At least one. Each has `clicks` and `age_days`, numbers from 0 to `LARGEST`.

    Raises:
        ValueError: If there is no article, or if an article lacks a value or has a value out of range.
    """
    if not articles:
        raise ValueError("There must be at least one article.")
    for position, article in enumerate(articles):
        for column in COLUMNS:
            value: Any = article.get(column)
            if type(value) not in (int, float) or not 0 <= value <= LARGEST:
                raise ValueError(
                    f"`{column}` of article {position} must be a number from 0 to {LARGEST}, "
                    f"but was {value!r}."
                )
    return np.log1p(pd.DataFrame(articles, columns=list(COLUMNS), dtype=float))
