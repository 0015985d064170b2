"""Whether two sources hold the same values, row by row and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vego_tools.convert.json_text import cell_text
from vego_tools.convert.retype import plain, retype


def first_difference(left: Iterator[Any], right: Iterator[Any]) -> tuple[int, str | None]:
    """(rows that are equal, None), or (row, what differs there) of two streams of record batches.

    Columns go by position. Types may differ where the values mean the same: an int32 equals the int64 of its
    value, a date the text of it. A null equals a null only, a NaN any NaN.
    """
    row = 0
    a = b = None
    while True:
        while a is None or not a.num_rows:
            a = next(left, None)
            if a is None:
                break
        while b is None or not b.num_rows:
            b = next(right, None)
            if b is None:
                break
        if a is None or b is None:
            longer = "destination" if a is None else "source"
            return row, None if a is b else f"only the {longer} has this row"
        rows = min(a.num_rows, b.num_rows)
        for name, x, y in zip(a.schema.names, a.columns, b.columns, strict=False):
            where = _differs(x.slice(0, rows), y.slice(0, rows))
            if where is not None:
                was, became = (_shown(array[where]) for array in (x, y))
                return row + where, f"column {name!r}: {was} became {became}"
        if a.num_columns != b.num_columns:
            return row, f"{a.num_columns} columns became {b.num_columns}"
        a, b, row = a.slice(rows), b.slice(rows), row + rows


def _shown(value: Any) -> str:
    text = repr(value.as_py())
    return text if len(text) < 60 else text[:59] + "…"


def _differs(x: Any, y: Any) -> int | None:
    """The first row that differs; found by halving, so that equal arrays cost one comparison."""
    if same(x, y):
        return None
    low, high = 0, len(x)
    while high - low > 1:
        middle = (low + high) // 2
        if same(x.slice(low, middle - low), y.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    return low


def same(x: Any, y: Any) -> bool:
    """Whether two pyarrow arrays of one length hold the same values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    x, y = _listed(plain(x)), _listed(plain(y))
    if x.type.equals(y.type) and x.equals(y):
        return True
    if not pc.is_valid(x).equals(pc.is_valid(y)):
        return False
    if pa.types.is_struct(x.type) and pa.types.is_struct(y.type):
        pairs = zip(x.flatten(), y.flatten(), strict=False)
        return x.type.num_fields == y.type.num_fields and all(same(a, b) for a, b in pairs)
    if hasattr(x.type, "value_field") and hasattr(y.type, "value_field"):
        counts = [pc.list_value_length(array).cast(pa.int64()) for array in (x, y)]
        return bool(counts[0].equals(counts[1])) and same(x.flatten(), y.flatten())
    if _is_text(y.type) and not _is_text(x.type):
        return bool(cell_text(x).equals(y.cast(pa.large_string())))
    try:
        y = retype(y, x.type)
    except pa.ArrowException:
        return False
    if pa.types.is_floating(x.type):
        # A NaN has many bit patterns and equals none of them.
        a, b = (np.asarray(v.drop_null()) for v in (x, y))
        return bool(np.array_equal(a, b, equal_nan=True))
    return bool(x.equals(y))


def _listed(array: Any) -> Any:
    """A map as the list of structs that it is."""
    import pyarrow as pa

    if not pa.types.is_map(array.type):
        return array
    pairs = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    return retype(array, pa.large_list(pairs))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
