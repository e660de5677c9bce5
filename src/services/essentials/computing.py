"""Routes that compute: numpy, pandas, scipy and scikit-learn."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import pandas as pd
from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field
from scipy import stats

from libs.features.ranking import fit_model, rank
from services.essentials.metrics import count_request

router = APIRouter(dependencies=[Depends(count_request)])

# Neither NaN nor infinite, and so small that sums and products are finite too.
Number = Annotated[float, Field(ge=-1e12, le=1e12)]


class LinearSystem(BaseModel):
    """A system of linear equations: `matrix` times the solution is `vector`."""

    matrix: list[list[Number]] = Field(min_length=1)
    vector: list[Number]


class Sale(BaseModel):
    """An amount that was sold in a region."""

    region: str
    amount: Number


class Samples(BaseModel):
    """Measurements of two groups."""

    first: list[Number] = Field(min_length=2)
    second: list[Number] = Field(min_length=2)


@router.post("/numpy")
def solve(system: LinearSystem) -> dict[str, list[float]]:
    """Solve a system of linear equations with numpy."""
    try:
        solution = np.linalg.solve(np.array(system.matrix), np.array(system.vector))
    except ValueError as error:  # numpy's error for a singular matrix is a ValueError too
        raise HTTPException(422, f"The system cannot be solved: {error}.") from error
    return {"solution": solution.tolist()}


@router.post("/pandas")
def sum_by_region(sales: list[Sale]) -> dict[str, dict[str, float]]:
    """Return the total and the mean of the sales of each region, grouped by pandas."""
    frame = pd.DataFrame([sale.model_dump() for sale in sales], columns=["region", "amount"])
    regions = frame.groupby("region")["amount"].agg(["sum", "mean"])
    return regions.to_dict("index")


@router.post("/scipy")
def compare(samples: Samples) -> dict[str, float]:
    """Return, by scipy, how likely two groups differ by chance as much as they do: Welch's t-test."""
    if len({*samples.first}) == len({*samples.second}) == 1:
        raise HTTPException(422, "At least one of the groups must vary.")
    result = stats.ttest_ind(samples.first, samples.second, equal_var=False)
    p_value = float(result.pvalue)
    if not math.isfinite(p_value):
        raise HTTPException(422, "The groups vary too little to compare.")
    return {"statistic": float(result.statistic), "p_value": p_value}


@router.post("/scikit-learn")
def rank_articles(articles: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the articles, the likeliest to be read first, by the scikit-learn model of libs.features."""
    try:
        return {"ranking": rank(fit_model(), articles)}
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
