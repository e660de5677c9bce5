"""Tests of core.check.smoke_test."""

from __future__ import annotations

import pytest

from slim_ray_image.core.check.smoke_test import SmokeRequest


@pytest.mark.parametrize(
    ("request_", "status", "body", "problem"),
    [
        (SmokeRequest("GET", "/"), 200, "", None),
        (SmokeRequest("GET", "/"), 307, "", None),
        (SmokeRequest("GET", "/"), 404, "", "answered 404, not a status below 400"),
        (SmokeRequest("GET", "/"), 500, "", "answered 500, not a status below 400"),
        (SmokeRequest("GET", "/", status=404), 404, "", None),
        (SmokeRequest("GET", "/", status=200), 201, "", "answered 201, not 200"),
        (SmokeRequest("GET", "/", contains="fox"), 200, "a fox", None),
        (SmokeRequest("GET", "/", contains="fox"), 200, "a box", "answered without 'fox'"),
        (
            SmokeRequest("GET", "/", contains="fox"),
            500,
            "a fox",
            "answered 500, not a status below 400",
        ),
    ],
)
def test_answer_is_judged(request_: SmokeRequest, status: int, body: str, problem: object) -> None:
    """Without `status` any answer below 400 is right; with it, only that status is."""
    assert request_.problem(status, body) == problem
