"""A column whose pages are one array on disk: views of it, or reads straight into arrays.

A block is held against its checksum whenever its bytes are read with others; where the source is memory (bytes,
a mapped file), and where single rows are read by themselves, on the first touch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.column_pages import ColumnPages, Page
from lance_fmt.constants import EncodingId, TypeId
from lance_fmt.errors import CorruptFileError
from lance_fmt.source import BytesSource, MmapSource, read_array, read_exactly, read_rows

Array = np.ndarray[Any, Any]


def array_base(pages: ColumnPages) -> int | None:
    """File offset of a column where all its pages are one array on disk; else None."""
    kind, handles = pages.type, pages.meta.pages
    if any(encoding is not EncodingId.PLAIN for encoding in pages.meta.encodings) or not len(handles):
        return None
    if not kind.stride or kind.id is TypeId.BOOL or handles["nulls"].any():
        return None
    ends = handles["data_offset"] + handles["data_length"]
    sizes = handles["rows"].astype(np.uint64) * np.uint64(kind.stride)
    joined = (ends[:-1] == handles["data_offset"][1:]).all() and (
        sizes[:-1] == handles["data_length"][:-1]
    ).all()
    return int(handles["data_offset"][0]) if joined and sizes[-1] <= handles["data_length"][-1] else None


class ArrayOnDisk:
    """The array of a column, from file offset `base` on."""

    def __init__(self, pages: ColumnPages, base: int) -> None:
        self._pages = pages
        self._base = base
        self._type = pages.type
        self._stride = pages.type.stride
        self._in_memory = isinstance(pages.source, MmapSource | BytesSource)
        self._array: Array | None = None
        # Which blocks have been held against their checksums.
        self._checked = np.zeros(-(-pages.num_rows // (1 << pages.block_shift)), np.bool_)

    def take(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Column:
        """Rows of an array on disk: only their own bytes are read, once their blocks have been checked."""
        numbers = rows >> self._pages.block_shift
        if not self._checked[numbers].all():
            for number in np.unique(numbers).tolist():
                self._touch(number)
        stride, base = self._stride, self._base
        if self._in_memory:
            values = self._view()[rows]
        else:
            raw = read_rows(self._pages.source, (base + rows * stride).tolist(), stride)
            values = raw.view(self._type.dtype)
            values = values if self._type.is_vector else values.reshape(-1)
        return Column(self._type, values)

    def _touch(self, number: int) -> None:
        """Hold block `number` of the column against its checksum, once."""
        if not self._checked[number]:
            owner, block = (
                number >> (self._pages.page_shift - self._pages.block_shift),
                number & self._pages.block_mask,
            )
            page = self._pages.page(owner)
            self._check_page(owner, page)
            if page.blocks[block] is None:  # else it was checked when it was decoded
                self._pages.check(owner, page.index, block, *self._pages.fetch(owner, page, block))
            self._checked[number] = True

    def _view(self) -> Array:
        """The whole column as one array over a source that is memory; blocks are checked by the caller."""
        if self._array is None:
            length = self._pages.num_rows * self._stride
            raw = np.frombuffer(
                read_exactly(self._pages.source, self._base, length, "array"), self._type.dtype
            )
            self._array = raw.reshape(-1, self._type.dimension) if self._type.is_vector else raw
        return self._array

    def read(self, start: int, stop: int) -> Column:
        """Rows of an array on disk: one read into one array, or a view of memory, block by block checked."""
        stride, base = self._stride, self._base
        spans = self._pages.spans(start, stop)
        self._pages.load_pages(spans[0][0], spans[-1][0])
        if self._in_memory:
            self._check_blocks(self._view().view(np.uint8).reshape(-1).data, base, spans, again=False)
            return Column(self._type, self._view()[start:stop])
        low = (spans[0][0] << self._pages.page_shift) + (spans[0][1] << self._pages.block_shift)
        length = self._end(spans[-1]) - (base + low * stride)
        raw = read_array(
            self._pages.source, base + low * stride, length, f"column {self._pages.field.name!r}"
        )
        self._check_blocks(raw.data, base + low * stride, spans, again=True)
        skip = (start - low) * stride
        values = raw[skip : skip + (stop - start) * stride].view(self._type.dtype)
        return Column(
            self._type, values.reshape(-1, self._type.dimension) if self._type.is_vector else values
        )

    def _check_blocks(
        self, view: memoryview, base: int, spans: list[tuple[int, int, int]], *, again: bool
    ) -> None:
        """Hold blocks against their checksums; `view` are the bytes from file offset `base` on.

        Unless `again`, those that have been checked before are passed over.
        """
        for number, first, last in spans:
            page = self._pages.page(number)
            self._check_page(number, page)
            at = number << (self._pages.page_shift - self._pages.block_shift)
            if not again and self._checked[at + first : at + last + 1].all():
                continue
            ends, checksums, offset = page.index.ends, page.index.checksums, page.offset - base
            begin = ends[first - 1] if first else 0
            for block in range(first, last + 1):
                # The padding behind the last block counts to its checksum, and is no row of the array.
                end = page.index.data_length if block == len(ends) - 1 else ends[block]
                raw = view[offset + begin : offset + end]
                if len(raw) != end - begin:
                    raw = read_exactly(self._pages.source, page.offset + begin, end - begin, "block")
                if crc32c(raw) != checksums[block]:
                    self._pages.check(number, page.index, block, raw, page.offset + begin)
                begin = end
            self._checked[at + first : at + last + 1] = True

    def _end(self, span: tuple[int, int, int]) -> int:
        number, first, last = span
        return int(self._pages.page_offsets[number] + self._pages.page(number).index.span(first, last)[1])

    def _check_page(self, number: int, page: Page) -> None:
        """The blocks of a page of an array must lie where the array's rows do."""
        size = page.rows * self._stride
        step = self._stride << self._pages.block_shift
        if page.index.ends != [*range(step, size, step), size]:
            what = f"{self._pages.place(number, 0)}: sizes of plain blocks do not fit their rows"
            raise CorruptFileError(self._pages.source.name, page.offset, what)
