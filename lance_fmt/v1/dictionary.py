"""Distinct values once for a page, and bit-packed codes (FORMAT.md, "Dictionary").

The values are sorted (numbers by their bit pattern, byte strings by byte), so equal columns give equal
files. They lie in the page index, read and checked once for all blocks of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from lance_fmt.column import Column
from lance_fmt.constants import MAX_DICTIONARY_VALUES, EncodingId, TypeId
from lance_fmt.v1.integers import read_integers, write_integers
from lance_fmt.v1.plain import Plain
from lance_fmt.v1.protocol import Buffer, Encoded
from lance_fmt.pyvalues import offsets_of
from lance_fmt.schema import DataType
from lance_fmt.wire import Builder, Cursor

# A dictionary is read for the first row of its page, so it must stay small beside the page.
_MAX_VALUES = MAX_DICTIONARY_VALUES // 2
_MAX_BYTES = 1 << 18
_PROBE = 512


class Dictionary:
    """Values once, then codes; accepts scalars (not bools) and byte strings."""

    id = EncodingId.DICTIONARY
    name = "dictionary"

    def accepts(self, data_type: DataType) -> bool:
        """Numbers, timestamps, strings, binary and JSON."""
        return not (data_type.is_list or data_type.is_vector or data_type.id is TypeId.BOOL)

    def encode(self, column: Column, starts: Sequence[int], effort: int) -> Encoded | None:
        """None where values hardly repeat or the dictionary grows too large."""
        first, last = starts[0], starts[-1]
        if last - first < 2 or _hardly_repeats(column, first, last):
            return None
        distinct, codes = _distinct(column.slice(first, last))
        if 2 * len(distinct) > last - first or len(distinct) > _MAX_VALUES or distinct.nbytes > _MAX_BYTES:
            return None
        values = Plain().encode(distinct, [0, len(distinct)], effort).blocks[0]
        blocks: list[Buffer] = [write_integers(codes[a - first : b - first], 0) for a, b in pairwise(starts)]
        return Encoded(blocks, Builder().u64(len(distinct)).raw(values).finish())

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


def _hardly_repeats(column: Column, first: int, last: int) -> bool:
    """Look at runs of rows from all over the page before hashing all of it."""
    if last - first <= 2 * _PROBE:
        return False
    picks = np.linspace(first, last - 1, _PROBE).astype(np.int64)
    distinct, _ = _distinct(column.take(picks))
    return len(distinct) > _PROBE * 3 // 4


def _distinct(column: Column) -> tuple[Column, np.ndarray[Any, np.dtype[np.uint64]]]:
    """Sorted distinct values and, for each row, the place of its value among them."""
    if column.offsets is None:
        bits = column.array.view(f"<u{column.array.dtype.itemsize}")
        unique, codes = np.unique(bits, return_inverse=True)
        return Column(column.type, unique.view(column.array.dtype)), codes.astype(np.uint64)
    compact = column.compact()
    raw = compact.array.tobytes()
    ends = compact.bounds.tolist()
    rows = [raw[a:b] for a, b in pairwise(ends)]
    places = {value: place for place, value in enumerate(sorted(set(rows)))}
    numbers = np.fromiter(map(places.__getitem__, rows), np.uint64, len(rows))
    values = np.frombuffer(b"".join(places), np.uint8)
    return Column(column.type, values, offsets_of([len(v) for v in places])), numbers
