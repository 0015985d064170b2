"""Two files side by side: schema, counts, sizes and encodings, and whether they hold the same values, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lance_fmt
from lance_fmt import Column, CorruptFileError, File, Survey
from lance_fmt.display import value_text
from vego_tools.inspector.report import BATCH_ROWS, positions_of
from vego_tools.terminal import byte_size, counted, printable, shorten, table, wrapped

Report = dict[str, Any]
Progress = Callable[[int, int], None]

MOST = 1000  # differing rows of a column that are counted
EQUAL, DIFFERENT, DAMAGED = "equal", "different", "damaged"
_CELL = 40


def compare(a: Path, b: Path, *, columns: Sequence[str] = (), progress: Progress | None = None) -> Report:
    """What is the same and what differs. `same` says that the data is: schema, rows, key-values and all values.

    How it is stored may differ then: encodings, sizes, the format's version. `columns` limits all this to some
    columns. In memory for two batches. Raises SchemaError for a column that neither file has, CorruptFileError where
    a file cannot be opened, UnsupportedVersionError, OSError.
    """
    with lance_fmt.examine(a) as left, lance_fmt.examine(b) as right:
        names = list(dict.fromkeys([*left.names, *right.names]))
        if columns:
            positions_of(
                left, [name for name in columns if name not in names]
            )  # raises for the first of them
            names = [name for name in names if name in columns]
        with lance_fmt.open(a) as x, lance_fmt.open(b) as y:
            found = [
                _column(name, left, right, x, y, place, len(names), progress)
                for place, name in enumerate(names)
            ]
            keys = _metadata(left, right)
            order = [n for n in left.names if n in right.names] == [n for n in right.names if n in left.names]
            alike = all(column["schema"] == EQUAL and column["values"] == EQUAL for column in found)
            return {
                "a": _whole(left),
                "b": _whole(right),
                "same": alike and order and not keys and x.num_rows == y.num_rows,
                "same_order": order,
                "identical": left.length == right.length and left.footer_crc == right.footer_crc,
                "metadata": keys,
                "columns": found,
            }


def _whole(survey: Survey) -> Report:
    return {
        "path": survey.path,
        "format": f"LFMT {survey.version}",
        "bytes": survey.length,
        "rows": survey.num_rows,
        "columns": survey.num_columns,
    }


def _metadata(left: Survey, right: Survey) -> dict[str, list[str | None]]:
    """Key-values that differ: the value in either file."""
    keys = dict.fromkeys([*left.metadata, *right.metadata])
    pairs = {key: [left.metadata.get(key), right.metadata.get(key)] for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _column(
    name: str,
    left: Survey,
    right: Survey,
    x: File,
    y: File,
    place: int,
    count: int,
    progress: Progress | None,
) -> Report:
    ours, theirs = _side(left, name), _side(right, name)
    found: Report = {"name": name, "schema": EQUAL, "a": ours, "b": theirs, "values": "not compared"}
    if ours is None or theirs is None:
        found["schema"] = "only in b" if ours is None else "only in a"
    else:
        if (ours["type"], ours["nullable"]) != (theirs["type"], theirs["nullable"]):
            found["schema"] = DIFFERENT
        if ours["type"] == theirs["type"]:
            found |= _values(name, x, y)
    if progress is not None:
        progress(place + 1, count)
    return found


def _side(survey: Survey, name: str) -> Report | None:
    if name not in survey.names:
        return None
    position = survey.names.index(name)
    column = survey.column(position)
    first = survey.first_page
    recipes = survey.recipes(range(int(first[position]), int(first[position + 1])))
    return {
        "type": "?" if column.type is None else str(column.type),
        "nullable": column.nullable,
        "encoding": ", ".join(dict.fromkeys(recipes)) or "none",
        "pages": len(column.pages),
        "bytes": column.length,
        "nulls": int(column.pages["nulls"].sum()),
        "nans": int(column.pages["nans"].sum()),
    }


def _values(name: str, x: File, y: File) -> Report:
    """Whether the values of the rows that both files have are equal, and where they are not."""
    rows = min(x.num_rows, y.num_rows)
    different = 0
    first: Report | None = None
    try:
        for start in range(0, rows, BATCH_ROWS):
            part = slice(start, min(start + BATCH_ROWS, rows))
            ours, theirs = x.read([name], part)[name], y.read([name], part)[name]
            for row in _differing(ours, theirs, 0, len(ours)):
                first = first or {
                    "row": start + row,
                    "a": _shown(ours, row),
                    "b": _shown(theirs, row),
                }
                different += 1
                if different == MOST:
                    break
            if different == MOST:
                break
    except CorruptFileError as error:
        return {"values": DAMAGED, "damage": str(error)}
    if not different:
        return {"values": EQUAL if x.num_rows == y.num_rows else f"equal in the first {rows:,} rows"}
    return {"values": DIFFERENT, "different_rows": different, "all_counted": different < MOST, "first": first}


def _differing(ours: Column, theirs: Column, start: int, stop: int) -> Iterator[int]:
    """Rows in which two columns differ, found by halving."""
    if ours.slice(start, stop).equals(theirs.slice(start, stop)):
        return
    if stop - start == 1:
        yield start
        return
    middle = (start + stop) // 2
    yield from _differing(ours, theirs, start, middle)
    yield from _differing(ours, theirs, middle, stop)


def _shown(column: Column, row: int) -> str:
    return value_text(column.slice(row, row + 1).to_pylist()[0], _CELL)


def lines(found: Report) -> Iterator[str]:
    """For people."""
    a, b = found["a"], found["b"]
    yield f"a  {printable(a['path'])}"
    yield f"b  {printable(b['path'])}"
    yield ""
    if found["identical"]:
        yield "the same data, stored the same way"
    else:
        yield "the same data, stored differently" if found["same"] else "different data"
    rows = [
        [name, _text(a[name]), _text(b[name]), _change(a[name], b[name])]
        for name in ("format", "bytes", "rows", "columns")
    ]
    yield from table(["", "a", "b", ""], rows, right="a b")
    if not found["same_order"]:
        yield "  the columns stand in another order"
    for key, (left, right) in found["metadata"].items():
        shown = " and ".join("nothing" if v is None else repr(shorten(v, _CELL)) for v in (left, right))
        yield from wrapped(f"key {printable(key)!r} has {printable(shown)}")
    if found["columns"]:
        yield ""
        yield from table(
            ["column", "type", "encoding", "bytes", "values"],
            [[column["name"], *_cells(column)] for column in found["columns"]],
            right="bytes",
            keep="values",
        )
    for column in found["columns"]:
        yield from _first(column)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _change(left: Any, right: Any) -> str:
    if left == right:
        return "="
    return f"{right / left - 1:+.1%}" if isinstance(left, int) and left else "differs"


def _cells(column: Report) -> list[str]:
    a, b = column["a"], column["b"]
    if a is None or b is None:
        side = a or b
        return [side["type"], side["encoding"], byte_size(side["bytes"]), column["schema"]]
    kinds = [side["type"] + ("" if side["nullable"] else " not null") for side in (a, b)]
    values = column["values"]
    if values == DIFFERENT:
        more = "" if column["all_counted"] else " or more"
        values = f"not equal: {counted(column['different_rows'], 'row')}{more}"
    return [
        _both(kinds),
        _both([a["encoding"], b["encoding"]]),
        _both([byte_size(s["bytes"]) for s in (a, b)]),
        values,
    ]


def _both(pair: Sequence[str]) -> str:
    return pair[0] if pair[0] == pair[1] else f"{pair[0]} → {pair[1]}"


def _first(column: Report) -> Iterator[str]:
    name = printable(repr(column["name"]))
    if column.get("first"):
        first = column["first"]
        yield from wrapped(f"column {name}, row {first['row']:,}: {first['a']} in a, {first['b']} in b")
    if column.get("damage"):
        yield from wrapped(f"column {name}: {printable(column['damage'])}")
