"""Tests of the shop's own functions; Ray is imported and never started."""

from __future__ import annotations

import pytest  # pants: no-infer-dep
from pydantic import ValidationError

from services.shop.fruit import fruit
from services.shop.prices import PricesArguments, quote


def test_fruit_is_sorted() -> None:
    """The answer does not depend on the order of the catalogue."""
    assert fruit() == ["apple", "banana", "cherry"]


def test_quote_has_the_discount_and_the_currency() -> None:
    """Each argument of the builder changes the quote."""
    arguments = PricesArguments(currency="EUR", discount=0.1)
    assert quote("cherry", arguments) == {"name": "cherry", "price": "4.41 EUR"}


def test_discount_is_a_part() -> None:
    """A discount above the whole price is rejected."""
    with pytest.raises(ValidationError, match="discount"):
        PricesArguments(discount=1.1)
