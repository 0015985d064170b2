"""Results as text: aligned tables for people; JSON and CSV, complete and exact, for programs.

Tables are bounded: so many rows, as wide as the terminal, every value on one line and escaped. JSON is one array of
objects, or with `jsonl` an object a line; what JSON lacks becomes text (bytes in hexadecimal, decimals, times in
ISO 8601), and NaN and infinity null. CSV is RFC 4180 with a header; null is empty, nested values are JSON.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, TextIO

import numpy as np

from lance_fmt.display import value_text
from vego_tools.shell.result import Result
from vego_tools.terminal import Style, display_width, printable, shorten

MODES = ("table", "line", "json", "jsonl", "csv")
_CELL = 200  # characters of a value in a table, before the width of the terminal counts
_MIN_WIDTH = 4  # of a column of a table that had to be cut
_GAP = "  "


def render(
    result: Result, out: TextIO, *, mode: str = "table", max_rows: int | None = None, width: int = 100
) -> int:
    """Write a result to `out` and return how many rows were written; `max_rows` and `width` are of tables."""
    writers: dict[str, Callable[[], int]] = {
        "table": lambda: _table(result, out, max_rows, width),
        "line": lambda: _lines(result, out, max_rows, width),
        "json": lambda: _json(result, out),
        "jsonl": lambda: _json_lines(result, out),
        "csv": lambda: _csv(result, out),
    }
    return writers[mode]()


# -- for people ----------------------------------------------------------------------------------------


def _table(result: Result, out: TextIO, max_rows: int | None, width: int) -> int:
    """Columns as wide as their widest value, cut to fit `width`; numbers to the right."""
    if not result.names:
        return _note(result, out, 0)
    rows, more = _bounded(result, max_rows)
    header = [printable(str(name)) for name in result.names]
    cells = [[value_text(value, _CELL) for value in row] for row in rows]
    right = [_numeric([row[place] for row in rows]) for place in range(len(header))]
    widths = _fitted(
        [
            max([display_width(name), *(display_width(row[place]) for row in cells)])
            for place, name in enumerate(header)
        ],
        right,
        width,
    )
    shown = _visible(widths, width)
    style = Style.of(out)
    out.write(style.bold(_line(header[:shown], widths, right)) + "\n")
    out.write(style.dim(_GAP.join("─" * one for one in widths[:shown])) + "\n")
    for row in cells:
        out.write(_line(row[:shown], widths, right) + "\n")
    hidden = (
        f", {len(header) - shown} columns do not fit (.mode line shows them)" if shown < len(header) else ""
    )
    ending = "(first {:,} rows; .rows all shows the rest{})" if more else "({:,} row{}{})"
    said = (
        ending.format(len(rows), hidden)
        if more
        else ending.format(len(rows), "" if len(rows) == 1 else "s", hidden)
    )
    out.write(style.dim(said) + "\n")
    return _note(result, out, len(rows))


def _lines(result: Result, out: TextIO, max_rows: int | None, width: int) -> int:
    """A line for each value, for rows of many columns."""
    rows, more = _bounded(result, max_rows)
    style = Style.of(out)
    names = [printable(str(name)) for name in result.names]
    label = max(map(display_width, names), default=0)
    for number, row in enumerate(rows, 1):
        out.write(style.dim(f"── row {number:,} ──") + "\n")
        for name, value in zip(names, row, strict=True):
            text = value_text(value, 10 * _CELL)
            pad = " " * (label - display_width(name))
            room = max(width - label - 2, 20)
            out.write(f"{style.bold(name)}{pad}{_GAP}{shorten(text, room)}\n")
    if more:
        out.write(style.dim(f"(first {len(rows):,} rows; .rows all shows the rest)") + "\n")
    return _note(result, out, len(rows))


def _bounded(result: Result, max_rows: int | None) -> tuple[list[Sequence[Any]], bool]:
    """The rows that are shown, and whether there are more."""
    if max_rows is None:
        return list(result), False
    rows = list(islice(result, max_rows + 1))
    return rows[:max_rows], len(rows) > max_rows


def _note(result: Result, out: TextIO, rows: int) -> int:
    if result.note:
        out.write(Style.of(out).dim(f"({printable(result.note)})") + "\n")
    return rows


def _numeric(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(value, int | float | Decimal | np.number) and not isinstance(value, bool)
        for value in known
    )


def _fitted(widths: list[int], right: Sequence[bool], width: int) -> list[int]:
    """Widths cut, the widest first and text before numbers, until a line fits, as far as that goes."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    elastic = [place for place, number in enumerate(right) if not number]
    while excess > 0 and elastic:
        widest = max(elastic, key=widths.__getitem__)
        if widths[widest] <= _MIN_WIDTH:
            break
        second = max([widths[place] for place in elastic if place != widest] or [0])
        cut = min(max(widths[widest] - max(second, _MIN_WIDTH), 1), excess)
        widths[widest] -= cut
        excess -= cut
    return widths


def _visible(widths: Sequence[int], width: int) -> int:
    """How many columns fit; one at least."""
    used = 0
    for place, one in enumerate(widths):
        used += one + (len(_GAP) if place else 0)
        if used > width:
            return max(place, 1)
    return len(widths)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for cell, width, number in zip(cells, widths, right, strict=False):
        cut = shorten(cell, width)
        pad = " " * (width - display_width(cut))
        parts.append(pad + cut if number else cut + pad)
    return _GAP.join(parts).rstrip()


# -- for programs --------------------------------------------------------------------------------------


def jsonable(value: Any) -> Any:
    """`value` in what JSON has."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple | set):
        return [jsonable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def _dumped(value: Any) -> str:
    """JSON on one line; what a terminal could take for a command is escaped."""
    text = json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _objects(result: Result) -> Iterator[str]:
    names = unique(result.names)
    for row in result:
        yield _dumped(dict(zip(names, row, strict=True)))


def unique(names: Sequence[str]) -> list[str]:
    """`names` with a number after those that occurred before."""
    seen: dict[str, int] = {}
    found = []
    for name in map(str, names):
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def _json(result: Result, out: TextIO) -> int:
    """One array; its objects are written as they come."""
    count = 0
    for text in _objects(result):
        out.write(("[\n " if not count else ",\n ") + text)
        count += 1
    out.write("\n]\n" if count else "[]\n")
    return count


def _json_lines(result: Result, out: TextIO) -> int:
    count = 0
    for text in _objects(result):
        out.write(text + "\n")
        count += 1
    return count


def _csv(result: Result, out: TextIO) -> int:
    """With a header; on a terminal control characters are escaped, elsewhere every character is kept."""
    clean = printable if out.isatty() else str
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")

    def write(cells: Sequence[str]) -> None:
        writer.writerow([clean(cell) for cell in cells])
        out.write(line.getvalue())
        line.seek(0)
        line.truncate()

    count = 0
    if result.names:
        write([str(name) for name in result.names])
    for row in result:
        write([_csv_cell(value) for value in row])
        count += 1
    return count


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    plain = jsonable(value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, allow_nan=False)
