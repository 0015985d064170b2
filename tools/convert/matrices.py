"""Columns of numbers and vectors as NumPy arrays, and back: what npy, fvecs and HDF5 hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from vego_tools.convert.errors import ConversionError
from vego_tools.convert.retype import plain, retype

Array = np.ndarray[Any, Any]


def arrow_type(dtype: np.dtype[Any], shape: tuple[int, ...], name: str) -> Any:
    """The Arrow type of rows of `shape` and `dtype`. Raises ConversionError if there is none."""
    import pyarrow as pa

    if dtype.kind == "O":
        raise ConversionError(
            f"{name}: Python objects, which are never unpickled; save numbers or text instead"
        )
    if dtype.kind in "SU":
        item = pa.binary() if dtype.kind == "S" else pa.string()
    elif dtype.kind in "mM":
        unit = np.datetime_data(dtype)
        known = {"s", "ms", "us", "ns"}
        if unit[1] != 1 or (unit[0] not in known and not (unit[0] == "D" and dtype.kind == "M")):
            raise ConversionError(
                f"{name}: {dtype} counts in a unit without a counterpart; use s, ms, us or ns"
            )
        counted = pa.timestamp if dtype.kind == "M" else pa.duration
        item = pa.date32() if unit[0] == "D" else counted(unit[0])
    elif dtype.kind in "biuf" and dtype.itemsize <= 8:
        item = pa.from_numpy_dtype(dtype.newbyteorder("="))
    else:
        raise ConversionError(f"{name}: dtype {dtype} has no counterpart in Arrow")
    for length in reversed(shape):
        if not length:
            raise ConversionError(f"{name}: rows of shape {shape} hold nothing")
    size = int(np.prod(shape, dtype=np.int64)) if shape else 0
    return pa.list_(item, size) if shape else item


def to_arrow(values: Array, kind: Any) -> Any:
    """Rows of a NumPy array as an Arrow array of the type that `arrow_type` said."""
    import pyarrow as pa

    item = kind.value_type if pa.types.is_fixed_size_list(kind) else kind
    flat = np.ascontiguousarray(values).reshape(-1)
    flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    if flat.dtype.kind in "SU":
        inner = pa.array(flat.tolist(), item)
    else:
        missing = np.isnat(flat) if flat.dtype.kind in "mM" else np.zeros(0, np.bool_)
        validity = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
        if flat.dtype.kind == "b":
            flat = np.packbits(flat, bitorder="little")
        elif pa.types.is_date32(item):
            flat = np.where(missing, 0, flat.view(np.int64))
            if len(flat) and np.abs(flat).max() >= 2**31:
                raise ConversionError("a date that is more than 2^31 days from 1970")
            flat = flat.astype(np.int32)
        rows = values.size
        inner = pa.Array.from_buffers(item, rows, [validity, pa.py_buffer(flat)])
    if item is kind:
        return inner
    return pa.Array.from_buffers(kind, len(values), [None], children=[inner])


def dtype_of(field: Any, where: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """dtype and row shape of a column of numbers, times, text of fixed width or vectors of numbers.

    Raises ConversionError, beginning with `where`, for columns that NumPy has no array for.
    """
    import pyarrow as pa

    kind, is_ = field.type, pa.types
    if is_.is_dictionary(kind):
        kind = kind.value_type
    shape: tuple[int, ...] = ()
    if is_.is_fixed_size_list(kind):
        kind, shape = kind.value_type, (kind.list_size,)
    if is_.is_boolean(kind) or is_.is_integer(kind) or is_.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype()), shape
    if is_.is_timestamp(kind):
        return np.dtype(f"M8[{kind.unit}]"), shape
    if is_.is_duration(kind):
        return np.dtype(f"m8[{kind.unit}]"), shape
    if is_.is_date(kind):
        return np.dtype("M8[D]" if is_.is_date32(kind) else "M8[ms]"), shape
    raise ConversionError(
        f"{where}: column {field.name!r} is {field.type}, which is no array of numbers; choose others with --columns"
    )


def to_numpy(array: Any, dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> Array:
    """A column's rows as a NumPy array `(n, *shape)`. Raises ConversionError for nulls, which NumPy has not."""
    import pyarrow as pa

    array = plain(array)
    if array.null_count:
        raise ConversionError(
            f"{where}: {array.null_count} nulls, which an array of numbers cannot hold; leave the column or its "
            f"rows out (--columns, --rows), or choose another format"
        )
    rows = len(array)
    if shape:
        array = array.flatten()
        if array.null_count:
            raise ConversionError(f"{where}: a null inside a vector, which an array of numbers cannot hold")
    if pa.types.is_boolean(array.type):
        flat = np.asarray(array.to_numpy(zero_copy_only=False))
    elif dtype.kind in "mM":
        flat = np.asarray(retype(array, pa.int32()).cast(pa.int64()) if pa.types.is_date32(array.type)
                          else array.view(pa.int64())).view(dtype)  # fmt: skip
    else:
        flat = np.asarray(array)
    return flat.reshape(rows, *shape)


def vector_column(schema: Any, where: str) -> str:
    """The name of the one column there is. Raises ConversionError where there are several."""
    if len(schema) == 1:
        return str(schema.names[0])
    import pyarrow as pa

    vectors = [f.name for f in schema if pa.types.is_fixed_size_list(f.type)]
    hint = f": --columns {vectors[0]}" if vectors else " with --columns"
    names = ", ".join(map(repr, schema.names[:8])) + (" ..." if len(schema) > 8 else "")
    raise ConversionError(f"{where}: this format holds one column, not {names}; choose one{hint}")
