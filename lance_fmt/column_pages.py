"""Pages and blocks of a column: fetched, held against their checksums, decoded, kept in the cache.

Rows to pages to blocks by shifts. Pages that single rows and `take` ask for stay in the cache with those of
their blocks that were decoded; long reads pass it by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lance_fmt.cache import BlockCache
from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.column_meta import ColumnMeta, Handle
from lance_fmt.encodings.dictionary import Entries
from lance_fmt.errors import CorruptFileError
from lance_fmt.fetch import read_many
from lance_fmt.page import PageIndex, read_page_index
from lance_fmt.schema import Field
from lance_fmt.source import ReadAt, read_exactly
from lance_fmt.wire import Cursor

Places = np.ndarray[Any, np.dtype[np.int64]]

# Keys of pages end here; that of a column kept in one piece follows.
JOINED = 1 << 47


class Page:
    """A page in the cache: its index, and what has been decoded of it so far."""

    __slots__ = (
        "_checks",
        "_places",
        "blocks",
        "cost",
        "dictionaries",
        "getters",
        "index",
        "offset",
        "rows",
        "whole",
    )

    def __init__(self, index: PageIndex, offset: int, rows: int) -> None:
        count = len(index.ends)
        self.index = index
        self.offset = offset
        self.rows = rows
        self.cost = index.nbytes + 200
        self.whole: Column | None = None
        self.blocks: list[Column | None] = [None] * count
        self.getters: list[Callable[[int], Any] | None] = [None] * count
        self.dictionaries: dict[int, Entries] = {}
        self._places: tuple[Places, Places, Places] | None = None
        self._checks: list[tuple[int, int, int]] | None = None

    def places(self, block_shift: int) -> tuple[Places, Places, Places]:
        """Where in the file blocks start and stop, in words of 8 bytes, and their rows.

        Streams keep to whole words. Where blocks do not, all of them start and stop at word 0.
        """
        if self._places is None:
            ends = np.array([0, *self.index.ends], np.int64) + self.offset
            ends = ends >> 3 if not (ends & 7).any() else np.zeros_like(ends)
            rows = np.full(len(ends) - 1, 1 << block_shift)
            rows[-1] = self.rows - (len(rows) - 1 << block_shift)
            self._places = ends[:-1], ends[1:], rows
        return self._places

    @property
    def checks(self) -> list[tuple[int, int, int]]:
        """Start, stop (padding included) and checksum of each block in the page's data."""
        if self._checks is None:
            index = self.index
            stops = [*index.ends[:-1], index.data_length]
            self._checks = list(zip([0, *index.ends[:-1]], stops, index.checksums, strict=True))
        return self._checks


class ColumnPages:
    """The pages of one column of an open file. Safe to use from several threads."""

    def __init__(
        self,
        source: ReadAt,
        field: Field,
        meta: ColumnMeta,
        num_rows: int,
        *,
        cache: BlockCache,
        keys: int,
    ) -> None:
        self.field = field
        self.type = field.type
        self.meta = meta
        self.page_shift = meta.page_shift
        self.block_shift = meta.block_shift
        self.num_rows = num_rows
        self.source = source
        self.cache = cache
        self.keys = keys
        self.slot_mask = (1 << meta.block_shift) - 1
        self.block_mask = (1 << (meta.page_shift - meta.block_shift)) - 1
        handles = meta.handles()
        self.page_offsets = [handle.data_offset for handle in handles]
        self.page_rows = [handle.rows for handle in handles]
        self.null_count = sum(handle.nulls for handle in handles)
        # The block in which the last range of rows ended: the next batch begins there.
        self._edge: tuple[int, int, Column | None] = (-1, -1, None)

    def page(self, number: int) -> Page:
        """Page `number`, its index checked, from the cache if it is there."""
        known: Page | None = self.cache.get(self.keys + number)
        if known is None:
            known = self._load_page(number)
            self.cache.put(self.keys + number, known, known.cost)
        return known

    def passing_page(self, number: int) -> Page:
        """Like `page`, for a long read: the cache does not take it in."""
        known: Page | None = self.cache.get(self.keys + number)
        return known or self._load_page(number)

    def _load_page(self, number: int) -> Page:
        handle = self.meta.handle(number)
        raw = read_exactly(self.source, handle.index_offset, handle.index_length, "index of a page")
        return self._parse_page(number, raw, handle)

    def _parse_page(self, number: int, raw: memoryview, handle: Handle) -> Page:
        offset = handle.index_offset
        if crc32c(raw) != handle.index_crc:
            what = f"index of page {number} of column {self.field.name!r} does not match its checksum"
            raise CorruptFileError(self.source.name, offset, what)
        index = read_page_index(
            Cursor(raw, path=self.source.name, base=offset),
            rows=handle.rows,
            nulls=handle.nulls,
            block_shift=self.block_shift,
            data_length=handle.data_length,
            encoding=self.meta.encodings[number],
            kind=self.type,
        )
        return Page(index, handle.data_offset, handle.rows)

    def load_pages(self, first: int, last: int) -> None:
        """Bring the indexes of pages `first..last` (last included) into the cache with few reads."""
        missing = [n for n in range(first, last + 1) if self.cache.get(self.keys + n) is None]
        if len(missing) < 2:
            return
        handles = [self.meta.handle(number) for number in missing]
        extents = [(handle.index_offset, handle.index_length) for handle in handles]
        for number, handle, raw in zip(missing, handles, read_many(self.source, extents), strict=True):
            page = self._parse_page(number, raw, handle)
            self.cache.put(self.keys + number, page, page.cost)

    def place(self, page: int, block: int) -> str:
        """What messages call a block."""
        rows = (page << self.page_shift) + (block << self.block_shift)
        last = min(rows + (1 << self.block_shift), self.num_rows) - 1
        return f"column {self.field.name!r}, page {page}, block {block} (rows {rows} to {last})"

    def check(self, number: int, index: PageIndex, block: int, raw: memoryview, offset: int) -> None:
        """Compare a block's bytes (and the padding behind the last block) with their checksum."""
        if crc32c(raw) != index.checksums[block]:
            raise CorruptFileError(
                self.source.name, offset, f"{self.place(number, block)} does not match its checksum"
            )

    def cursor_of(self, number: int, index: PageIndex, block: int, raw: memoryview, offset: int) -> Cursor:
        """A block's bytes without padding, once they match their checksum."""
        self.check(number, index, block, raw, offset)
        return Cursor(raw[: index.size(block)], path=self.source.name, base=offset)

    def decode(self, number: int, page: Page, block: int, raw: memoryview, offset: int) -> Column:
        """The rows of a block, once its bytes match their checksum."""
        cursor = self.cursor_of(number, page.index, block, raw, offset)
        return page.index.decode(block, cursor, self.rows_of(page, block), self.type)

    def rows_of(self, page: Page, block: int) -> int:
        """Rows of a block."""
        return min(page.rows - (block << self.block_shift), 1 << self.block_shift)

    def fetch(self, number: int, page: Page, block: int) -> tuple[memoryview, int]:
        """The bytes of a block, padding included, and where they lie in the file."""
        start, stop = page.index.span(block, block)
        offset = page.offset + start
        return read_exactly(self.source, offset, stop - start, self.place(number, block)), offset

    def check_blocks(self, number: int, page: Page, first: int, last: int, raw: memoryview, at: int) -> None:
        """Hold blocks `first..last` of a page against their checksums; page data would begin at `raw[at]`."""
        for start, stop, checksum in page.checks[first : last + 1]:
            if crc32c(raw[at + start : at + stop]) != checksum:
                block = page.checks.index((start, stop, checksum), first)
                self.check(number, page.index, block, raw[at + start : at + stop], page.offset + start)

    def block(self, number: int, page: Page, block: int) -> Column:
        """A block, decoded and kept."""
        known = page.blocks[block]
        if known is None:
            joined = self.cache.get(self.keys + JOINED)
            if joined is not None:
                start = (number << self.page_shift) + (block << self.block_shift)
                slot: Column = joined.slice(start, start + self.rows_of(page, block))
                page.blocks[block] = slot
                return slot
            known = self.decode(number, page, block, *self.fetch(number, page, block))
            page.blocks[block] = known
            # The getter of a string block holds a second copy of its bytes.
            page.cost += 2 * known.nbytes + 500
            self.cache.grow(self.keys + number, page.cost)
        return known

    def whole_page(self, number: int, page: Page) -> Column:
        """All rows of a page, decoded and kept."""
        whole = page.whole
        if whole is None:
            whole = Column.concat(self.read_blocks(number, page, 0, len(page.blocks) - 1, None))
            for block in range(len(page.blocks)):
                start = block << self.block_shift
                page.blocks[block] = whole.slice(start, start + self.rows_of(page, block))
            page.whole = whole  # last: other threads take it to mean that every block is there
            page.cost = page.index.nbytes + 2 * whole.nbytes
            self.cache.grow(self.keys + number, page.cost)
        return whole

    def recipe(self, page: int) -> str:
        """How a page is encoded, such as "dictionary(bitpacked)"."""
        return self.page(page).index.recipe or self.meta.encodings[page].name.lower()

    def locate(self, first: int, last: int) -> list[tuple[int, int]]:
        """Extents of pages `first..last`, those behind the end left out."""
        pages = self.meta.pages[first : last + 1]
        return list(zip(pages["data_offset"].tolist(), pages["data_length"].tolist(), strict=True))

    def spans(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(page, first block, last block) of rows `start..stop`."""
        found = []
        for number in range(start >> self.page_shift, ((stop - 1) >> self.page_shift) + 1):
            begin = number << self.page_shift
            a, b = max(start - begin, 0), min(stop - begin, self.page_rows[number])
            found.append((number, a >> self.block_shift, (b - 1) >> self.block_shift))
        return found

    def read_blocks(
        self, number: int, page: Page, first: int, last: int, raw: memoryview | None
    ) -> list[Column]:
        """Blocks `first..last` of a page: those already decoded, the others from one read."""
        if page.whole is not None:
            return [block for block in page.blocks[first : last + 1] if block is not None]
        begin, end = page.index.span(first, last)
        offset = page.offset + begin
        if raw is None:
            raw = read_exactly(self.source, offset, end - begin, self.place(number, first))
        edge = self._edge  # one look: another thread may put its own there
        parts = []
        for block in range(first, last + 1):
            known = page.blocks[block]
            if known is None and edge[:2] == (number, block):
                known = edge[2]
            if known is None:
                a, b = page.index.span(block, block)
                known = self.decode(number, page, block, raw[a - begin : b - begin], offset + a - begin)
            parts.append(known)
        return parts
