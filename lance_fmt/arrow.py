"""Apache Arrow in and out; imports pyarrow only when used.

Numbers, times, decimals, strings, vectors, lists and structs share Arrow's buffers where layouts agree, nulls
included. What Arrow has no type for travels as another type whose field, at any depth, says in its metadata
what it is, so that it comes back: JSON as text with `lance_fmt:type = json`, bfloat16 as uint16 with
`lance_fmt:type = bfloat16`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lance_fmt import times
from lance_fmt.arrow_types import arrow_field, decoded, field_of, text_of
from lance_fmt.column import Column
from lance_fmt.constants import TypeId
from lance_fmt.datatype import DataType
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.optional import need
from lance_fmt.pyvalues import offsets_of
from lance_fmt.schema import Schema

Array = np.ndarray[Any, Any]


def to_arrow(columns: Mapping[str, Column], fields: Schema) -> Any:
    """A pyarrow Table."""
    pa = need("pyarrow", "arrow")
    described = [arrow_field(pa, field) for field in fields]
    arrays = [array_of(pa, columns[f.name], d.type) for f, d in zip(fields, described, strict=True)]
    return pa.table(arrays, schema=pa.schema(described, fields.metadata or None))


def schema_of(fields: Schema) -> Any:
    """A pyarrow Schema."""
    pa = need("pyarrow", "arrow")
    return pa.schema([arrow_field(pa, field) for field in fields], fields.metadata or None)


def stream_of(tables: Iterable[Mapping[str, Column]], fields: Schema) -> Any:
    """A pyarrow RecordBatchReader over tables of one schema, made as they are asked for."""
    pa = need("pyarrow", "arrow")
    batches = (batch for table in tables for batch in to_arrow(table, fields).to_batches())
    return pa.RecordBatchReader.from_batches(schema_of(fields), batches)


def speaks_arrow(thing: object) -> bool:
    """Whether an object hands out Arrow data by the PyCapsule interface; classes do not count."""
    names = ("__arrow_c_stream__", "__arrow_c_array__")
    return not isinstance(thing, type) and any(hasattr(thing, name) for name in names)


def is_stream(thing: object) -> bool:
    """Whether an object speaks Arrow and is no table in memory, as far as one can see."""
    return speaks_arrow(thing) and hasattr(thing, "__arrow_c_stream__") and not hasattr(thing, "__len__")


def as_reader(thing: Any) -> Any:
    """A pyarrow RecordBatchReader over an object that speaks Arrow; raises SchemaError if its rows are no structs."""
    pa = need("pyarrow", "arrow")
    try:
        if hasattr(thing, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(thing)
        return pa.table(pa.record_batch(thing)).to_reader()
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
        name = type(thing).__name__
        raise SchemaError(f"a {name} is no table: its Arrow data has no named columns ({error})") from None


def bitmap_of(pa: Any, validity: Array | None) -> Any:
    """Arrow's buffer of validity bits; None where all rows are valid."""
    return None if validity is None else pa.py_buffer(np.packbits(validity, bitorder="little"))


def array_of(pa: Any, column: Column, arrow_type: Any) -> Any:
    """The pyarrow Array of a column, of the type that `arrow_field` says; it keeps the memory it views."""
    column = column.compact()
    kind, rows = column.type, len(column)
    nulls = bitmap_of(pa, column.validity)
    if kind.is_struct:
        inner = [array_of(pa, child, arrow_type.field(i).type) for i, child in enumerate(column.children)]
        return pa.Array.from_buffers(arrow_type, rows, [nulls], children=inner)
    if kind.is_list:
        child = array_of(pa, column.child, arrow_type.value_type)
        return pa.Array.from_buffers(arrow_type, rows, [nulls, pa.py_buffer(column.bounds)], children=[child])
    if kind.is_vector:
        items = array_of(pa, Column(kind.element, column.array.reshape(-1)), arrow_type.value_type)
        return pa.Array.from_buffers(arrow_type, rows, [nulls], children=[items])
    if column.offsets is not None:
        buffers = [nulls, pa.py_buffer(column.bounds), pa.py_buffer(np.ascontiguousarray(column.array))]
        return pa.Array.from_buffers(arrow_type, rows, buffers)
    values = column.array
    if kind.id is TypeId.BOOL:
        values = np.packbits(values, bitorder="little")
    elif kind.id is TypeId.TIME:
        times.check_range(values, kind, column.validity)
        values = values.astype(f"<i{arrow_type.bit_width // 8}", copy=False)
    return pa.Array.from_buffers(arrow_type, rows, [nulls, pa.py_buffer(np.ascontiguousarray(values))])


def from_arrow(table: Any) -> tuple[dict[str, Column], Schema, int]:
    """Columns, schema and number of rows of a pyarrow Table or RecordBatch, or of what speaks Arrow.

    Raises SchemaError where it is none of them.
    """
    pa = need("pyarrow", "arrow")
    if not isinstance(table, pa.Table | pa.RecordBatch):
        if not speaks_arrow(table):
            raise SchemaError(f"a {type(table).__name__} does not speak Arrow: it has no __arrow_c_stream__")
        table = as_reader(table).read_all()
    found, fields = {}, []
    for described, arrow_column in zip(table.schema, table.columns, strict=True):
        field = field_of(pa, described, f"column {described.name!r}")
        chunks = arrow_column.chunks if isinstance(arrow_column, pa.ChunkedArray) else [arrow_column]
        where = f"column {described.name!r}"
        parts = [_in(pa, c, field.type, where) for c in chunks or [pa.nulls(0, described.type)]]
        found[field.name] = Column.concat(parts)
        fields.append(field)
    return found, Schema(fields, text_of(table.schema.metadata)), table.num_rows


def column_from_arrow(array: Any, where: str) -> Column:
    """The column of a pyarrow Array or ChunkedArray; errors begin with `where`."""
    import pyarrow as pa

    kind = field_of(pa, pa.field("", array.type), where).type
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return Column.concat([_in(pa, chunk, kind, where) for chunk in chunks or [pa.nulls(0, array.type)]])


def _in(pa: Any, array: Any, kind: DataType, where: str) -> Column:
    array = decoded(pa, array)
    if array.type == pa.null():
        return Column.nulls(kind, len(array))
    validity = _bits(array.buffers()[0], array) if array.null_count else None
    try:
        if kind.is_struct:
            inner = [
                _in(pa, array.field(i), f.type, f"{where}, field {f.name!r}")
                for i, f in enumerate(kind.fields)
            ]
            return Column(kind, tuple(inner), None, validity)
        if kind.is_list:
            child, offsets = _list(pa, array, kind, where)
            return Column(kind, child, offsets, validity)
        if kind.is_vector:
            return Column(kind, _vectors(pa, array, kind, validity, where), None, validity)
    except SchemaError as error:
        raise error if str(error).startswith("column") else SchemaError(f"{where}: {error}") from None
    if kind.is_variable:
        array = _cast(array, pa.large_binary() if kind.id is TypeId.BINARY else pa.large_string(), where)
        offsets = _buffer(array.buffers()[1], np.int64, array.offset, len(array) + 1)
        return Column(kind, np.frombuffer(array.buffers()[2] or b"", np.uint8), offsets, validity)
    return Column(kind, _scalars(pa, array, kind, where), None, validity)


def _cast(array: Any, arrow_type: Any, where: str) -> Any:
    import pyarrow as pa

    try:
        return array.cast(arrow_type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidDataError(f"{where}: {array.type} does not become {arrow_type}: {error}") from None


def _scalars(pa: Any, array: Any, kind: DataType, where: str) -> Array:
    if kind.id is TypeId.BOOL:
        return _bits(array.buffers()[1], array)
    if kind.is_decimal:
        array = _cast(array, pa.decimal128(kind.precision, kind.scale), where)
        words = _buffer(array.buffers()[1], np.uint64, array.offset * 2, len(array) * 2)
        return words.reshape(-1, 2)
    held = array.type
    if kind.id is TypeId.TIME and held.bit_width == 32:
        return _buffer(array.buffers()[1], np.int32, array.offset, len(array)).astype(np.int64)
    # date64 counts milliseconds, as the timestamp that it becomes.
    return _buffer(array.buffers()[1], kind.dtype, array.offset, len(array))


def _list(pa: Any, array: Any, kind: DataType, where: str) -> tuple[Column, Array]:
    """Items and offsets of any of Arrow's lists."""
    is_ = pa.types
    rows, start = len(array), array.offset
    where = f"{where}, items"
    if is_.is_list_view(array.type) or is_.is_large_list_view(array.type):
        items = _in(pa, array.values, kind.element, where)
        width = np.int32 if is_.is_list_view(array.type) else np.int64
        begins = _buffer(array.buffers()[1], width, start, rows).astype(np.int64)
        lengths = _buffer(array.buffers()[2], width, start, rows).astype(np.int64)
        if array.null_count:
            lengths = np.where(_bits(array.buffers()[0], array), lengths, 0)
        offsets = offsets_of(lengths)
        picks = np.repeat(begins - offsets[:-1], lengths) + np.arange(offsets[-1])
        return items.take(picks), offsets
    if is_.is_fixed_size_list(array.type):
        offsets = (np.arange(rows + 1, dtype=np.int64) + start) * array.type.list_size
        return _in(pa, array.values, kind.element, where), offsets
    width = np.int64 if is_.is_large_list(array.type) else np.int32
    offsets = _buffer(array.buffers()[1], width, start, rows + 1).astype(np.int64, copy=False)
    if is_.is_map(array.type):
        names = ("key", "value")
        pairs = [
            _in(pa, a, f.type, f"{where}, {n}")
            for a, f, n in zip((array.keys, array.items), kind.element.fields, names, strict=True)
        ]
        return Column(kind.element, tuple(pairs)), offsets
    return _in(pa, array.values, kind.element, where), offsets


def _vectors(pa: Any, array: Any, kind: DataType, validity: Array | None, where: str) -> Array:
    items = array.values.slice(array.offset * kind.dimension, len(array) * kind.dimension)
    column = _in(pa, items, kind.element, where)
    if column.validity is not None:
        full = column.validity.reshape(-1, kind.dimension).all(axis=1)
        wrong = ~full if validity is None else validity & ~full
        if wrong.any():
            raise SchemaError(
                f"{where}: a null in the vector of row {int(wrong.argmax())}; vectors hold no nulls"
            )
    return column.array.reshape(-1, kind.dimension)


def _bits(buffer: Any, array: Any) -> Array:
    """Bits of an Arrow array's validity or bools as bool `(n,)`."""
    stop = array.offset + len(array)
    if buffer is None or not stop:
        return np.zeros(len(array), np.bool_)
    return np.unpackbits(np.frombuffer(buffer, np.uint8), count=stop, bitorder="little")[array.offset :].view(
        np.bool_
    )


def _buffer(buffer: Any, dtype: Any, offset: int, count: int) -> Array:
    if buffer is None or not buffer.size:
        return np.zeros(count, dtype)
    return np.frombuffer(buffer, dtype, count, offset * np.dtype(dtype).itemsize)
