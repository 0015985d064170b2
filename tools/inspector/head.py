"""The first rows of a file, for a terminal."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import lance_fmt
from lance_fmt import Table
from lance_fmt.display import value_text
from vego_tools.terminal import WIDTH, counted, printable, shorten, table

_CELL = 40
_LEAST = 6  # columns of a terminal that a value must have


def read_head(path: Path, rows: int, columns: Sequence[str] = ()) -> tuple[Table, int]:
    """The first `rows` rows, nulls where they are damaged, and the number of rows there are.

    Raises SchemaError, CorruptFileError where nothing can be read, OSError.
    """
    with lance_fmt.open(path) as file:
        names = list(columns) or None
        return file.read(names, slice(0, max(rows, 0)), on_damage="null"), file.num_rows


def report(found: Table) -> list[dict[str, Any]]:
    """One dict for each row, as JSON has them: bytes as base64, times as ISO 8601, decimals as text."""
    columns = {name: found[name].to_pylist() for name in found}
    return [{name: plain(values[row]) for name, values in columns.items()} for row in range(found.num_rows)]


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value if value is None or isinstance(value, str | int) else str(value)


def lines(found: Table, total: int) -> Iterator[str]:
    """A table where it fits, else each row by itself."""
    yield f"{counted(found.num_rows, 'row')} of {total:,}"
    for place in found.damage:
        yield shorten(f"  DAMAGED: {printable(str(place))}", WIDTH)
    if not found.num_rows or not len(found):
        return
    columns = {name: [value_text(v, _CELL) for v in found[name].to_pylist()] for name in found}
    if len(columns) * (_LEAST + 2) + 8 <= WIDTH:
        cells = [[f"{row:,}", *(values[row] for values in columns.values())] for row in range(found.num_rows)]
        yield from table(["row", *columns], cells, right="row")
        return
    width = min(max(len(printable(name)) for name in columns), _CELL)
    for row in range(found.num_rows):
        yield f"row {row:,}"
        for name, values in columns.items():
            yield shorten(f"  {shorten(printable(name), width):<{width}}  {values[row]}", WIDTH)
