"""Ranker: sorts articles by the probability that people read them.

From the directory src:

    serve run services.ranker.app:app
    curl http://127.0.0.1:8000/
    curl http://127.0.0.1:8000/ --data '[{"clicks": 3, "age_days": 9}]'
"""

from __future__ import annotations

import json
from typing import Any

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from libs.features.ranking import fit_model, rank

DEFAULT_ARTICLES = [
    {"title": "An old favourite", "clicks": 800, "age_days": 60},
    {"title": "Breaking news", "clicks": 500, "age_days": 0},
    {"title": "A quiet corner", "clicks": 4, "age_days": 7},
]


def parse_articles(body: bytes) -> list[dict[str, Any]]:
    """Return the articles in `body`, a JSON list of objects.

    Raises:
        ValueError: If `body` has another form.
    """
    try:
        articles = json.loads(body)
    except ValueError as error:
        raise ValueError(f"The body must be JSON: {error}.") from error
    if not isinstance(articles, list) or not all(isinstance(item, dict) for item in articles):
        raise ValueError("The body must be a list of articles, each with `clicks` and `age_days`.")
    return articles


@serve.deployment
class Ranker:
    """Answers GET with a ranking of examples, and POST with a ranking of the articles in the body."""

    def __init__(self) -> None:
        self.model = fit_model()

    async def __call__(self, request: Request) -> JSONResponse:
        try:
            is_post = request.method == "POST"
            articles = parse_articles(await request.body()) if is_post else DEFAULT_ARTICLES
            return JSONResponse({"ranking": rank(self.model, articles)})
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)


app = Ranker.bind()  # type: ignore[attr-defined]  # mypy ignores what class decorators return
