"""How long a bar is: from zero where figures are alike, by logarithm where one would hide the others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import log

WIDE = 30.0


def is_wide(values: Collection[float]) -> bool:
    """Whether positive values differ so much that only a logarithmic scale shows them all."""
    return max(values) / min(values) > WIDE


def lengths(values: Collection[float]) -> Callable[[float], float]:
    """From a value to the share of the longest bar, in (0, 1]."""
    largest = max(values)
    if not is_wide(values):
        return lambda value: value / largest
    least = min(values) / 2
    return lambda value: log(value / least) / log(largest / least)
