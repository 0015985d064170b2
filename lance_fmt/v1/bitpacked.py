"""Integers and timestamps as bit-packed distances from the smallest value of their block.

FORMAT.md, "Bit-packed".
"""

from __future__ import annotations

from lance_fmt.column import Column
from lance_fmt.constants import EncodingId
from lance_fmt.schema import DataType
from lance_fmt.v1.integers import read_integers
from lance_fmt.wire import Cursor


class BitPacked:
    """Frame of reference and bit-packing; accepts integers and timestamps."""

    id = EncodingId.BITPACKED
    name = "bitpacked"

    def open(self, shared: Cursor, data_type: DataType) -> None:  # noqa: ARG002
        """Bit-packed pages share nothing."""
        shared.expect_end("shared bytes of a bit-packed page")

    def decode(self, block: Cursor, rows: int, data_type: DataType, shared: Column | None) -> Column:  # noqa: ARG002
        """Values of one block."""
        words = read_integers(block, rows)
        block.expect_end("block")
        if data_type.dtype.itemsize == 8:
            return Column(data_type, words.view(data_type.dtype))
        return Column(data_type, words.astype(data_type.dtype))
