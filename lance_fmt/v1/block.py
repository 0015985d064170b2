"""MiniBlocks: the unit of decoding and of checksums (FORMAT.md, "MiniBlocks").

A block is a null bitmap, only where some of its rows are null, and encoded values. A block of nulls only is
empty.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.column import Column
from lance_fmt.constants import BITMAP_ALIGNMENT
from lance_fmt.schema import DataType
from lance_fmt.v1 import lists
from lance_fmt.v1.plain import read_bitmap
from lance_fmt.v1.protocol import Encoding
from lance_fmt.wire import Cursor


def bitmap_size(rows: int) -> int:
    """Bytes of the null bitmap of a block: a bit for each row, padded with zeros to a multiple of 8."""
    return -(-rows // (8 * BITMAP_ALIGNMENT)) * BITMAP_ALIGNMENT


def read_block(
    block: Cursor,
    rows: int,
    nulls: int,
    data_type: DataType,
    *,
    encoding: Encoding,
    shared: Column | None,
) -> Column:
    """The `rows` rows of a block of which the page index says that `nulls` are null."""
    if not nulls:
        return lists.decode(encoding, block, rows, data_type, shared)
    if nulls == rows:
        block.expect_end("block of nulls")
        return empty_slots(data_type, rows)
    raw = block.take(bitmap_size(rows), "null bitmap")
    validity = read_bitmap(Cursor(raw, path=block.path, base=block.offset - len(raw)), len(raw) * 8)
    if validity[rows:].any() or rows - int(np.count_nonzero(validity)) != nulls:
        raise block.fail(f"null bitmap does not have the {nulls} nulls of {rows} rows that the index gives")
    column = lists.decode(encoding, block, rows, data_type, shared)
    return Column(data_type, column.values, column.offsets, validity[:rows])


def empty_slots(data_type: DataType, rows: int) -> Column:
    """`rows` nulls, made without asking the file for values."""
    validity = np.zeros(rows, np.bool_)
    if data_type.is_list:
        item = data_type.element
        child = Column(item, np.empty(0, item.dtype), np.zeros(1, np.int64) if item.is_variable else None)
        return Column(data_type, child, np.zeros(rows + 1, np.int64), validity)
    if data_type.is_variable:
        return Column(data_type, np.empty(0, np.uint8), np.zeros(rows + 1, np.int64), validity)
    shape = (rows, data_type.dimension) if data_type.is_vector else (rows,)
    return Column(data_type, np.zeros(shape, data_type.dtype), None, validity)
