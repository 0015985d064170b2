"""Whether an engine returned the source's values: types may differ in width of offsets, never in values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def difference(found: pa.Table, expected: pa.Table) -> str:
    """Empty where they are equal bit for bit, else what is wrong first."""
    if set(found.column_names) != set(expected.column_names):
        return f"columns {found.column_names[:9]}, expected {expected.column_names[:9]}"
    if found.num_rows != expected.num_rows:
        return f"{found.num_rows} rows, expected {expected.num_rows}"
    for name in expected.column_names:
        if not _equal(_normal(found[name]), _normal(expected[name])):
            return f"column {name!r} ({found[name].type}) has other values"
    return ""


def _normal(column: pa.ChunkedArray) -> pa.Array:
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", getattr(kind, "tz", None))).cast(pa.int64())
    elif pa.types.is_string(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.large_string())
    elif pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        column = column.cast(pa.large_binary())
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _equal(a: pa.Array, b: pa.Array) -> bool:
    if isinstance(a, pa.ChunkedArray) or isinstance(b, pa.ChunkedArray):
        return bool(a.to_pylist() == b.to_pylist())
    if pa.types.is_fixed_size_list(b.type):
        return bool(a.type.list_size == b.type.list_size) and _equal(a.flatten(), b.flatten())
    if pa.types.is_nested(b.type):
        return bool(a.to_pylist() == b.to_pylist())
    if a.type != b.type:
        return False
    if not pa.types.is_floating(b.type):
        return bool(a.equals(b))
    if not a.is_valid().equals(b.is_valid()):
        return False
    bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[b.type.bit_width // 8]
    return all(np.array_equal(x, y) for x, y in [[c.drop_null().to_numpy().view(bits) for c in (a, b)]])
