"""Fruit: what the shop sells. One of the two applications of rayservice.yaml, a deployment that is bound as it is.

From the directory src:

    serve run services.shop.fruit:app
    curl http://127.0.0.1:8000/
"""

from __future__ import annotations

from ray import serve
from starlette.requests import Request

from libs.catalog.goods import PRICES


def fruit() -> list[str]:
    """Return what there is, in the order of the alphabet."""
    return sorted(PRICES)


@serve.deployment
class FruitStand:
    """Answers with what there is."""

    async def __call__(self, request: Request) -> list[str]:
        return fruit()


app = FruitStand.bind()  # type: ignore[attr-defined]  # mypy ignores what class decorators return
