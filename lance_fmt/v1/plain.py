"""Values as they are (FORMAT.md, "Plain"): raw little-endian numbers, bitmaps, lengths and bytes.

Fixed-width values without nulls are one array on disk, across blocks and pages, which is what makes a
vector column one zero-copy view.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.column import Column
from lance_fmt.constants import EncodingId, TypeId
from lance_fmt.schema import DataType
from lance_fmt.v1.integers import read_lengths
from lance_fmt.wire import Cursor


class Plain:
    """Values as they are; accepts every type."""

    id = EncodingId.PLAIN
    name = "plain"

    def open(self, shared: Cursor, data_type: DataType) -> None:  # noqa: ARG002
        """Plain pages share nothing."""
        shared.expect_end("shared bytes of a plain page")

    def decode(self, block: Cursor, rows: int, data_type: DataType, shared: Column | None) -> Column:  # noqa: ARG002
        """Values of one block; numbers are views of its bytes."""
        if data_type.is_variable:
            return _read_strings(block, rows, data_type)
        if data_type.id is TypeId.BOOL:
            return Column(data_type, read_bitmap(block, rows))
        raw = block.take(rows * data_type.stride, "values")
        block.expect_end("block")
        values = np.frombuffer(raw, data_type.dtype)
        if not values.flags.aligned:
            values = values.copy()
        if data_type.is_vector:
            values = values.reshape(rows, data_type.dimension)
        return Column(data_type, values)


def read_bitmap(block: Cursor, rows: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The rest of the block as `rows` bits, least significant first; unused bits must be zero."""
    raw = np.frombuffer(block.take(-(-rows // 8), "bitmap"), np.uint8)
    block.expect_end("block")
    bits = np.unpackbits(raw, bitorder="little")
    if bits[rows:].any():
        raise block.fail("bits behind the last row of a bitmap are not zero")
    return bits[:rows].view(np.bool_)


def _read_strings(block: Cursor, rows: int, data_type: DataType) -> Column:
    offsets = read_lengths(block, rows, block.remaining)
    raw = block.take(int(offsets[-1]), "string bytes")
    block.expect_end("block")
    values = np.frombuffer(raw, np.uint8)
    if data_type.is_text:
        _check_text(block, bytes(raw), values, offsets)
    return Column(data_type, values, offsets)


def _check_text(
    block: Cursor,
    raw: bytes,
    values: np.ndarray[tuple[int], np.dtype[np.uint8]],
    offsets: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    """Every string is UTF-8: the whole is, and no string starts inside a character."""
    if raw.isascii():
        return
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise block.fail(f"text is not UTF-8 ({error.reason})") from None
    first = offsets[:-1][offsets[:-1] < offsets[1:]]
    if ((values[first] & 0xC0) == 0x80).any():
        raise block.fail("a string starts inside a UTF-8 character")
