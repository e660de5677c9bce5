"""Tests of libs.features."""

from __future__ import annotations

import math
from typing import Any

import pytest  # pants: no-infer-dep

from libs.features.articles import feature_frame
from libs.features.ranking import fit_model, rank

FRESH = {"title": "Fresh", "clicks": 500, "age_days": 0}
OLD = {"title": "Old", "clicks": 500, "age_days": 90}
UNSEEN = {"title": "Unseen", "clicks": 2, "age_days": 0}


def test_feature_frame_has_one_logarithmic_row_per_article() -> None:
    """Rows keep the order of the articles, and other keys of an article are left out."""
    frame = feature_frame([FRESH, OLD])
    assert list(frame.columns) == ["clicks", "age_days"]
    assert frame["clicks"].tolist() == pytest.approx([math.log1p(500)] * 2)
    assert frame["age_days"].tolist() == pytest.approx([0, math.log1p(90)])


@pytest.mark.parametrize("value", [None, "9", True, -1, math.nan, math.inf, 10**400], ids=str)
def test_feature_frame_refuses_what_is_no_number(value: Any) -> None:
    """The error names the article and the feature."""
    with pytest.raises(ValueError, match="`clicks` of article 1 must be a number from 0 to"):
        feature_frame([FRESH, {"clicks": value, "age_days": 1}])


def test_feature_frame_refuses_no_articles() -> None:
    """An empty list is rejected."""
    with pytest.raises(ValueError, match="at least one article"):
        feature_frame([])


def test_rank_puts_the_likeliest_first() -> None:
    """More clicks rank higher, and so does the fresher of two articles with equal clicks."""
    ranking = rank(fit_model(), [UNSEEN, OLD, FRESH])
    assert [article["title"] for article in ranking] == ["Fresh", "Old", "Unseen"]
    assert all(0 <= article["score"] <= 1 for article in ranking)
