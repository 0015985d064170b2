"""Integers and timestamps as bit-packed distances from the smallest value of their block.

FORMAT.md, "Bit-packed".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lance_fmt.column import Column
from lance_fmt.constants import EncodingId
from lance_fmt.v1.integers import read_integers, write_integers
from lance_fmt.v1.protocol import Buffer, Encoded
from lance_fmt.schema import DataType
from lance_fmt.wire import Cursor


class BitPacked:
    """Frame of reference and bit-packing; accepts integers and timestamps."""

    id = EncodingId.BITPACKED
    name = "bitpacked"

    def accepts(self, data_type: DataType) -> bool:
        """Scalars held as integers."""
        return data_type.is_integer

    def encode(self, column: Column, starts: Sequence[int], effort: int) -> Encoded:  # noqa: ARG002
        """Integers of each block, its smallest value as the base, in two's complement of 64 bits."""
        values = column.array
        blocks: list[Buffer] = []
        for a, b in pairwise(starts):
            part = values[a:b]
            base = int(part.min()) & 0xFFFFFFFFFFFFFFFF if b > a else 0
            wide = part.astype(np.int64) if part.dtype.kind == "i" else part
            words = wide.view(np.uint64) if wide.dtype.itemsize == 8 else wide.astype(np.uint64)
            blocks.append(write_integers(words, base))
        return Encoded(blocks)

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
