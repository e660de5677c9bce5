"""The goods that the shop sells, and their prices."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Mapping

PRICES: Mapping[str, Decimal] = {
    "apple": Decimal("0.30"),
    "banana": Decimal("0.25"),
    "cherry": Decimal("4.90"),
}
_CENT = Decimal("0.01")


def price_of(name: str, discount: Decimal = Decimal(0)) -> Decimal:
    """Return the price of a good, rounded to cents.

    Args:
        discount: Share of the price that is subtracted, from 0 to 1.

    Raises:
        LookupError: If the shop does not sell it.
    """
    if name not in PRICES:
        raise LookupError(f"The shop sells no {name!r}, but {', '.join(sorted(PRICES))}.")
    return (PRICES[name] * (1 - discount)).quantize(_CENT, ROUND_HALF_UP)
