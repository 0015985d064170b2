"""Columns whose rows are made when they are asked for: what is larger than memory on its way into a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lance_fmt.column import Array, Column

if TYPE_CHECKING:
    from lance_fmt.datatype import DataType


class ComputedColumn(Column):
    """A column of numbers or vectors without nulls, of `rows` rows; `make(start, stop)` gives the array of some.

    A column keeps what it has made. Its slices are columns of their own, so a writer, which takes a page at a time,
    never has all rows in memory. `make` may be called more than once for the same rows.
    """

    __slots__ = ("_first", "_made", "_make", "_rows")

    def __init__(
        self,
        type: DataType,  # noqa: A002
        rows: int,
        make: Callable[[int, int], Array],
        first: int = 0,
    ) -> None:
        self.type = type
        self.offsets = None
        self.validity = None
        self._rows = rows
        self._make = make
        self._first = first
        self._made: Array | None = None

    @property
    def values(self) -> Array:  # type: ignore[override]
        """All rows."""
        if self._made is None:
            self._made = self._make(self._first, self._first + self._rows)
        return self._made

    def __len__(self) -> int:
        return self._rows

    @property
    def nbytes(self) -> int:
        """What the rows take in memory once they are made."""
        return self._rows * self.type.stride

    def slice(self, start: int, stop: int) -> ComputedColumn:
        """Rows `start..stop`, not made yet."""
        return ComputedColumn(self.type, stop - start, self._make, self._first + start)
