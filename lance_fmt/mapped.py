"""A column of values of one size as it lies in a mapped file: views, checked block by block when the caller says so.

Reading a column holds all of it against its checksums at once. Here nothing is read before it is needed, so a file
larger than memory can be used at once; who looks at a value must have had its block checked before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lance_fmt.checksum import crc32c
from lance_fmt.column_pages import ColumnPages, Page
from lance_fmt.constants import EncodingId, TypeId
from lance_fmt.errors import CorruptFileError

Array = np.ndarray[Any, Any]


class MappedColumn:
    """The values of a column in memory that is a file, `memory`.

    `runs` are (first row, array) in row order, together all rows: one run where the pages of the column follow each
    other in the file. Blocks are `2^block_shift` rows each and are numbered through the column.
    """

    def __init__(self, pages: ColumnPages, memory: memoryview) -> None:
        self._pages = pages
        self._memory = memory
        self.block_shift = pages.block_shift
        self.rows = pages.num_rows
        self.blocks = -(-pages.num_rows >> pages.block_shift) if pages.num_rows else 0
        self.runs = list(self._runs())

    def check(self, first: int, last: int) -> None:
        """Hold the blocks `first..last` (last included) against their checksums; raises CorruptFileError."""
        pages = self._pages
        shift = pages.page_shift - pages.block_shift
        for number in range(first >> shift, (last >> shift) + 1):
            page = pages.passing_page(number) if last - first > pages.block_mask else pages.page(number)
            self._check_geometry(number, page)
            low = max(first - (number << shift), 0)
            high = min(last - (number << shift), len(page.index.ends) - 1)
            for block, (start, stop, checksum) in enumerate(page.checks[low : high + 1], low):
                raw = self._memory[page.offset + start : page.offset + stop]
                if crc32c(raw) != checksum:
                    pages.check(number, page.index, block, raw, page.offset + start)

    def _runs(self) -> Iterator[tuple[int, Array]]:
        pages, kind = self._pages, self._pages.type
        first, start, stop = 0, -1, -1
        row = 0
        for offset, rows in zip(pages.page_offsets, pages.page_rows, strict=True):
            if offset != stop and start >= 0:
                yield first, self._view(start, row - first)
            if offset != stop:
                first, start = row, offset
            stop = offset + rows * kind.stride
            row += rows
        if start >= 0:
            yield first, self._view(start, row - first)

    def _view(self, offset: int, rows: int) -> Array:
        kind = self._pages.type
        raw = self._memory[offset : offset + rows * kind.stride]
        if len(raw) != rows * kind.stride:
            what = f"column {self._pages.field.name!r}: {rows * kind.stride} bytes expected, {len(raw)} there"
            raise CorruptFileError(self._pages.source.name, offset, what)
        values = np.frombuffer(raw, kind.dtype)
        return values.reshape(rows, kind.dimension) if kind.is_vector else values

    def _check_geometry(self, number: int, page: Page) -> None:
        """The blocks of a page must lie where its rows do."""
        size = page.rows * self._pages.type.stride
        step = self._pages.type.stride << self._pages.block_shift
        if page.index.ends != [*range(step, size, step), size]:
            what = f"{self._pages.place(number, 0)}: sizes of plain blocks do not fit their rows"
            raise CorruptFileError(self._pages.source.name, page.offset, what)


def mapped_column(pages: ColumnPages) -> MappedColumn | None:
    """`File.mapped` of one column."""
    kind = pages.type
    plain = all(encoding is EncodingId.PLAIN for encoding in pages.meta.encodings)
    if not plain or not kind.stride or kind.id is TypeId.BOOL or pages.null_count:
        return None
    offer = getattr(pages.source, "mapped", None)
    memory = None if offer is None else offer()
    return None if memory is None else MappedColumn(pages, memory)
