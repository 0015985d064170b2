"""Whole columns of numbers, decoded to where the result lies.

Most columns are read like this, and of most files there are many: what is done once for each of them is kept
short. Pages without nulls are decoded as runs of blocks. In others, streams that are common are read without taking
them apart step by step; of all others, and of what is wrong with any, the encodings are asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lance_fmt.arena import Arena
from lance_fmt.block import row_validity
from lance_fmt.block_runs import BlockRun
from lance_fmt.column import Column
from lance_fmt.column_pages import ColumnPages, Page
from lance_fmt.constants import EncodingId, TypeId
from lance_fmt.encodings.frame_of_reference import unpack_frame
from lance_fmt.encodings.protocol import Kind, kind_of
from lance_fmt.encodings.streams import PageReader
from lance_fmt.kernels import loader
from lance_fmt.page import PageIndex
from lance_fmt.source import read_exactly
from lance_fmt.wire import Cursor

Array = np.ndarray[Any, Any]

_NO_VALIDITY = np.empty(0, np.bool_)


def are_numbers(pages: ColumnPages) -> bool:
    """Whether the column is one that `read_numbers` can read: a number for each row, in pages of streams."""
    kind = pages.type
    one = kind.stride in (4, 8) and not kind.is_vector and not kind.is_struct and kind.id is not TypeId.BOOL
    return one and all(encoding is EncodingId.STREAMS for encoding in pages.meta.encodings)


def read_numbers(pages: ColumnPages, arena: Arena | None) -> Column:
    """All rows (at least one) of a column of numbers, in memory of the `arena`, if there is one."""
    kind, rows = pages.type, pages.num_rows
    size = rows * kind.stride
    out = (np.empty(size, np.uint8) if arena is None else arena.take(size)).view(f"u{kind.stride}")
    validity = _NO_VALIDITY
    if pages.null_count:
        validity = np.empty(rows, np.bool_) if arena is None else arena.take(rows).view(np.bool_)
    values = kind_of(kind.dtype)
    start = 0
    for number in range(len(pages.page_rows)):
        page = pages.passing_page(number)
        stop = start + page.rows
        _read_page(pages, number, page, values, out[start:stop], validity[start:stop])
        start = stop
    return Column(kind, out.view(kind.dtype), None, validity if len(validity) else None)


def read_range(pages: ColumnPages, start: int, stop: int, arena: Arena | None) -> Column:
    """Rows `start..stop` (at least one) of a column of numbers without nulls, in memory of the `arena`, if any."""
    kind = pages.type
    run = BlockRun(pages, [(n, pages.page(n), first, last) for n, first, last in pages.spans(start, stop)])
    size = run.num_rows * kind.stride
    out = (np.empty(size, np.uint8) if arena is None else arena.take(size)).view(f"u{kind.stride}")
    read_run(run, kind_of(kind.dtype), out)
    skipped = start & pages.slot_mask
    return Column(kind, out[skipped : skipped + stop - start].view(kind.dtype))


def _read_page(pages: ColumnPages, number: int, page: Page, kind: Kind, out: Array, validity: Array) -> None:
    if page.index.nulls is None:
        read_run(BlockRun(pages, [(number, page, 0, len(page.blocks) - 1)]), kind, out)
        validity[:] = True
        return
    raw = read_exactly(pages.source, page.offset, page.index.data_length, "page")
    pages.check_blocks(number, page, 0, len(page.blocks) - 1, raw, 0)
    begin, start, per_block = 0, 0, 1 << pages.block_shift
    for block, end in enumerate(page.index.ends):
        stop = min(start + per_block, page.rows)
        known = page.blocks[block]
        if known is not None:
            out[start:stop] = known.array.view(out.dtype)
            validity[start:stop] = True if known.validity is None else known.validity
        else:
            cursor = Cursor(raw[begin:end], path=pages.source.name, base=page.offset + begin)
            nulls = page.index.null_count(block)
            _read_block(cursor, page.index, nulls, kind, out[start:stop], validity[start:stop])
        begin, start = end, stop


def read_run(run: BlockRun, kind: Kind, out: Array) -> None:
    """All values of a run of blocks without nulls to `out`, unsigned integers as wide as `kind`."""

    def one(block: int) -> Array:
        page, place = run.block(block)
        known = page.blocks[place]
        if known is not None:
            return known.array
        cursor, reader = run.cursor(block)
        values = reader.read(cursor, run.row(block + 1) - run.row(block), kind)
        if cursor.remaining:
            cursor.expect_end("block")
        assert isinstance(values, np.ndarray)
        return values

    run.read_numbers(kind, out, one)


def _read_block(
    cursor: Cursor, index: PageIndex, nulls: int, kind: Kind, out: Array, validity: Array
) -> None:
    """Like `lance_fmt.block.read_block`, into `out` and `validity`."""
    rows = len(out)
    if nulls == rows:
        cursor.expect_end("block of nulls")
        out[:], validity[:] = 0, False
        return
    assert index.views is not None
    reader = PageReader(index.views)
    if not nulls:
        out[:] = _values(cursor, rows, kind, reader).view(out.dtype)
        validity[:] = True
    else:
        places = row_validity(cursor, rows, nulls, reader)
        values = _values(cursor, rows - nulls, kind, reader)
        validity[:] = places
        loader.spread_values()(values.view(out.dtype), places, out)
    if cursor.remaining:
        cursor.expect_end("block")


def _values(cursor: Cursor, count: int, kind: Kind, reader: PageReader) -> Array:
    unpacked = unpack_frame(cursor, count, kind)
    if unpacked is not None:
        return unpacked
    found = reader.read(cursor, count, kind)
    assert isinstance(found, np.ndarray)
    return found
