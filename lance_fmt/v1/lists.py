"""Lists: lengths, then the items of the block under the page's encoding (FORMAT.md, "Lists")."""

from __future__ import annotations

from collections.abc import Sequence

from lance_fmt.column import Column
from lance_fmt.constants import MAX_BLOCK_ITEMS
from lance_fmt.v1.integers import read_lengths, write_lengths
from lance_fmt.v1.protocol import Buffer, Encoded, Encoding
from lance_fmt.schema import DataType
from lance_fmt.wire import Cursor


def accepts(encoding: Encoding, data_type: DataType) -> bool:
    """Whether a column of `data_type` (a list or not) can be written with `encoding`."""
    return encoding.accepts(data_type.element if data_type.is_list else data_type)


def encode(encoding: Encoding, column: Column, starts: Sequence[int], effort: int) -> Encoded | None:
    """`encoding.encode`, also for lists."""
    if not column.type.is_list:
        return encoding.encode(column, starts, effort)
    bounds = column.bounds
    items = encoding.encode(column.child, bounds[list(starts)].tolist(), effort)
    if items is None:
        return None
    blocks: list[Buffer] = [
        write_lengths(bounds[a : b + 1]) + bytes(part)
        for a, b, part in zip(starts, starts[1:], items.blocks, strict=False)
    ]
    return Encoded(blocks, items.shared)


def open_shared(encoding: Encoding, shared: Cursor, data_type: DataType) -> Column | None:
    """`encoding.open`, also for lists."""
    return encoding.open(shared, data_type.element if data_type.is_list else data_type)


def decode(
    encoding: Encoding, block: Cursor, rows: int, data_type: DataType, shared: Column | None
) -> Column:
    """`encoding.decode`, also for lists."""
    if not data_type.is_list:
        return encoding.decode(block, rows, data_type, shared)
    item = data_type.element
    offsets = read_lengths(block, rows, MAX_BLOCK_ITEMS)
    return Column(data_type, encoding.decode(block, int(offsets[-1]), item, shared), offsets)
