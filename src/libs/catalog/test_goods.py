"""Tests of the catalogue."""

from __future__ import annotations

from decimal import Decimal

import pytest  # pants: no-infer-dep

from libs.catalog.goods import price_of


def test_price_is_rounded_to_cents() -> None:
    """A discount leaves whole cents, with halves rounded up."""
    assert price_of("apple") == Decimal("0.30")
    assert price_of("banana", Decimal("0.1")) == Decimal("0.23")


def test_good_that_is_not_sold_is_an_error() -> None:
    """The error lists the goods that the shop sells."""
    with pytest.raises(LookupError, match="no 'pear', but apple, banana, cherry"):
        price_of("pear")
