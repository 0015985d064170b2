"""How an index would answer a search, in words and numbers: each kind has its own rule (`VectorIndex.way`)."""

from __future__ import annotations

from typing import NamedTuple

GATHER_ROWS = (
    256  # up to here an exact float scan of accepted rows costs about what a scan of their codes does
)


class Way(NamedTuple):
    """How a search is answered, and why.

    strategy: one of those of `vego.planner.Plan`. ef: how hard it looks. visited: indexed slots whose distance was
    computed; None before it has run, and where nobody counts them.
    """

    strategy: str
    reason: str
    ef: int
    visited: int | None = None
