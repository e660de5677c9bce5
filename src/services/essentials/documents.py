"""Routes that read the client's documents: pydantic, pyyaml and tqdm."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field, PositiveInt, computed_field
from tqdm import tqdm

from libs.text.words import meaningful_words
from services.essentials.metrics import count_request

router = APIRouter(dependencies=[Depends(count_request)])

Price = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]


class OrderLine(BaseModel):
    """A quantity of one product, with its price."""

    product: str = Field(min_length=1)
    quantity: PositiveInt
    price: Price


class Order(BaseModel):
    """A customer's order."""

    lines: list[OrderLine] = Field(min_length=1)

    @computed_field  # type: ignore[prop-decorator]  # pydantic requires a property below the decorator
    @property
    def total(self) -> Decimal:
        """The price of all lines."""
        return sum((line.quantity * line.price for line in self.lines), Decimal())


@router.post("/pydantic")
def total(order: Order) -> Order:
    """Return an order with its total, checked and computed by pydantic models."""
    return order


def read_yaml(text: bytes) -> Any:
    """Return the YAML document `text` as values that JSON can represent; dates become texts.

    Raises:
        ValueError: If `text` is not valid YAML, or has a value that JSON cannot represent.
    """
    try:
        document = yaml.safe_load(text)
        return json.loads(json.dumps(document, default=str, allow_nan=False))
    except (yaml.YAMLError, TypeError, RecursionError, ValueError) as error:
        raise ValueError(f"The body must be a YAML document that JSON can hold: {error}") from error


@router.post("/pyyaml")
async def convert_yaml(request: Request) -> dict[str, Any]:
    """Return the YAML document in the body as JSON, read by PyYAML."""
    try:
        return {"document": read_yaml(await request.body())}
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


@router.get("/tqdm")
def measure_words(text: str = "The quick brown fox") -> dict[str, Any]:
    """Return the lengths of a text's words, and the last line of the progress bar that tqdm drew meanwhile."""
    bar = io.StringIO()
    words = tqdm(meaningful_words(text), desc="words", file=bar, ascii=True)
    lengths = {word: len(word) for word in words}
    return {"lengths": lengths, "progress": bar.getvalue().rpartition("\r")[2].strip()}
