"""Reads one column: rows to pages to blocks by shifts, every block checked before it is decoded.

Pages that single rows and `take` ask for stay in the cache with those of their blocks that were decoded; long
reads pass it by. A block's checksum is compared whenever its bytes are read; where the source is memory (bytes,
a mapped file), or where single rows of an array on disk are read, it is compared on the first touch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from lance_fmt import block as blocks
from lance_fmt.auxiliary import PageFilters
from lance_fmt.cache import BlockCache
from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.column_meta import ColumnMeta, Handle
from lance_fmt.constants import AuxiliaryId, EncodingId, TypeId
from lance_fmt.damage import DamageLog
from lance_fmt.encodings.protocol import Mask, Test
from lance_fmt.encodings.streams import PageReader
from lance_fmt.errors import CorruptFileError
from lance_fmt.fetch import read_many
from lance_fmt.filter import Zones
from lance_fmt.hashing import hash_value
from lance_fmt.page import PageIndex, read_page_index
from lance_fmt.row_index import RowIndex
from lance_fmt.schema import Field
from lance_fmt.source import FileSource, ReadAt, read_array, read_exactly, read_rows
from lance_fmt.statistics import block_zones, page_zones, take_zones
from lance_fmt.wire import Cursor

Rows = np.ndarray[Any, np.dtype[np.int64]]

_JOINED = 1 << 47
_FEW_PAGES = 64
# A column that random rows are taken from all over is kept in one piece up to this share of the cache.
_JOINED_SHARE = 4


class _Page:
    """A page in the cache: its index, and what has been decoded of it so far."""

    __slots__ = ("blocks", "cost", "getters", "index", "offset", "rows", "whole")

    def __init__(self, index: PageIndex, offset: int, rows: int) -> None:
        count = len(index.ends)
        self.index = index
        self.offset = offset
        self.rows = rows
        self.cost = index.nbytes + 200
        self.whole: Column | None = None
        self.blocks: list[Column | None] = [None] * count
        self.getters: list[Callable[[int], Any] | None] = [None] * count


class ColumnReader:
    """One column of an open file. Safe to use from several threads."""

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
        self._source = source
        self._cache = cache
        self._keys = keys
        self._slot_mask = (1 << meta.block_shift) - 1
        self._block_mask = (1 << (meta.page_shift - meta.block_shift)) - 1
        self._offsets = meta.pages["data_offset"].tolist()
        self._rows = meta.pages["rows"].tolist()
        self._in_memory = not isinstance(source, FileSource) and isinstance(source.read_at(0, 1), memoryview)
        self._base = self._array_base()
        self._array: np.ndarray[Any, Any] | None = None
        # Of an array on disk: which blocks have been held against their checksums.
        blocks_in_all = -(-self.num_rows // (1 << meta.block_shift)) if self._base is not None else 0
        self._checked = np.zeros(blocks_in_all, np.bool_)

    def _array_base(self) -> int | None:
        """File offset of the column where all its pages are one array on disk; else None."""
        kind, pages = self.type, self.meta.pages
        if any(encoding is not EncodingId.PLAIN for encoding in self.meta.encodings) or not len(pages):
            return None
        if not kind.stride or kind.id is TypeId.BOOL or pages["nulls"].any():
            return None
        ends = pages["data_offset"] + pages["data_length"]
        sizes = pages["rows"].astype(np.uint64) * np.uint64(kind.stride)
        joined = (ends[:-1] == pages["data_offset"][1:]).all() and (
            sizes[:-1] == pages["data_length"][:-1]
        ).all()
        return int(pages["data_offset"][0]) if joined and sizes[-1] <= pages["data_length"][-1] else None

    # Pages and blocks

    def page(self, number: int) -> _Page:
        """Page `number`, its index checked, from the cache if it is there."""
        known: _Page | None = self._cache.get(self._keys + number)
        if known is not None:
            return known
        handle = Handle(*self.meta.pages[number].item())
        raw = read_exactly(self._source, handle.index_offset, handle.index_length, "index of a page")
        return self._keep_page(number, raw, handle)

    def _keep_page(self, number: int, raw: memoryview, handle: Handle) -> _Page:
        offset = handle.index_offset
        if crc32c(raw) != handle.index_crc:
            what = f"index of page {number} of column {self.field.name!r} does not match its checksum"
            raise CorruptFileError(self._source.name, offset, what)
        index = read_page_index(
            Cursor(raw, path=self._source.name, base=offset),
            rows=handle.rows,
            nulls=handle.nulls,
            block_shift=self.block_shift,
            data_length=handle.data_length,
            encoding=self.meta.encodings[number],
            kind=self.type,
        )
        page = _Page(index, handle.data_offset, handle.rows)
        self._cache.put(self._keys + number, page, page.cost)
        return page

    def load_pages(self, first: int, last: int) -> None:
        """Bring the indexes of pages `first..last` (last included) into the cache with few reads."""
        missing = [n for n in range(first, last + 1) if self._cache.get(self._keys + n) is None]
        if len(missing) < 2:
            return
        handles = [Handle(*handle) for handle in self.meta.pages[missing].tolist()]
        extents = [(handle.index_offset, handle.index_length) for handle in handles]
        for number, handle, raw in zip(missing, handles, read_many(self._source, extents), strict=True):
            self._keep_page(number, raw, handle)

    def _place(self, page: int, block: int) -> str:
        rows = (page << self.page_shift) + (block << self.block_shift)
        last = min(rows + (1 << self.block_shift), self.num_rows) - 1
        return f"column {self.field.name!r}, page {page}, block {block} (rows {rows} to {last})"

    def _check(self, number: int, index: PageIndex, block: int, raw: memoryview, offset: int) -> None:
        """Compare a block's bytes (and the padding behind the last block) with their checksum."""
        if crc32c(raw) != index.checksums[block]:
            raise CorruptFileError(
                self._source.name, offset, f"{self._place(number, block)} does not match its checksum"
            )

    def _cursor(self, number: int, index: PageIndex, block: int, raw: memoryview, offset: int) -> Cursor:
        self._check(number, index, block, raw, offset)
        return Cursor(raw[: index.size(block)], path=self._source.name, base=offset)

    def _decode(self, number: int, page: _Page, block: int, raw: memoryview, offset: int) -> Column:
        cursor = self._cursor(number, page.index, block, raw, offset)
        return page.index.decode(block, cursor, self._block_rows(page, block), self.type)

    def _block_rows(self, page: _Page, block: int) -> int:
        return min(page.rows - (block << self.block_shift), 1 << self.block_shift)

    def _fetch(self, number: int, page: _Page, block: int) -> tuple[memoryview, int]:
        start, stop = page.index.span(block, block)
        offset = page.offset + start
        return read_exactly(self._source, offset, stop - start, self._place(number, block)), offset

    def _block(self, number: int, page: _Page, block: int) -> Column:
        """A block, decoded and kept."""
        known = page.blocks[block]
        if known is None:
            joined = self._cache.get(self._keys + _JOINED)
            if joined is not None:
                start = (number << self.page_shift) + (block << self.block_shift)
                slot: Column = joined.slice(start, start + self._block_rows(page, block))
                page.blocks[block] = slot
                return slot
            known = self._decode(number, page, block, *self._fetch(number, page, block))
            page.blocks[block] = known
            # The getter of a string block holds a second copy of its bytes.
            page.cost += 2 * known.nbytes + 500
            self._cache.grow(self._keys + number, page.cost)
        return known

    def _whole(self, number: int, page: _Page) -> Column:
        """All rows of a page, decoded and kept."""
        whole = page.whole
        if whole is None:
            whole = Column.concat(self._read_blocks(number, page, 0, len(page.blocks) - 1, None))
            page.whole = whole
            for block in range(len(page.blocks)):
                start = block << self.block_shift
                page.blocks[block] = whole.slice(start, start + self._block_rows(page, block))
            page.cost = page.index.nbytes + 2 * whole.nbytes
            self._cache.grow(self._keys + number, page.cost)
        return whole

    def recipe(self, page: int) -> str:
        """How a page is encoded, such as "dictionary(bitpacked)"."""
        return self.page(page).index.recipe or self.meta.encodings[page].name.lower()

    def locate(self, first: int, last: int) -> list[tuple[int, int]]:
        """Extents of pages `first..last`, those behind the end left out."""
        pages = self.meta.pages[first : last + 1]
        return list(zip(pages["data_offset"].tolist(), pages["data_length"].tolist(), strict=True))

    # Single rows

    def value(self, row: int) -> Any:
        """Python value of row `row`, which the caller has checked to be in range."""
        number = row >> self.page_shift
        page = self._cache.get(self._keys + number) or self.page(number)
        block = (row >> self.block_shift) & self._block_mask
        return (page.getters[block] or self._getter(number, page, block))(row & self._slot_mask)

    def _getter(self, number: int, page: _Page, block: int) -> Callable[[int], Any]:
        # Compact, because a getter of strings copies the bytes behind its column.
        get = self._block(number, page, block).compact().getter()
        page.getters[block] = get
        return get

    def take(self, rows: Rows) -> Column:
        """The rows at `rows` (checked by the caller), in that order."""
        if len(rows) <= 1:
            return self.take_one(int(rows[0])) if len(rows) else Column.from_pylist([], self.type)
        if self._base is not None:
            return self._take_array(rows)
        joined: Column | None = self._cache.get(self._keys + _JOINED)
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
        if len(wanted) == len(self._rows):
            self._join()
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return Column.concat(parts).take(back)

    def _join(self) -> None:
        """Keep a column whose pages are all decoded in one piece: `take` is then one gather."""
        pages = [self._cache.get(self._keys + number) for number in range(len(self._rows))]
        wholes = [page.whole for page in pages if page is not None and page.whole is not None]
        size = sum(whole.nbytes for whole in wholes)
        if len(wholes) == len(self._rows) and size * _JOINED_SHARE <= self._cache.budget:
            self._cache.put(self._keys + _JOINED, Column.concat(wholes), size)
            self._cache.drop(self._keys, self._keys + len(self._rows))

    def take_one(self, row: int) -> Column:
        """One row (checked by the caller)."""
        number = row >> self.page_shift
        page = self._cache.get(self._keys + number) or self.page(number)
        block = (row >> self.block_shift) & self._block_mask
        slot = row & self._slot_mask
        column = page.blocks[block] or self._block(number, page, block)
        return column.slice(slot, slot + 1)

    def _take_page(self, number: int, slots: Rows) -> Column:
        """Rows of one page: of all of it where many blocks are wanted, else of the few that are."""
        page = self.page(number)
        if page.whole is not None:
            return page.whole.take(slots)
        places = slots >> self.block_shift
        wanted = np.unique(places).tolist()
        if 4 * len(wanted) >= len(page.blocks):
            return self._whole(number, page).take(slots)
        if len(wanted) == 1:
            return self._block(number, page, wanted[0]).take(slots & self._slot_mask)
        parts = [self._block(number, page, block) for block in wanted]
        starts = np.zeros(len(page.blocks), np.int64)
        starts[wanted] = np.cumsum([0, *map(len, parts[:-1])])
        return Column.concat(parts).take(starts[places] + (slots & self._slot_mask))

    def _take_array(self, rows: Rows) -> Column:
        """Rows of an array on disk: only their own bytes are read, once their blocks have been checked."""
        numbers = rows >> self.block_shift
        if not self._checked[numbers].all():
            for number in np.unique(numbers).tolist():
                self._touch(number)
        stride, base = self.type.stride, self._base
        assert base is not None
        if self._in_memory:
            values = self._view()[rows]
        else:
            raw = read_rows(self._source, (base + rows * stride).tolist(), stride)
            values = raw.view(self.type.dtype)
            values = values if self.type.is_vector else values.reshape(-1)
        return Column(self.type, values)

    def _touch(self, number: int) -> None:
        """Hold block `number` of the column against its checksum, once."""
        if not self._checked[number]:
            owner, block = number >> (self.page_shift - self.block_shift), number & self._block_mask
            page = self.page(owner)
            self._check_array_page(owner, page)
            if page.blocks[block] is None:  # else it was checked when it was decoded
                self._check(owner, page.index, block, *self._fetch(owner, page, block))
            self._checked[number] = True

    def _view(self) -> np.ndarray[Any, Any]:
        """The whole column as one array over a source that is memory; blocks are checked by the caller."""
        if self._array is None:
            length = self.num_rows * self.type.stride
            raw = np.frombuffer(read_exactly(self._source, self._base or 0, length, "array"), self.type.dtype)
            self._array = raw.reshape(-1, self.type.dimension) if self.type.is_vector else raw
        return self._array

    # Ranges of rows

    def slice(self, start: int, stop: int) -> Column:
        """A few rows `start..stop` side by side (at least one), through the cache."""
        number, block = start >> self.page_shift, (start >> self.block_shift) & self._block_mask
        if (stop - 1) >> self.block_shift != start >> self.block_shift or self._base is not None:
            return self.read(start, stop)
        page = self._cache.get(self._keys + number) or self.page(number)
        column = page.blocks[block] or self._block(number, page, block)
        slot = start & self._slot_mask
        return column.slice(slot, slot + stop - start)

    def extents(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What `read` of rows `start..stop` will want: (offset, length) for each page; none for an array."""
        if start >= stop or self._base is not None:
            return []
        found = []
        for number, first, last in self._spans(start, stop):
            begin, end = self.page(number).index.span(first, last)
            found.append((self._offsets[number] + begin, end - begin))
        return found

    def _spans(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(page, first block, last block) of rows `start..stop`."""
        found = []
        for number in range(start >> self.page_shift, ((stop - 1) >> self.page_shift) + 1):
            begin = number << self.page_shift
            a, b = max(start - begin, 0), min(stop - begin, self._rows[number])
            found.append((number, a >> self.block_shift, (b - 1) >> self.block_shift))
        return found

    def read(
        self,
        start: int,
        stop: int,
        pieces: list[memoryview] | None = None,
        damage: DamageLog | None = None,
    ) -> Column:
        """Rows `start..stop` (the caller has checked the range).

        `pieces` are the bytes of `extents`, where they were read before. With `damage`, blocks that cannot be
        read are noted there and come as nulls.
        """
        if start >= stop:
            return Column.from_pylist([], self.type)
        if self._base is not None and damage is None:
            return self._read_array(start, stop)
        parts: list[Column] = []
        spans = self._spans(start, stop)
        for i, (number, first, last) in enumerate(spans):
            raw = pieces[i] if pieces is not None else None
            if damage is None:
                parts += self._read_blocks(number, self.page(number), first, last, raw)
            else:
                parts += self._read_what_is_left(number, first, last, damage)
        skip = start - ((spans[0][0] << self.page_shift) + (spans[0][1] << self.block_shift))
        return Column.concat(parts).slice(skip, skip + stop - start)

    def _read_blocks(
        self, number: int, page: _Page, first: int, last: int, raw: memoryview | None
    ) -> list[Column]:
        """Blocks `first..last` of a page: those already decoded, the others from one read."""
        if page.whole is not None:
            return [block for block in page.blocks[first : last + 1] if block is not None]
        begin, end = page.index.span(first, last)
        offset = page.offset + begin
        if raw is None:
            raw = read_exactly(self._source, offset, end - begin, self._place(number, first))
        parts = []
        for block in range(first, last + 1):
            known = page.blocks[block]
            if known is None:
                a, b = page.index.span(block, block)
                known = self._decode(number, page, block, raw[a - begin : b - begin], offset + a - begin)
            parts.append(known)
        return parts

    def _read_what_is_left(self, number: int, first: int, last: int, damage: DamageLog) -> list[Column]:
        """Blocks of a page one by one, nulls for those that are damaged."""
        begin = number << self.page_shift
        try:
            page = self.page(number)
        except (CorruptFileError, OSError) as error:
            a = first << self.block_shift
            b = min((last + 1) << self.block_shift, self._rows[number])
            damage.note(self.field.name, number, None, begin + a, b - a, error)
            return [Column.nulls(self.type, b - a)]
        parts = []
        for block in range(first, last + 1):
            rows = self._block_rows(page, block)
            try:
                parts.append(self._decode(number, page, block, *self._fetch(number, page, block)))
            except (CorruptFileError, OSError) as error:
                damage.note(self.field.name, number, block, begin + (block << self.block_shift), rows, error)
                parts.append(Column.nulls(self.type, rows))
        return parts

    def _read_array(self, start: int, stop: int) -> Column:
        """Rows of an array on disk: one read into one array, or a view of memory, block by block checked."""
        stride, base = self.type.stride, self._base
        assert base is not None
        spans = self._spans(start, stop)
        self.load_pages(spans[0][0], spans[-1][0])
        if self._in_memory:
            self._check_array(self._view().view(np.uint8).reshape(-1).data, base, spans, again=False)
            return Column(self.type, self._view()[start:stop])
        low = (spans[0][0] << self.page_shift) + (spans[0][1] << self.block_shift)
        length = self._array_end(spans[-1]) - (base + low * stride)
        raw = read_array(self._source, base + low * stride, length, f"column {self.field.name!r}")
        self._check_array(raw.data, base + low * stride, spans, again=True)
        skip = (start - low) * stride
        values = raw[skip : skip + (stop - start) * stride].view(self.type.dtype)
        return Column(self.type, values.reshape(-1, self.type.dimension) if self.type.is_vector else values)

    def _check_array(
        self, view: memoryview, base: int, spans: list[tuple[int, int, int]], *, again: bool
    ) -> None:
        """Hold blocks against their checksums; `view` are the bytes from file offset `base` on.

        Unless `again`, those that have been checked before are passed over.
        """
        for number, first, last in spans:
            page = self.page(number)
            self._check_array_page(number, page)
            at = number << (self.page_shift - self.block_shift)
            if not again and self._checked[at + first : at + last + 1].all():
                continue
            ends, checksums, offset = page.index.ends, page.index.checksums, page.offset - base
            begin = ends[first - 1] if first else 0
            for block in range(first, last + 1):
                # The padding behind the last block counts to its checksum, and is no row of the array.
                end = page.index.data_length if block == len(ends) - 1 else ends[block]
                raw = view[offset + begin : offset + end]
                if len(raw) != end - begin:
                    raw = read_exactly(self._source, page.offset + begin, end - begin, "block")
                if crc32c(raw) != checksums[block]:
                    self._check(number, page.index, block, raw, page.offset + begin)
                begin = end
            self._checked[at + first : at + last + 1] = True

    def _array_end(self, span: tuple[int, int, int]) -> int:
        number, first, last = span
        return int(self._offsets[number] + self.page(number).index.span(first, last)[1])

    def _check_array_page(self, number: int, page: _Page) -> None:
        """The blocks of a page of an array must lie where the array's rows do."""
        size = page.rows * self.type.stride
        step = self.type.stride << self.block_shift
        if page.index.ends != [*range(step, size, step), size]:
            what = f"{self._place(number, 0)}: sizes of plain blocks do not fit their rows"
            raise CorruptFileError(self._source.name, page.offset, what)

    # Filters

    @property
    def has_few_pages(self) -> bool:
        """Whether the statistics of all blocks are few enough to be kept at hand."""
        return len(self._rows) <= _FEW_PAGES

    @cached_property
    def page_statistics(self) -> Zones:
        """Statistics of every page."""
        return page_zones(self.meta, self.type, self._source.name)

    def zones(self, numbers: Rows, shift: int) -> Zones:
        """Statistics of the pages that hold zones `numbers` of `2^shift` rows (at most a page)."""
        return take_zones(self.page_statistics, numbers >> (self.page_shift - shift))

    def block_zones(self, numbers: Rows, shift: int) -> Zones:
        """Statistics of the blocks that hold zones `numbers` (ascending) of `2^shift` rows (at most a block)."""
        if any(encoding is not EncodingId.STREAMS for encoding in self.meta.encodings):
            return self.zones(numbers, shift)
        whole = numbers >> (self.block_shift - shift)
        if self.has_few_pages:
            known = self._block_statistics
            return known if len(whole) == len(known.rows) == whole[-1] + 1 else take_zones(known, whole)
        return self._gather_zones(whole)

    @cached_property
    def _block_statistics(self) -> Zones:
        return self._gather_zones(np.arange(-(-self.num_rows // (1 << self.block_shift))))

    def _gather_zones(self, whole: Rows) -> Zones:
        owners = whole >> (self.page_shift - self.block_shift)
        wanted, starts = np.unique(owners, return_index=True)
        parts = [
            (self.page(number).index, self._rows[number], whole[a:b] & self._block_mask)
            for number, (a, b) in zip(wanted.tolist(), pairwise([*starts.tolist(), len(whole)]), strict=True)
        ]
        return block_zones(parts, 1 << self.block_shift, self.type)

    def match(self, start: int, stop: int, test: Test | None) -> tuple[Mask, Mask | None]:
        """Which of rows `start..stop` pass `test`, and which are null (None: none); with no test, which are null.

        Values that are not in the cache are compared in their encoded form where the encoding can.
        """
        masks, flags = [], []
        for number, first, last in self._spans(start, stop):
            page = self.page(number)
            for block in range(first, last + 1):
                mask, validity = self._match_block(number, page, block, test)
                masks.append(mask)
                flags.append(None if validity is None else ~validity)
        passing = masks[0] if len(masks) == 1 else np.concatenate(masks)
        skip = start & self._slot_mask
        inside = slice(skip, skip + stop - start)
        if all(nulls is None for nulls in flags):
            return passing[inside], None
        filled = [np.zeros(len(m), np.bool_) if f is None else f for m, f in zip(masks, flags, strict=True)]
        nulls = np.concatenate(filled)[inside]
        return (nulls, None) if test is None else (passing[inside], nulls)

    def _match_block(
        self, number: int, page: _Page, block: int, test: Test | None
    ) -> tuple[Mask, Mask | None]:
        known, rows = page.blocks[block], self._block_rows(page, block)
        if test is None and known is None and not page.index.null_count(block):
            return np.zeros(rows, np.bool_), None
        packed = page.index.views is not None and not self.type.is_decimal and test is not None
        if known is not None or not packed:
            known = known or self._block(number, page, block)
            passing = np.zeros(rows, np.bool_) if test is None else self.passing(known, test)
            return passing, known.validity
        assert test is not None
        assert page.index.views is not None
        cursor = self._cursor(number, page.index, block, *self._fetch(number, page, block))
        nulls, reader = page.index.null_count(block), PageReader(page.index.views)
        return blocks.match_block(cursor, rows, nulls, self.type, reader, test)

    # Auxiliary regions

    def find(self, values: Sequence[int | float | bytes], test: Test) -> Rows | None:
        """Rows that hold one of `values` and pass `test`, in order, by the row index; None without one."""
        index = self.row_index
        if index is None:
            return None
        try:
            found = [row for value in values for row in index.candidates(hash_value(value))]
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
        name = f"column {self.field.name!r}"
        return RowIndex(self._source, region.offset, region.length, region.crc, name, rows=self.num_rows)

    @cached_property
    def bloom(self) -> PageFilters | None:
        """The Bloom filters of the column's pages, if it was written with them."""
        region = self.meta.auxiliary.get(AuxiliaryId.BLOOM)
        if region is None:
            return None
        return PageFilters(self._source, region, len(self._rows), self.field.name)

    # Verification

    def find_damage(self, damage: DamageLog) -> None:
        """Decode every block and load every auxiliary region; note what is wrong."""
        name = self.field.name
        for number, rows in enumerate(self._rows):
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
                    damage.note(name, number, block, first, self._block_rows(page, block), error)
        for region in (self.row_index, self.bloom):
            try:
                if region is not None:
                    region.load()
            except (CorruptFileError, OSError) as error:
                damage.note(name, None, None, 0, 0, error)

    def _verify_block(self, number: int, page: _Page, block: int) -> None:
        column = self._decode(number, page, block, *self._fetch(number, page, block))
        if self.type.id is TypeId.JSON:
            column.to_pylist()
        if column.null_count and not self.field.nullable:
            what = f"{self._place(number, block)}: nulls where none may be"
            raise CorruptFileError(self._source.name, page.offset, what)

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
