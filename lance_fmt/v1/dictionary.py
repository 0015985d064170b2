"""Distinct values once for a page, and bit-packed codes (FORMAT.md, "Dictionary").

The values are sorted (numbers by their bit pattern, byte strings by byte), so equal columns give equal
files. They lie in the page index, read and checked once for all blocks of the page.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.column import Column
from lance_fmt.constants import MAX_DICTIONARY_VALUES, EncodingId
from lance_fmt.schema import DataType
from lance_fmt.v1.integers import read_integers
from lance_fmt.v1.plain import Plain
from lance_fmt.wire import Cursor


class Dictionary:
    """Values once, then codes; accepts scalars (not bools) and byte strings."""

    id = EncodingId.DICTIONARY
    name = "dictionary"

    def open(self, shared: Cursor, data_type: DataType) -> Column:
        """The distinct values."""
        count = shared.u64("dictionary length")
        if not 1 <= count <= MAX_DICTIONARY_VALUES:
            raise shared.fail(f"dictionary of {count} values")
        return Plain().decode(shared, count, data_type, None)

    def decode(self, block: Cursor, rows: int, data_type: DataType, shared: Column | None) -> Column:
        """Values of one block, looked up."""
        codes = read_integers(block, rows)
        block.expect_end("block")
        if shared is None:
            raise block.fail("dictionary codes without a dictionary")
        if rows and int(codes.max()) >= len(shared):
            raise block.fail(f"dictionary code {int(codes.max())} without a value")
        return shared.take(codes.view(np.int64)) if rows else Column.from_pylist([], data_type)
