"""A model of the articles that people read, and the ranking of articles by it."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from libs.features.articles import feature_frame

# A real service would load these from a file: clicks and age of past articles, and whether
# they were read.
HISTORY = pd.DataFrame(
    {
        "clicks": [900, 650, 400, 700, 80, 30, 5, 120],
        "age_days": [1, 3, 2, 30, 1, 14, 2, 90],
        "was_read": [1, 1, 1, 1, 0, 0, 0, 0],
    }
)


def fit_model(history: pd.DataFrame = HISTORY) -> Pipeline:
    """Return a model, fitted to `history`, of the probability that an article is read."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(feature_frame(history.to_dict("records")), history["was_read"])


def rank(model: Pipeline, articles: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the articles, the likeliest to be read first, each with its `score` from 0 to 1.

    Raises:
        ValueError: If an article lacks a feature of the model (see `feature_frame`).
    """
    scores = model.predict_proba(feature_frame(articles))[:, 1]
    best_first = np.argsort(-scores, kind="stable")
    return [{**articles[row], "score": round(float(scores[row]), 3)} for row in best_first]
