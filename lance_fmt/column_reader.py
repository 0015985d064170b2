"""Reads one column: single rows, rows by number, ranges of rows, and which rows pass a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lance_fmt import block as blocks
from lance_fmt.arena import Arena
from lance_fmt.column import Column
from lance_fmt.column_pages import JOINED, ColumnPages, Page
from lance_fmt.constants import AuxiliaryId, EncodingId, TypeId
from lance_fmt.damage import DamageLog
from lance_fmt.disk_array import ArrayOnDisk, array_base
from lance_fmt.encodings.protocol import Mask, Test
from lance_fmt.encodings.streams import PageReader
from lance_fmt.errors import CorruptFileError
from lance_fmt.numbers import are_numbers, read_numbers, read_range
from lance_fmt.statistics import block_zones, page_zones, take_zones
from lance_fmt.zones import Zones

if TYPE_CHECKING:
    from lance_fmt.auxiliary import PageFilters
    from lance_fmt.row_index import RowIndex

Rows = np.ndarray[Any, np.dtype[np.int64]]

_FEW_PAGES = 64
# Numbers of so many blocks are decoded together, though the first and the last are seldom wanted whole.
_MANY_BLOCKS = 3
# A column that random rows are taken from all over is kept in one piece up to this share of the cache.
_JOINED_SHARE = 4


class ColumnReader(ColumnPages):
    """One column of an open file. Safe to use from several threads."""

    @cached_property
    def _array(self) -> ArrayOnDisk | None:
        """The column where all its pages are one array on disk."""
        base = array_base(self)
        return None if base is None else ArrayOnDisk(self, base)

    @cached_property
    def _numbers(self) -> bool:
        return are_numbers(self)

    # Single rows

    def value(self, row: int) -> Any:
        """Python value of row `row`, which the caller has checked to be in range."""
        number = row >> self.page_shift
        page = self.page(number)
        block = (row >> self.block_shift) & self.block_mask
        return (page.getters[block] or self._getter(number, page, block))(row & self.slot_mask)

    def _getter(self, number: int, page: Page, block: int) -> Callable[[int], Any]:
        # Compact, because a getter of strings copies the bytes behind its column.
        get = self.block(number, page, block).compact().getter()
        page.getters[block] = get
        return get

    def take(self, rows: Rows) -> Column:
        """The rows at `rows` (checked by the caller), in that order."""
        if len(rows) <= 1:
            return self.take_one(int(rows[0])) if len(rows) else Column.from_pylist([], self.type)
        if self._array is not None:
            return self._array.take(rows)
        joined: Column | None = self.cache.get(self.keys + JOINED)
        if joined is not None:
            return joined.take(rows)
        numbers = rows >> self.page_shift
        first = int(numbers[0])
        slots = rows & ((1 << self.page_shift) - 1)
        if (numbers == first).all():
            return self._take_page(first, slots)
        order = np.argsort(numbers, kind="stable")
        wanted, starts = np.unique(numbers[order], return_index=True)
        cuts = [*starts.tolist(), len(rows)]
        parts = [
            self._take_page(number, slots[order[a:b]])
            for number, (a, b) in zip(wanted.tolist(), pairwise(cuts), strict=True)
        ]
        if len(wanted) == len(self.page_rows):
            self._join()
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return Column.concat(parts).take(back)

    def _join(self) -> None:
        """Keep a column whose pages are all decoded in one piece: `take` is then one gather."""
        pages = [self.cache.get(self.keys + number) for number in range(len(self.page_rows))]
        wholes = [page.whole for page in pages if page is not None and page.whole is not None]
        size = sum(whole.nbytes for whole in wholes)
        if len(wholes) == len(self.page_rows) and size * _JOINED_SHARE <= self.cache.budget:
            self.cache.put(self.keys + JOINED, Column.concat(wholes), size)
            self.cache.drop(self.keys, self.keys + len(self.page_rows))

    def take_one(self, row: int) -> Column:
        """One row (checked by the caller)."""
        number = row >> self.page_shift
        page = self.page(number)
        block = (row >> self.block_shift) & self.block_mask
        slot = row & self.slot_mask
        column = page.blocks[block] or self.block(number, page, block)
        return column.slice(slot, slot + 1)

    def _take_page(self, number: int, slots: Rows) -> Column:
        """Rows of one page: of all of it where many blocks are wanted, else of the few that are."""
        page = self.page(number)
        if page.whole is not None:
            return page.whole.take(slots)
        places = slots >> self.block_shift
        wanted = np.unique(places).tolist()
        if 4 * len(wanted) >= len(page.blocks):
            return self.whole_page(number, page).take(slots)
        if len(wanted) == 1:
            return self.block(number, page, wanted[0]).take(slots & self.slot_mask)
        parts = [self.block(number, page, block) for block in wanted]
        starts = np.zeros(len(page.blocks), np.int64)
        starts[wanted] = np.cumsum([0, *map(len, parts[:-1])])
        return Column.concat(parts).take(starts[places] + (slots & self.slot_mask))

    # Ranges of rows

    def slice(self, start: int, stop: int) -> Column:
        """A few rows `start..stop` side by side (at least one), through the cache."""
        number, block = start >> self.page_shift, (start >> self.block_shift) & self.block_mask
        if (stop - 1) >> self.block_shift != start >> self.block_shift or self._array is not None:
            return self.read(start, stop)
        page = self.page(number)
        column = page.blocks[block] or self.block(number, page, block)
        slot = start & self.slot_mask
        return column.slice(slot, slot + stop - start)

    def extents(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What `read` of rows `start..stop` will want: (offset, length) for each page; none for an array."""
        if start >= stop or self._array is not None:
            return []
        found = []
        for number, first, last in self.spans(start, stop):
            begin, end = self.page(number).index.span(first, last)
            found.append((self.page_offsets[number] + begin, end - begin))
        return found

    def read(
        self,
        start: int,
        stop: int,
        pieces: list[memoryview] | None = None,
        damage: DamageLog | None = None,
        arena: Arena | None = None,
    ) -> Column:
        """Rows `start..stop` (the caller has checked the range).

        `pieces` are the bytes of `extents`, where they were read before; the result lies in memory of `arena`, if
        there is one. With `damage`, blocks that cannot be read are noted there and come as nulls.
        """
        if start >= stop:
            return Column.from_pylist([], self.type)
        if damage is None:
            if self._array is not None:
                return self._array.read(start, stop)
            if stop - start == self.num_rows and pieces is None and self._numbers:
                return read_numbers(self, arena)
            many = stop - start >= _MANY_BLOCKS << self.block_shift
            if many and pieces is None and self._numbers and not self.null_count:
                return read_range(self, start, stop, arena)
        parts: list[Column] = []
        spans = self.spans(start, stop)
        for i, (number, first, last) in enumerate(spans):
            raw = pieces[i] if pieces is not None else None
            if damage is None:
                parts += self.read_blocks(number, self.page(number), first, last, raw)
            else:
                parts += self._read_what_is_left(number, first, last, damage)
        if damage is None:
            inside = bool(stop & self.slot_mask) and stop < self.num_rows
            self._edge = (spans[-1][0], spans[-1][2], parts[-1]) if inside else (-1, -1, None)
        skip = start - ((spans[0][0] << self.page_shift) + (spans[0][1] << self.block_shift))
        whole = Column.concat(parts, arena)
        return whole.slice(skip, skip + stop - start) if len(whole) > stop - start else whole

    def _read_what_is_left(self, number: int, first: int, last: int, damage: DamageLog) -> list[Column]:
        """Blocks of a page one by one, nulls for those that are damaged."""
        begin = number << self.page_shift
        try:
            page = self.page(number)
        except (CorruptFileError, OSError) as error:
            a = first << self.block_shift
            b = min((last + 1) << self.block_shift, self.page_rows[number])
            damage.note(self.field.name, number, None, begin + a, b - a, error)
            return [Column.nulls(self.type, b - a)]
        parts = []
        for block in range(first, last + 1):
            rows = self.rows_of(page, block)
            try:
                parts.append(self.decode(number, page, block, *self.fetch(number, page, block)))
            except (CorruptFileError, OSError) as error:
                damage.note(self.field.name, number, block, begin + (block << self.block_shift), rows, error)
                parts.append(Column.nulls(self.type, rows))
        return parts

    # Filters

    @property
    def has_few_pages(self) -> bool:
        """Whether the statistics of all blocks are few enough to be kept at hand."""
        return len(self.page_rows) <= _FEW_PAGES

    @cached_property
    def page_statistics(self) -> Zones:
        """Statistics of every page."""
        return page_zones(self.meta, self.type, self.source.name)

    def zones(self, numbers: Rows, shift: int) -> Zones:
        """Statistics of the pages that hold zones `numbers` of `2^shift` rows (at most a page)."""
        return take_zones(self.page_statistics, numbers >> (self.page_shift - shift))

    def block_zones(self, numbers: Rows, shift: int) -> Zones:
        """Statistics of the blocks that hold zones `numbers` (ascending) of `2^shift` rows (at most a block)."""
        if any(encoding is not EncodingId.STREAMS for encoding in self.meta.encodings):
            return self.zones(numbers, shift)
        whole = numbers >> (self.block_shift - shift)
        # What is asked of all blocks is kept: a scan is planned by it, more than once.
        if self.has_few_pages or len(numbers) << shift >= self.num_rows:
            known = self._block_statistics
            # Zones as large as the blocks are distinct: as many as there are blocks are all of them.
            everything = shift == self.block_shift and len(whole) == len(known.rows)
            return known if everything else take_zones(known, whole)
        return self._gather_zones(whole)

    @cached_property
    def _block_statistics(self) -> Zones:
        return self._gather_zones(np.arange(-(-self.num_rows // (1 << self.block_shift))))

    def _gather_zones(self, whole: Rows) -> Zones:
        owners = whole >> (self.page_shift - self.block_shift)
        wanted, starts = np.unique(owners, return_index=True)
        parts = [
            (self.page(number).index, self.page_rows[number], whole[a:b] & self.block_mask)
            for number, (a, b) in zip(wanted.tolist(), pairwise([*starts.tolist(), len(whole)]), strict=True)
        ]
        return block_zones(parts, 1 << self.block_shift, self.type)

    def match(self, start: int, stop: int, test: Test | None) -> tuple[Mask, Mask | None]:
        """Which of rows `start..stop` pass `test`, and which are null (None: none); with no test, which are null.

        Values that are not in the cache are compared in their encoded form where the encoding can.
        """
        masks, flags = [], []
        for number, first, last in self.spans(start, stop):
            page = self.page(number)
            for block in range(first, last + 1):
                mask, validity = self._match_block(number, page, block, test)
                masks.append(mask)
                flags.append(None if validity is None else ~validity)
        passing = masks[0] if len(masks) == 1 else np.concatenate(masks)
        skip = start & self.slot_mask
        inside = slice(skip, skip + stop - start)
        if all(nulls is None for nulls in flags):
            return passing[inside], None
        filled = [np.zeros(len(m), np.bool_) if f is None else f for m, f in zip(masks, flags, strict=True)]
        nulls = np.concatenate(filled)[inside]
        return (nulls, None) if test is None else (passing[inside], nulls)

    def _match_block(
        self, number: int, page: Page, block: int, test: Test | None
    ) -> tuple[Mask, Mask | None]:
        known, rows = page.blocks[block], self.rows_of(page, block)
        if test is None and known is None and not page.index.null_count(block):
            return np.zeros(rows, np.bool_), None
        packed = page.index.views is not None and not self.type.is_decimal and test is not None
        if known is not None or not packed:
            known = known or self.block(number, page, block)
            passing = np.zeros(rows, np.bool_) if test is None else self.passing(known, test)
            return passing, known.validity
        assert test is not None
        assert page.index.views is not None
        cursor = self.cursor_of(number, page.index, block, *self.fetch(number, page, block))
        nulls, reader = page.index.null_count(block), PageReader(page.index.views)
        return blocks.match_block(cursor, rows, nulls, self.type, reader, test)

    # Auxiliary regions

    def find(self, hashes: Sequence[int], test: Test) -> Rows | None:
        """Rows that pass `test` among those with one of `hashes`, in order, by the row index; None without one."""
        index = self.row_index
        if index is None:
            return None
        try:
            found = [row for wanted in hashes for row in index.candidates(wanted)]
        except CorruptFileError as error:
            raise _spared(error, "`read` with a filter does not need it") from None
        rows = np.unique(np.array(found, np.int64))
        # Hashes of different values may be equal.
        return rows[self.passing(self.take(rows), test)] if len(rows) else rows

    def may_contain_any(self, page: int, hashes: list[int]) -> bool:
        """What the page's Bloom filter says of these hashes; True where the column has none."""
        if self.bloom is None:
            return True
        try:
            return self.bloom.may_contain_any(page, hashes)
        except CorruptFileError as error:
            raise _spared(error, "`read` without a filter does not need it") from None

    def passing(self, column: Column, test: Test) -> Mask:
        """Which rows of a column of this type pass `test`, whatever it says of nulls."""
        if self.type.is_decimal:
            return test.mask(column.array)
        return test.mask(blocks.take_apart(Column(column.type, column.values, column.offsets))[0])

    @cached_property
    def row_index(self) -> RowIndex | None:
        """The column's row index, if it was written with one."""
        region = self.meta.auxiliary.get(AuxiliaryId.ROW_INDEX)
        if region is None:
            return None
        from lance_fmt.row_index import RowIndex

        name = f"column {self.field.name!r}"
        return RowIndex(self.source, region.offset, region.length, region.crc, name, rows=self.num_rows)

    @cached_property
    def bloom(self) -> PageFilters | None:
        """The Bloom filters of the column's pages, if it was written with them."""
        region = self.meta.auxiliary.get(AuxiliaryId.BLOOM)
        if region is None:
            return None
        from lance_fmt.auxiliary import PageFilters

        return PageFilters(self.source, region, len(self.page_rows), self.field.name)

    # Verification

    def find_damage(self, damage: DamageLog) -> None:
        """Decode every block and load every auxiliary region; note what is wrong."""
        name = self.field.name
        for number, rows in enumerate(self.page_rows):
            begin = number << self.page_shift
            try:
                page = self.page(number)
            except (CorruptFileError, OSError) as error:
                damage.note(name, number, None, begin, rows, error)
                continue
            for block in range(len(page.blocks)):
                try:
                    self._verify_block(number, page, block)
                except (CorruptFileError, OSError) as error:
                    first = begin + (block << self.block_shift)
                    damage.note(name, number, block, first, self.rows_of(page, block), error)
        for region in (self.row_index, self.bloom):
            try:
                if region is not None:
                    region.load()
            except (CorruptFileError, OSError) as error:
                damage.note(name, None, None, 0, 0, error)

    def _verify_block(self, number: int, page: Page, block: int) -> None:
        column = self.decode(number, page, block, *self.fetch(number, page, block))
        if self.type.id is TypeId.JSON:
            column.to_pylist()
        if column.null_count and not self.field.nullable:
            what = f"{self.place(number, block)}: nulls where none may be"
            raise CorruptFileError(self.source.name, page.offset, what)

    def regions(self) -> list[tuple[int, int, str]]:
        """Where (start, end, name) pages, page indexes and auxiliary regions lie in the file."""
        extents = []
        for number, handle in enumerate(self.meta.pages):
            name = f"page {number} of column {self.field.name!r}"
            for start, length in (("data_offset", "data_length"), ("index_offset", "index_length")):
                extents.append((int(handle[start]), int(handle[start]) + int(handle[length]), name))
        name = f"auxiliary region of column {self.field.name!r}"
        return extents + [(r.offset, r.offset + r.length, name) for r in self.meta.regions]


def _spared(error: CorruptFileError, way_out: str) -> CorruptFileError:
    """The error for a damaged region that no row needs."""
    return CorruptFileError(
        error.path, error.offset, f"{error.what}; the rows themselves are not in it: {way_out}"
    )
