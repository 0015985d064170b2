"""Blocks: columns taken apart into streams of plain values and put together again (FORMAT.md, "Blocks").

This is the one place that knows about nulls, lists, structs and decimals on disk: encodings never see them.
A block of n rows is, in this order: the validity of its rows if some but not all are null (a stream of bools),
then the streams of the type for the rows that are not null, which alone are stored:

| type                            | streams                                                              |
|---------------------------------|----------------------------------------------------------------------|
| bool, numbers, dates and times  | the values                                                           |
| bfloat16                        | the bit patterns, u16                                                |
| vector                          | the items of all rows                                                |
| decimal                         | low words, high words (i64)                                          |
| string, binary, JSON            | the byte strings                                                     |
| list                            | lengths (u32), validity of the items if they may be null, the others |
| struct                          | for each field: validity if it may be null, its streams for the rest |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lance_fmt.coded import CodedColumn
from lance_fmt.column import Column
from lance_fmt.constants import MAX_BLOCK_ITEMS
from lance_fmt.encodings.plain import read_bitmap
from lance_fmt.encodings.protocol import STRINGS, Kind, Mask, StreamReader, Strings, Test, Values, kind_of
from lance_fmt.encodings.text import valid_text
from lance_fmt.kernels import loader
from lance_fmt.pyvalues import offsets_of
from lance_fmt.schema import DataType
from lance_fmt.wire import Cursor

_BOOLS = kind_of("?")
_WORDS = kind_of("<i8")
_LENGTHS = kind_of("<u4")
# Numbers of vectors are bounded apart from list items, by this many times as many.
_VECTOR_SHARE = 16


@dataclass(frozen=True, slots=True)
class Leaf:
    """One stream of every block of a column; `path` is empty for types that have only one."""

    path: str
    kind: Kind


def leaves(kind: DataType, path: str = "") -> list[Leaf]:
    """The streams of a type, in the order in which a block has them (without the validity of its rows)."""
    if kind.is_list:
        inner = [Leaf(path + "[]?", _BOOLS)] if kind.item_nullable else []
        return [Leaf(path + "#", _LENGTHS), *inner, *leaves(kind.element, path + "[]")]
    if kind.is_struct:
        found = []
        for field in kind.fields:
            name = f"{path}.{field.name}"
            found += [Leaf(name + "?", _BOOLS)] if field.nullable else []
            found += leaves(field.type, name)
        return found
    if kind.is_decimal:
        return [Leaf(path + "low", _WORDS), Leaf(path + "high", _WORDS)]
    return [Leaf(path, STRINGS if kind.is_variable else kind_of(kind.dtype))]


def take_apart(column: Column) -> list[Values]:
    """The values of each of `leaves(column.type)`, of the rows that are not null."""
    column = without_nulls(column)
    kind = column.type
    if kind.is_list:
        bounds = column.bounds
        child = column.child.slice(int(bounds[0]), int(bounds[-1]))
        inner: list[Values] = [_validity(child)] if kind.item_nullable else []
        return [np.diff(bounds).astype(np.uint32), *inner, *take_apart(child)]
    if kind.is_struct:
        found: list[Values] = []
        for field, child in zip(kind.fields, column.children, strict=True):
            found += [_validity(child)] if field.nullable else []
            found += take_apart(child)
        return found
    if kind.is_decimal:
        words = column.array.view(np.int64)
        return [np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])]
    if isinstance(column, CodedColumn):
        return [column.coded]
    if kind.is_variable:
        bounds = column.bounds
        return [Strings(column.array[int(bounds[0]) : int(bounds[-1])], bounds - bounds[0])]
    return [np.ascontiguousarray(column.array).reshape(-1)]


def most_items(column: Column) -> int:
    """Items of the longest of the lists at any depth, all rows together; vectors below lists count by sixteenths."""
    if column.type.is_struct:
        return max(map(most_items, column.children))
    if column.type.is_vector:
        return -(-len(column) * column.type.dimension // _VECTOR_SHARE)
    if not column.type.is_list:
        return 0
    start, stop = int(column.bounds[0]), int(column.bounds[-1])
    return max(stop - start, most_items(column.child.slice(start, stop)))


def _validity(column: Column) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.ones(len(column), np.bool_) if column.validity is None else column.validity


def without_nulls(column: Column) -> Column:
    """The rows that are not null."""
    if column.validity is None:
        return column
    if isinstance(column, CodedColumn):
        return column.take(np.flatnonzero(column.validity))
    kept = Column(column.type, column.values, column.offsets)
    return kept.take(np.flatnonzero(column.validity))


def put_together(cursor: Cursor, rows: int, kind: DataType, source: StreamReader) -> Column:
    """`rows` rows of a type from the streams of a block; the opposite of `take_apart`."""
    if kind.is_list:
        offsets = _offsets(cursor, rows, source)
        items = int(offsets[-1])
        read = _nullable if kind.item_nullable else put_together
        return Column(kind, read(cursor, items, kind.element, source), offsets)
    if kind.is_struct:
        members = [
            (_nullable if field.nullable else put_together)(cursor, rows, field.type, source)
            for field in kind.fields
        ]
        return Column(kind, members)
    if kind.is_decimal:
        words = [source.read(cursor, rows, _WORDS) for _ in range(2)]
        return Column(kind, np.stack(words, axis=1).view(np.uint64))
    if kind.is_variable:
        values = source.read(cursor, rows, STRINGS)
        assert isinstance(values, Strings)
        if kind.is_text and not valid_text(values.data, values.offsets):
            raise cursor.fail("text is not UTF-8")
        return Column(kind, values.data, values.offsets)
    count = rows * kind.dimension if kind.is_vector else rows
    if count > MAX_BLOCK_ITEMS * _VECTOR_SHARE:
        raise cursor.fail(f"{count} items in one block")
    array = source.read(cursor, count, kind_of(kind.dtype))
    assert isinstance(array, np.ndarray)
    return Column(kind, array.reshape(rows, kind.dimension) if kind.is_vector else array)


def _offsets(cursor: Cursor, rows: int, source: StreamReader) -> np.ndarray[Any, np.dtype[np.int64]]:
    lengths = source.read(cursor, rows, _LENGTHS)
    assert isinstance(lengths, np.ndarray)
    offsets = offsets_of(lengths)
    if offsets[-1] > MAX_BLOCK_ITEMS:
        raise cursor.fail(f"{offsets[-1]} list items in one block; at most {MAX_BLOCK_ITEMS} are possible")
    return offsets


def _nullable(cursor: Cursor, rows: int, kind: DataType, source: StreamReader) -> Column:
    """`rows` rows of which some may be null: their validity, then the others."""
    validity = source.read(cursor, rows, _BOOLS)
    assert isinstance(validity, np.ndarray)
    valid = int(np.count_nonzero(validity))
    column = put_together(cursor, valid, kind, source)
    return column if valid == rows else spread(column, validity)


def spread(column: Column, places: Mask) -> Column:
    """The rows of `column` where `places` is True, in order, and nulls elsewhere."""
    validity = places
    if column.validity is not None:
        validity = np.zeros(len(places), np.bool_)
        validity[places] = column.validity
    if column.type.is_struct:
        return Column(column.type, [spread(child, places) for child in column.children], None, validity)
    if column.offsets is not None:
        offsets = np.empty(len(places) + 1, np.int64)
        loader.spread_offsets()(column.offsets, places, offsets)
        return Column(column.type, column.values, offsets, validity)
    stored = column.array
    if stored.ndim == 2 or not len(stored):
        out = np.zeros((len(places), *stored.shape[1:]), stored.dtype)
        out[places] = stored
    else:
        out = np.empty(len(places), stored.dtype)
        bits = f"u{stored.itemsize}"
        loader.spread_values()(stored.view(bits), places, out.view(bits))
    return Column(column.type, out, None, validity)


def read_block(cursor: Cursor, rows: int, nulls: int, kind: DataType, source: StreamReader) -> Column:
    """The rows of a block of which the page index says that `nulls` are null."""
    if nulls == rows:
        cursor.expect_end("block of nulls")
        return Column.nulls(kind, rows)
    if not nulls:
        return put_together(cursor, rows, kind, source)
    validity = row_validity(cursor, rows, nulls, source)
    return spread(put_together(cursor, rows - nulls, kind, source), validity)


def row_validity(cursor: Cursor, rows: int, nulls: int, source: StreamReader) -> Mask:
    """The first stream of a block with some nulls."""
    validity: Values | None = read_bitmap(cursor, rows)
    if validity is None:
        validity = source.read(cursor, rows, _BOOLS)
    assert isinstance(validity, np.ndarray)
    found = rows - int(np.count_nonzero(validity))
    if found != nulls:
        raise cursor.fail(f"{found} nulls in a block of which the index says {nulls}")
    return validity


def match_block(
    cursor: Cursor, rows: int, nulls: int, kind: DataType, source: StreamReader, test: Test
) -> tuple[Mask, Mask | None]:
    """Which rows pass `test` (whatever it says of nulls), and which are valid (None: all).

    Only for types of a single stream. A dictionary is asked once for each of its values, packed numbers are
    compared without being unpacked.
    """
    if nulls == rows:
        return np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    (leaf,) = leaves(kind)
    if not nulls:
        return source.match(cursor, rows, leaf.kind, test), None
    validity = row_validity(cursor, rows, nulls, source)
    passing = np.zeros(rows, np.bool_)
    passing[validity] = source.match(cursor, rows - nulls, leaf.kind, test)
    return passing, validity
