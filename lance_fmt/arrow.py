"""Apache Arrow in and out; imports pyarrow only when used.

Numbers, strings, vectors and lists share Arrow's buffers where layouts agree. JSON travels as text with
field metadata `lance_fmt:type = json`, so that it comes back as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lance_fmt import schema
from lance_fmt.column import Column
from lance_fmt.constants import TypeId
from lance_fmt.errors import SchemaError
from lance_fmt.schema import DataType, Schema

_MARK = b"lance_fmt:type"


def to_arrow(columns: Mapping[str, Column], fields: Schema) -> Any:
    """A pyarrow Table."""
    import pyarrow as pa

    arrays, described = [], []
    for name, column in columns.items():
        array = _array(pa, column)
        mark = {_MARK: b"json"} if column.type.id is TypeId.JSON else None
        described.append(pa.field(name, array.type, fields[name].nullable, mark))
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(described))


def _arrow_type(pa: Any, kind: DataType) -> Any:
    if kind.id is TypeId.TIMESTAMP:
        return pa.timestamp(kind.time_unit, kind.tz)
    if kind.is_text:
        return pa.large_string()
    if kind.id is TypeId.BINARY:
        return pa.large_binary()
    if kind.is_list:
        return pa.large_list(_arrow_type(pa, kind.element))
    if kind.is_vector:
        return pa.list_(_arrow_type(pa, kind.element), kind.dimension)
    return pa.from_numpy_dtype(kind.dtype)


def _array(pa: Any, column: Column) -> Any:
    column = column.compact()
    kind, rows = _arrow_type(pa, column.type), len(column)
    nulls = None
    if column.validity is not None:
        nulls = pa.py_buffer(np.packbits(column.validity, bitorder="little"))
    if column.type.is_list:
        buffers = [nulls, pa.py_buffer(column.bounds)]
        return pa.Array.from_buffers(kind, rows, buffers, children=[_array(pa, column.child)])
    if column.type.is_vector:
        items = Column(column.type.element, column.array.reshape(-1))
        return pa.Array.from_buffers(kind, rows, [nulls], children=[_array(pa, items)])
    if column.offsets is not None:
        buffers = [nulls, pa.py_buffer(column.bounds), pa.py_buffer(np.ascontiguousarray(column.array))]
        return pa.Array.from_buffers(kind, rows, buffers)
    values = column.array
    if column.type.id is TypeId.BOOL:
        values = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(kind, rows, [nulls, pa.py_buffer(np.ascontiguousarray(values))])


def from_arrow(table: Any) -> dict[str, Column]:
    """Columns of a pyarrow Table or RecordBatch."""
    import pyarrow as pa

    found = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if isinstance(whole, pa.ChunkedArray):
            whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], field.type)
        json = bool(field.metadata) and field.metadata.get(_MARK) == b"json"
        found[field.name] = _column(pa, whole, field.name, json=json)
    return found


def _column(pa: Any, array: Any, name: str, *, json: bool = False) -> Column:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = _data_type(pa, array.type, name, json=json)
    validity = None
    if array.null_count:
        validity = ~np.asarray(array.is_null().to_numpy(zero_copy_only=False), np.bool_)
    if kind.is_list:
        array = array.cast(pa.large_list(array.type.value_type))
        offsets = _buffer(array.buffers()[1], np.int64, array.offset, len(array) + 1)
        return Column(kind, _column(pa, array.values, name), offsets, validity)
    if kind.is_vector:
        items = array.values.slice(array.offset * kind.dimension, len(array) * kind.dimension)
        if items.null_count:
            raise SchemaError(f"column {name!r}: vectors hold no nulls")
        values = items.to_numpy(zero_copy_only=False).reshape(len(array), kind.dimension)
        return Column(kind, np.ascontiguousarray(values, kind.dtype), None, validity)
    if kind.is_variable:
        array = array.cast(pa.large_binary() if kind.id is TypeId.BINARY else pa.large_string())
        offsets = _buffer(array.buffers()[1], np.int64, array.offset, len(array) + 1)
        data = array.buffers()[2]
        return Column(kind, np.frombuffer(data or b"", np.uint8), offsets, validity)
    if kind.id is TypeId.TIMESTAMP:
        array = array.cast(_arrow_type(pa, kind)).view(pa.int64())
    if validity is not None:
        array = array.fill_null(False if kind.id is TypeId.BOOL else pa.scalar(0, array.type))
    values = np.ascontiguousarray(array.to_numpy(zero_copy_only=False), kind.dtype)
    return Column(kind, values, None, validity)


def _buffer(buffer: Any, dtype: Any, offset: int, count: int) -> np.ndarray[Any, Any]:
    if buffer is None or not buffer.size:
        return np.zeros(count, dtype)
    return np.frombuffer(buffer, dtype)[offset : offset + count]


def _data_type(pa: Any, kind: Any, name: str, *, json: bool = False) -> DataType:
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind):
        return schema.json() if json else schema.string()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return schema.binary()
    if types.is_timestamp(kind):
        return schema.timestamp(kind.unit, kind.tz)
    if types.is_date(kind):
        return schema.timestamp("s")
    if types.is_list(kind) or types.is_large_list(kind):
        return schema.list_(_data_type(pa, kind.value_type, name))
    if types.is_fixed_size_list(kind):
        return schema.vector(_data_type(pa, kind.value_type, name), kind.list_size)
    if types.is_null(kind):
        return schema.json()
    names = {"bool": "bool_", "halffloat": "float16", "float": "float32", "double": "float64"}
    maker = getattr(schema, names.get(str(kind), str(kind)), None)
    if maker is None or not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise SchemaError(f"column {name!r}: Arrow type {kind} has no counterpart in this format")
    found: DataType = maker()
    return found
