"""The documents of a collection as one table: ids, vectors, and a typed column for each metadata key.

A key that has one type in every file keeps it; where types differ, the column is JSON, as it would have been had
all documents been written at once. A null is a document without the key, or one with None there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lance_fmt
from lance_fmt import Column, CorruptFileError, DataType, Field, Schema, Table
from vego.errors import UnknownFieldError
from vego.table.attributes import MISSING, infer_type
from vego.table.memtable import MemTable
from vego.table.segment import ID, VECTOR, Segment, column_type, corruption
from vego.table.snapshot import RowSnapshot
from vego.table.values import EXPLICIT_NONE, to_jsonable

_JSON = lance_fmt.json()
Slots = NDArray[np.int64]


def schema_of(snapshot: RowSnapshot) -> Schema:
    """`id`, `vector`, and the metadata keys in order of first appearance; reads no file.

    Where a key is called `id` or `vector`, the document's own are `$id` and `$vector`.
    """
    kinds: dict[str, set[DataType]] = {}
    for _, source in snapshot.sources:
        for name, kind in _kinds(source):
            kinds.setdefault(name, set()).update([kind] if kind is not None else [])
    names = _own(kinds)
    return Schema(
        [
            Field(names[ID], lance_fmt.string(), nullable=False),
            Field(
                names[VECTOR], column_type(snapshot.view.vectors.take(np.empty(0, np.int64))), nullable=False
            ),
            *(Field(key, found.pop() if len(found) == 1 else _JSON) for key, found in kinds.items()),
        ]
    )


def table_of(snapshot: RowSnapshot, schema: Schema, slots: Slots, columns: Sequence[str] | None) -> Table:
    """Columns (None: all) of the rows `slots`, sorted int64 (n,). `schema` is `schema_of` the snapshot.

    Raises UnknownFieldError for a column that is not in `schema`, CorruptionError.
    """
    chosen = schema.names if columns is None else list(dict.fromkeys(columns))
    for name in chosen:
        if name not in schema.names:
            raise UnknownFieldError(f"no column {name!r}; there are {', '.join(map(repr, schema.names))}")
    own = {schema.names[0]: ID, schema.names[1]: VECTOR}
    found = {}
    for name in chosen:
        if own.get(name) == ID:
            found[name] = Column.from_pylist(snapshot.view.ids.take(slots), lance_fmt.string())
        elif own.get(name) == VECTOR:
            vectors = snapshot.view.vectors.take(slots)
            found[name] = Column.from_numpy(vectors, schema[name].type)
        else:
            found[name] = _column(snapshot, name, schema[name].type, slots)
    return Table(found, Schema([schema[name] for name in chosen]), len(slots))


def _own(keys: object) -> dict[str, str]:
    return {name: name if name[1:] in keys else name[1:] for name in (ID, VECTOR)}  # type: ignore[operator]


def _kinds(source: Segment | MemTable) -> Iterator[tuple[str, DataType | None]]:
    """Keys of a source and the types of their values; None where it holds nothing but None."""
    if isinstance(source, Segment):
        yield from ((name, field.type) for name, field in source.fields.items())
        return
    rows = source.rows()
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row[key] for row in rows if row.get(key) is not None]
        yield key, infer_type(values) or _JSON if values else None


def _column(snapshot: RowSnapshot, key: str, kind: DataType, slots: Slots) -> Column:
    """One metadata key of the rows `slots`."""
    starts = [first for first, _ in snapshot.sources]
    stops = [*starts[1:], snapshot.view.rows]
    parts = [Column.nulls(kind, 0)]
    for (first, source), stop in zip(snapshot.sources, stops, strict=True):
        low, high = np.searchsorted(slots, [first, stop])
        if low < high:
            parts.append(_part(source, key, kind, slots[low:high] - first))
    return Column.concat(parts)


def _part(source: Segment | MemTable, key: str, kind: DataType, rows: Slots) -> Column:
    if isinstance(source, MemTable):
        buffered = source.rows()
        return _as(kind, [buffered[row].get(key, MISSING) for row in rows.tolist()], to_jsonable)
    if key not in source.fields:
        return Column.nulls(kind, len(rows))
    try:
        column = (
            source.file.read([key])[key] if len(rows) == source.rows else source.file.take(rows, [key])[key]
        )
    except CorruptFileError as error:
        raise corruption(error) from None
    if column.type == kind and kind != _JSON:
        return column
    # What a JSON column holds is JSON already.
    return _as(kind, column.to_pylist(), to_jsonable if column.type != _JSON else _unmarked)


def _unmarked(value: Any) -> Any:
    return None if value == EXPLICIT_NONE else value


def _as(kind: DataType, values: list[Any], jsonable: Callable[[Any], Any]) -> Column:
    """Values, MISSING and None as null, as a column."""
    plain = [None if value is MISSING or value is None else value for value in values]
    if kind == _JSON:
        plain = [None if value is None else jsonable(value) for value in plain]
    return Column.from_pylist(plain, kind)
