"""Lists: lengths, then the items of the block under the page's encoding (FORMAT.md, "Lists")."""

from __future__ import annotations

from lance_fmt.column import Column
from lance_fmt.constants import MAX_BLOCK_ITEMS
from lance_fmt.schema import DataType
from lance_fmt.v1.integers import read_lengths
from lance_fmt.v1.protocol import Encoding
from lance_fmt.wire import Cursor


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
