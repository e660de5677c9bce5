"""Fruit: lists the goods of the shop. One of the two applications of rayservice.yaml, bound in this module.

From the directory src:

    serve run services.shop.fruit:app
    curl http://127.0.0.1:8000/
"""

from __future__ import annotations

from ray import serve
from starlette.requests import Request

from libs.catalog.goods import PRICES


def fruit() -> list[str]:
    """Return the names of the goods, in alphabetical order."""
    return sorted(PRICES)


@serve.deployment
class FruitStand:
    """Answers with the names of the goods."""

    async def __call__(self, request: Request) -> list[str]:
        return fruit()


app = FruitStand.bind()  # type: ignore[attr-defined]  # mypy ignores what class decorators return
