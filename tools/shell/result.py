"""What a statement gives: named columns and rows that come one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of Python values under `names`; `note` is said after them to people, never to scripts."""

    names: Sequence[str]
    rows: Iterable[Row] = field(repr=False)
    note: str = ""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


def facts(pairs: Iterable[tuple[str, Any]]) -> Result:
    """A result of names and values."""
    return Result(["name", "value"], list(pairs))
