"""Pages: building one from a column, and the page index with its block directory (FORMAT.md, "Pages").

A page's data is its blocks, back to back, padded with zeros to a multiple of 64 bytes; the padding counts to
the last block's checksum. The page index says where blocks end, and holds their checksums, their null
counts and what they share; its own checksum lies in the page handle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.constants import MAX_BLOCK_BYTES, MAX_BLOCK_ITEMS, PAGE_ALIGNMENT, EncodingId
from lance_fmt.v1 import ENCODINGS, lists
from lance_fmt.v1.protocol import Buffer
from lance_fmt.v1.select import Level, choose, values_size
from lance_fmt.errors import InvalidDataError
from lance_fmt.miniblock import write_block
from lance_fmt.pyvalues import offsets_of
from lance_fmt.schema import DataType
from lance_fmt.wire import Builder, Cursor
from lance_fmt.zonemap import Bounds, measure


@dataclass(frozen=True, slots=True)
class PageImage:
    """An encoded page, ready to be written: data buffers (padding included), index, and handle fields."""

    data: list[Buffer]
    index: bytes
    rows: int
    nulls: int
    encoding: EncodingId
    bounds: Bounds
    evidence: str


def build_page(column: Column, block_shift: int, level: Level) -> PageImage:
    """Encode `column` as one page of blocks of `2^block_shift` rows."""
    column = _plain_null_slots(column)
    starts = [*range(0, len(column), 1 << block_shift), len(column)]
    _check_block_sizes(column, starts)
    choice = choose(Column(column.type, column.values, column.offsets), starts, level)
    data: list[Buffer] = []
    null_counts = []
    for i, values in enumerate(choice.encoded.blocks):
        validity = None if column.validity is None else column.validity[starts[i] : starts[i + 1]]
        block, nulls = write_block(values, validity)
        data.append(block)
        null_counts.append(nulls)
    ends = offsets_of([len(block) for block in data])[1:]
    checksums = [crc32c(block) for block in data]
    padding = bytes(-int(ends[-1]) % PAGE_ALIGNMENT)
    checksums[-1] = crc32c(padding, checksums[-1])
    data.append(padding)
    index = Builder().u32(len(ends)).u32(len(choice.encoded.shared)).raw(ends.astype("<u8").tobytes())
    index.raw(np.array(checksums, "<u4").tobytes())
    if any(null_counts):
        index.raw(np.array(null_counts, "<u4").tobytes())
    index.raw(choice.encoded.shared)
    nulls = sum(null_counts)
    return PageImage(
        data, index.finish(), len(column), nulls, choice.encoding.id, measure(column), choice.evidence
    )


def _check_block_sizes(column: Column, starts: list[int]) -> None:
    sizes = [values_size(column.slice(a, b)) for a, b in pairwise(starts)]
    if column.type.is_list and int(np.diff(column.bounds[starts]).max()) > MAX_BLOCK_ITEMS:
        raise InvalidDataError(f"more than {MAX_BLOCK_ITEMS} items of {column.type} in {starts[1]} rows")
    if max(sizes) > MAX_BLOCK_BYTES:
        raise InvalidDataError(
            f"{max(sizes)} bytes of {column.type} in one block of {starts[1]} rows; a block holds "
            f"{MAX_BLOCK_BYTES}: split such values, or write rows of like size together"
        )


def _plain_null_slots(column: Column) -> Column:
    """Give the slots of nulls values that cost little: the last valid one, zeros, or no bytes at all."""
    validity = column.validity
    if validity is None or not len(validity):
        return column.compact()
    if column.offsets is not None:
        lengths = np.where(validity, np.diff(column.offsets), 0)
        kept = Column(column.type, column.values, column.offsets).take(np.flatnonzero(validity))
        return Column(column.type, kept.values, offsets_of(lengths), validity)
    if column.type.is_vector:
        return Column(column.type, np.where(validity[:, None], column.array, 0), None, validity)
    if not validity.any():
        return Column(column.type, np.zeros_like(column.array), None, validity)
    latest = np.maximum.accumulate(np.where(validity, np.arange(len(validity)), int(validity.argmax())))
    return Column(column.type, column.array[latest], None, validity)


@dataclass(frozen=True)
class PageIndex:
    """A parsed page index: block i is `ends[i - 1]..ends[i]` of the page's data (from 0 for the first)."""

    ends: list[int]
    checksums: list[int]
    nulls: list[int] | None
    shared_size: int
    data_length: int
    open_shared: Callable[[], Column | None]

    @cached_property
    def shared(self) -> Column | None:
        """What all blocks share, decoded on first use: inspecting a file must not load kernels."""
        return self.open_shared()

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where the data of blocks `first..last` (last included) starts and ends, padding included."""
        start = self.ends[first - 1] if first else 0
        return start, self.data_length if last == len(self.ends) - 1 else self.ends[last]

    @property
    def nbytes(self) -> int:
        """Memory held, roughly."""
        return 100 * len(self.ends) + 8 * self.shared_size


def read_page_index(
    cursor: Cursor,
    *,
    rows: int,
    nulls: int,
    block_shift: int,
    data_length: int,
    encoding: EncodingId,
    kind: DataType,
) -> PageIndex:
    """Parse a page index (its checksum verified before) and hold it against the page's handle."""
    count = cursor.u32("block count")
    if count != -(-rows // (1 << block_shift)):
        raise cursor.fail(f"{count} blocks for {rows} rows of {1 << block_shift} in a block")
    shared_size = cursor.u32("size of shared bytes")
    ends = _numbers(cursor, "<u8", count, "block ends")
    checksums = _numbers(cursor, "<u4", count, "block checksums")
    null_counts = _numbers(cursor, "<u4", count, "block null counts") if nulls else None
    if (ends[1:] < ends[:-1]).any() or -(-int(ends[-1]) // PAGE_ALIGNMENT) * PAGE_ALIGNMENT != data_length:
        raise cursor.fail(f"block ends do not fit the {data_length} bytes of the page")
    if null_counts is not None:
        sizes = np.full(count, 1 << block_shift, np.int64)
        sizes[-1] = rows - ((count - 1) << block_shift)
        if (null_counts > sizes).any() or int(null_counts.sum(dtype=np.int64)) != nulls:
            raise cursor.fail(f"null counts of blocks do not fit the {nulls} nulls of the page")
    if cursor.remaining != shared_size:
        raise cursor.fail(f"{shared_size} shared bytes declared, {cursor.remaining} there")
    base = cursor.offset
    shared = cursor.take(shared_size, "shared bytes")

    def open_shared() -> Column | None:
        # A cursor of its own for each call: several threads may be the first to ask.
        return lists.open_shared(ENCODINGS[encoding], Cursor(shared, path=cursor.path, base=base), kind)

    return PageIndex(
        ends.tolist(),
        checksums.tolist(),
        None if null_counts is None else null_counts.tolist(),
        shared_size,
        data_length,
        open_shared,
    )


def _numbers(cursor: Cursor, dtype: str, count: int, what: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(cursor.take(count * np.dtype(dtype).itemsize, what), dtype)
