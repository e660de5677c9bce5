"""Prices: returns the price of a good. One of the two applications of rayservice.yaml, built from its `args`.

From the directory src:

    serve run services.shop.prices:build currency=EUR discount=0.1
    curl 'http://127.0.0.1:8000/?name=apple'
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field
from ray import serve
from ray.serve import Application
from starlette.requests import Request
from starlette.responses import JSONResponse

from libs.catalog.goods import price_of


class PricesArguments(BaseModel):
    """The arguments that `args` may contain."""

    currency: str = "EUR"
    discount: float = Field(default=0, ge=0, le=1)


def quote(name: str, arguments: PricesArguments) -> dict[str, str]:
    """Return the price of a good as text, since JSON's numbers are not decimal.

    Raises:
        LookupError: If the shop does not sell it.
    """
    price = price_of(name, Decimal(str(arguments.discount)))
    return {"name": name, "price": f"{price} {arguments.currency}"}


@serve.deployment
class Prices:
    """Answers with the price of the good in the query; by default, of an apple."""

    def __init__(self, arguments: PricesArguments) -> None:
        self.arguments = arguments

    async def __call__(self, request: Request) -> JSONResponse:
        try:
            return JSONResponse(quote(request.query_params.get("name", "apple"), self.arguments))
        except LookupError as error:
            return JSONResponse({"error": str(error)}, status_code=404)


def build(arguments: dict[str, Any]) -> Application:
    """Return the application for the `args` of the config.

    Ray Serve converts `args` to the annotated model, but not if annotations are postponed, as in this module.
    """
    checked = PricesArguments(**arguments)
    return Prices.bind(checked)  # type: ignore[attr-defined]  # mypy ignores what class decorators return
