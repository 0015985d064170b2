"""Reads one column: rows to pages to blocks by shifts, every block checked before it is decoded.

Global block b is block `b & mask` of page `b >> (page_shift - block_shift)`, because all pages but the last
are full. Blocks that single rows and `take` ask for stay decoded in the cache; long reads pass it by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lance_fmt import miniblock
from lance_fmt.cache import BlockCache
from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.column_meta import ColumnMeta
from lance_fmt.constants import EncodingId, TypeId
from lance_fmt.v1 import ENCODINGS
from lance_fmt.errors import CorruptFileError
from lance_fmt.page import PageIndex, read_page_index
from lance_fmt.schema import Field
from lance_fmt.source import ReadAt, read_array, read_exactly
from lance_fmt.wire import Cursor

_INDEX_KEYS = 1 << 47


class _Block:
    """A decoded block in the cache, and the function that reads one row of it (made on first use)."""

    __slots__ = ("column", "get")

    def __init__(self, column: Column) -> None:
        self.column = column
        self.get: Callable[[int], Any] | None = None


class ColumnReader:
    """One column of an open file. Safe to use from several threads."""

    def __init__(
        self, source: ReadAt, field: Field, meta: ColumnMeta, *, cache: BlockCache, keys: int
    ) -> None:
        self.field = field
        self.type = field.type
        self.meta = meta
        self._source = source
        self._cache = cache
        self._keys = keys
        self._block_shift = meta.block_shift
        self._slot_mask = (1 << meta.block_shift) - 1
        self._page_blocks_shift = meta.page_shift - meta.block_shift
        kind = field.type
        self._is_raw = bool(kind.stride) and kind.id is not TypeId.BOOL

    def index(self, page: int) -> PageIndex:
        """The checked index of page `page`, from the cache if it is there."""
        key = self._keys + _INDEX_KEYS + page
        known: PageIndex | None = self._cache.get(key)
        if known is not None:
            return known
        handle = self.meta.pages[page]
        offset, length = int(handle["index_offset"]), int(handle["index_length"])
        what = f"index of page {page} of column {self.field.name!r}"
        raw = read_exactly(self._source, offset, length, what)
        if crc32c(raw) != int(handle["index_crc"]):
            raise CorruptFileError(self._source.name, offset, f"{what} does not match its checksum")
        found = read_page_index(
            Cursor(raw, path=self._source.name, base=offset),
            rows=int(handle["rows"]),
            nulls=int(handle["nulls"]),
            block_shift=self.meta.block_shift,
            data_length=int(handle["data_length"]),
            encoding=self.meta.encodings[page],
            kind=self.type,
        )
        self._cache.put(key, found, found.nbytes)
        return found

    def value(self, row: int) -> Any:
        """Python value of row `row`, which the caller has checked to be in range."""
        number = row >> self._block_shift
        block = self._cache.get(self._keys + number) or self._block(number)
        return (block.get or self._getter(block))(row & self._slot_mask)

    def _getter(self, block: _Block) -> Callable[[int], Any]:
        get = block.column.getter()
        block.get = get
        return get

    def _block(self, number: int) -> _Block:
        """Block `number` of the column, decoded and kept."""
        block: _Block | None = self._cache.get(self._keys + number)
        if block is not None:
            return block
        page = number >> self._page_blocks_shift
        inside = number - (page << self._page_blocks_shift)
        index = self.index(page)
        start, stop = index.span(inside, inside)
        offset = int(self.meta.pages["data_offset"][page]) + start
        raw = read_exactly(self._source, offset, stop - start, self._place(page, inside))
        column = self._decode(page, index, inside, raw, offset)
        block = _Block(column)
        # The getter of a string block holds a second copy of its bytes.
        self._cache.put(self._keys + number, block, 2 * column.nbytes + 1000)
        return block

    def _place(self, page: int, block: int) -> str:
        return f"column {self.field.name!r}, page {page}, block {block}"

    def _check(self, page: int, index: PageIndex, block: int, raw: memoryview, offset: int) -> None:
        """Compare a block's bytes (and the padding behind the last block) with their checksum."""
        if crc32c(raw) != index.checksums[block]:
            raise CorruptFileError(
                self._source.name, offset, f"{self._place(page, block)} does not match its checksum"
            )

    def _decode(self, page: int, index: PageIndex, block: int, raw: memoryview, offset: int) -> Column:
        self._check(page, index, block, raw, offset)
        size = index.ends[block] - (index.ends[block - 1] if block else 0)
        left = int(self.meta.pages["rows"][page]) - (block << self._block_shift)
        return miniblock.read_block(
            Cursor(raw[:size], path=self._source.name, base=offset),
            min(left, 1 << self._block_shift),
            index.nulls[block] if index.nulls else 0,
            self.type,
            encoding=ENCODINGS[self.meta.encodings[page]],
            shared=index.shared,
        )

    def read(self, start: int, stop: int) -> Column:
        """Rows `start..stop`; the caller has checked the range."""
        if start >= stop:
            return Column.from_pylist([], self.type)
        first, last = start >> self.meta.page_shift, (stop - 1) >> self.meta.page_shift
        if self._is_raw and self._is_one_array(first, last):
            return self._read_raw(start, stop)
        parts = []
        for page in range(first, last + 1):
            begin = page << self.meta.page_shift
            end = begin + int(self.meta.pages["rows"][page])
            parts.append(self._read_page(page, max(start, begin) - begin, min(stop, end) - begin))
        return Column.concat(parts)

    def _read_page(self, page: int, start: int, stop: int) -> Column:
        """Rows `start..stop`, counted from the start of the page."""
        index = self.index(page)
        first, last = start >> self._block_shift, (stop - 1) >> self._block_shift
        begin, end = index.span(first, last)
        offset = int(self.meta.pages["data_offset"][page]) + begin
        raw = read_exactly(self._source, offset, end - begin, self._place(page, first))
        parts = []
        for block in range(first, last + 1):
            a, b = index.span(block, block)
            parts.append(self._decode(page, index, block, raw[a - begin : b - begin], offset + a - begin))
        skip = first << self._block_shift
        return Column.concat(parts).slice(start - skip, stop - skip)

    def _is_one_array(self, first: int, last: int) -> bool:
        """Whether pages `first..last` hold plain values without nulls, back to back in the file."""
        pages = self.meta.pages[first : last + 1]
        if pages["nulls"].any() or any(
            e is not EncodingId.PLAIN for e in self.meta.encodings[first : last + 1]
        ):
            return False
        ends = pages["data_offset"] + pages["data_length"]
        sizes = pages["rows"].astype(np.uint64) * np.uint64(self.type.stride)
        whole = bool(
            (ends[:-1] == pages["data_offset"][1:]).all() and (sizes[:-1] == pages["data_length"][:-1]).all()
        )
        return whole and bool(sizes[-1] <= pages["data_length"][-1])

    def _read_raw(self, start: int, stop: int) -> Column:
        """Read blocks that are one array in the file with one read, check them, and view them."""
        stride, shift = self.type.stride, self._block_shift
        first, last = start >> shift, (stop - 1) >> shift
        spans = self._raw_spans(first, last)
        base = spans[0][0]
        raw = read_array(self._source, base, spans[-1][1] - base, f"column {self.field.name!r}")
        view = raw.data
        for number, (a, b) in enumerate(spans, first):
            page = number >> self._page_blocks_shift
            block = number - (page << self._page_blocks_shift)
            self._check(page, self.index(page), block, view[a - base : b - base], a)
        skip = (start - (first << shift)) * stride
        values = raw[skip : skip + (stop - start) * stride].view(self.type.dtype)
        if not values.flags.aligned:
            values = values.copy()
        return Column(self.type, values.reshape(-1, self.type.dimension) if self.type.is_vector else values)

    def _raw_spans(self, first: int, last: int) -> list[tuple[int, int]]:
        """File positions of global blocks `first..last`, which must be where an array's would be."""
        spans = []
        for page in range(first >> self._page_blocks_shift, (last >> self._page_blocks_shift) + 1):
            index = self.index(page)
            offset = int(self.meta.pages["data_offset"][page])
            size = int(self.meta.pages["rows"][page]) * self.type.stride
            step = self.type.stride << self._block_shift
            if index.ends != [*range(step, size, step), size]:
                raise CorruptFileError(
                    self._source.name,
                    offset,
                    f"{self._place(page, 0)}: sizes of plain blocks do not fit their rows",
                )
            begin = page << self._page_blocks_shift
            for block in range(max(first - begin, 0), min(last - begin + 1, len(index.ends))):
                a, b = index.span(block, block)
                spans.append((offset + a, offset + b))
        return spans

    def take(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Column:
        """The rows at `rows` (checked by the caller), in that order."""
        if not len(rows):
            return Column.from_pylist([], self.type)
        numbers = rows >> self._block_shift
        first = int(numbers[0])
        if (numbers == first).all():
            return self._block(first).column.take(rows & self._slot_mask)
        wanted, place = np.unique(numbers, return_inverse=True)
        blocks = [self._block(number).column for number in wanted.tolist()]
        slots = rows & self._slot_mask
        if self.type.stride and all(block.validity is None for block in blocks):
            return self._take_fixed(blocks, place, slots)
        starts = np.cumsum([0, *map(len, blocks[:-1])])
        return Column.concat(blocks).take(starts[place] + slots)

    def _take_fixed(
        self, blocks: list[Column], place: np.ndarray[Any, Any], slots: np.ndarray[Any, Any]
    ) -> Column:
        """Gather fixed-width rows block by block, without joining the blocks first."""
        shape = (len(slots), self.type.dimension) if self.type.is_vector else (len(slots),)
        out = np.empty(shape, self.type.dtype)
        order = np.argsort(place, kind="stable")
        bounds = np.searchsorted(place, np.arange(len(blocks) + 1), sorter=order).tolist()
        for i, block in enumerate(blocks):
            rows = order[bounds[i] : bounds[i + 1]]
            out[rows] = block.array[slots[rows]]
        return Column(self.type, out)

    def verify(self) -> list[tuple[int, int, str]]:
        """Decode every block, and return the extents (start, end, name) of pages and page indexes."""
        extents = []
        for page in range(len(self.meta.pages)):
            handle = self.meta.pages[page]
            rows = int(handle["rows"])
            column = self._read_page(page, 0, rows)
            if self.field.type.id is TypeId.JSON:
                column.to_pylist()
            if column.null_count and not self.field.nullable:
                place = self._place(page, 0)
                raise CorruptFileError(
                    self._source.name, int(handle["data_offset"]), f"{place}: nulls where none may be"
                )
            name = f"page {page} of column {self.field.name!r}"
            for start, length in (("data_offset", "data_length"), ("index_offset", "index_length")):
                extents.append((int(handle[start]), int(handle[start]) + int(handle[length]), name))
        return extents
