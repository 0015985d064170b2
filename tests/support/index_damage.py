"""Changes to the columns and the metadata of an index, for files that are whole but say what cannot be.

A change is a function of the columns by name and the metadata, which it changes in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lance_fmt import Column

Change = Callable[[dict[str, Column], dict[str, str]], Any]


def array_change(name: str, change: Callable[[np.ndarray], np.ndarray | None]) -> Change:
    """`change` of a column's array: in place, or what it returns."""

    def apply(columns: dict[str, Column], metadata: dict[str, str]) -> None:
        values = columns[name].array.copy()
        result = change(values)
        columns[name] = Column.from_numpy(values if result is None else result)

    return apply


def metadata_change(**changes: str) -> Change:
    """Other values for these keys."""
    return lambda columns, metadata: metadata.update(changes)


def upper_change(change: Callable[[np.ndarray, np.ndarray], None]) -> Change:
    """`change`, in place, of the links above the ground and of their offsets."""

    def apply(columns: dict[str, Column], metadata: dict[str, str]) -> None:
        column = columns["upper"]
        values, offsets = column.child.array.copy(), column.bounds.copy()
        change(values, offsets)
        columns["upper"] = Column(column.type, Column(column.child.type, values), offsets)

    return apply


def put(place: Any, value: Any) -> Callable[[np.ndarray], None]:
    """Assigns a value at a place of an array."""

    def change(values: np.ndarray) -> None:
        values[place] = value

    return change
