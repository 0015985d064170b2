"""Runs of blocks of a column, decoded together where their streams are of the common kinds.

Decoding a block one stream after another costs more in Python than its values do. So kernels take all blocks of a
run that they know in one call; what they leave, whether it is another stream or damage, is read block by block, by
the encodings.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lance_fmt.column_pages import ColumnPages, Page
from lance_fmt.constants import StreamId
from lance_fmt.encodings.bitpacked import frozen
from lance_fmt.encodings.dictionary import Dictionary, Entries
from lance_fmt.encodings.protocol import Kind
from lance_fmt.encodings.streams import PageReader
from lance_fmt.kernels import loader
from lance_fmt.source import BytesSource, MmapSource, ReadAt, read_exactly
from lance_fmt.wire import Cursor

Array = np.ndarray[Any, Any]

# Modes of `lance_fmt.kernels.block_runs`.
_UNSIGNED, _SIGNED, _LOW_WORDS = 0, 1, 2
_NO_SLOT = -1
_ROOM = 128  # for whole rows of packed values
_PACKED = {StreamId.PLAIN, StreamId.CONSTANT, StreamId.BITPACKED, StreamId.FRAME_OF_REFERENCE, StreamId.DELTA}
_DICTIONARY = Dictionary()

Span = tuple[int, Page, int, int]
"""Number of a page, the page, and the first and last of its blocks."""
Extent = tuple[int, int]


class BlockRun:
    """Blocks of a column side by side, of pages of streams; none of them may hold nulls.

    Their bytes are read and held against the checksums. Blocks and rows are counted from the start of the run. Raises
    CorruptFileError where a block does not match its checksum, or the source ends before it.
    """

    def __init__(self, pages: ColumnPages, spans: Sequence[Span]) -> None:
        self._pages = pages
        self._spans = spans
        self._firsts = [0]
        extents = []
        for _, page, first, last in spans:
            self._firsts.append(self._firsts[-1] + last - first + 1)
            begin, end = page.index.span(first, last)
            extents.append((page.offset + begin, page.offset + end))
        self.count = self._firsts[-1]
        rows = last + 1 << pages.block_shift
        self.num_rows = (self.count << pages.block_shift) - max(rows - page.rows, 0)
        # What is to be added to a place in the file for one in the bytes.
        self._raw, self._moves = _mapped(pages.source, extents) or _joined(pages.source, extents)
        self._starts, self._stops, self._rows = self._checked()
        self._words = frozen(np.frombuffer(self._raw[: len(self._raw) & -8], np.uint64))

    def _checked(self) -> Sequence[Array]:
        """Where blocks start and stop, and their rows, once they match their checksums."""
        pages, found = self._pages, []
        for (number, page, first, last), move in zip(self._spans, self._moves, strict=True):
            pages.check_blocks(number, page, first, last, self._raw, page.offset + move)
            places: Sequence[Array] = page.places(pages.block_shift)
            if first or last + 1 < len(page.blocks):
                places = [part[first : last + 1] for part in places]
            if move & 7:  # behind blocks that do not keep to whole words
                places = [0 * places[0], 0 * places[1], places[2]]
            elif move:
                places = [places[0] + (move >> 3), places[1] + (move >> 3), places[2]]
            found.append(places)
        return found[0] if len(found) == 1 else [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def row(self, block: int) -> int:
        """The first row of a block."""
        return min(block << self._pages.block_shift, self.num_rows)

    def _span(self, block: int) -> int:
        return bisect_right(self._firsts, block) - 1

    def block(self, block: int) -> tuple[Page, int]:
        """The page of a block, and its number there."""
        span = self._span(block)
        _, page, first, _ = self._spans[span]
        return page, first + block - self._firsts[span]

    def cursor(self, block: int) -> tuple[Cursor, PageReader]:
        """A block's bytes without padding, and what reads their streams."""
        page, place = self.block(block)
        begin = page.offset + page.checks[place][0]
        start = begin + self._moves[self._span(block)]
        raw = self._raw[start : start + page.index.size(place)]
        assert page.index.views is not None
        return Cursor(raw, path=self._pages.source.name, base=begin), PageReader(page.index.views)

    def read_numbers(
        self, kind: Kind, out: Array, one: Callable[[int], Array], *, low_words: bool = False
    ) -> None:
        """The values of all blocks to `out`, unsigned integers as wide as `kind`.

        With `low_words` the blocks are of decimals, of which the low words are read, and those that kernels
        take have no negative values. `one` decodes a block that kernels do not take.
        """
        mode = _LOW_WORDS if low_words else _SIGNED if kind.dtype.kind == "i" else _UNSIGNED
        done = 0
        while done < self.count:
            start, code, found = self.row(done), self._code(done), 0
            if code == StreamId.DICTIONARY:
                found = self._looked_up(done, kind, low_words, out[start:])
            elif code == StreamId.RUN_LENGTH and kind.is_integer and not low_words:
                found = self._expanded(done, mode, out[start:])
            elif code in _PACKED and kind.is_integer:
                found = self._unpacked(done, self.count, mode, _NO_SLOT, low_words, out[start:])
            if not found:
                out[start : self.row(done + 1)] = one(done).view(out.dtype)
            done += found or 1

    def read_codes(self, done: int, kind: Kind) -> tuple[Entries, Array, int] | None:
        """The dictionary of block `done`; the codes of it and what follows as far as kernels go, and its blocks.

        None where they do not take that block. Every code has an entry.
        """
        if self._code(done) != StreamId.DICTIONARY:
            return None
        entries, slot = self._entries(done, kind)
        codes, found = self._codes(done, entries, slot, False)
        if not found or _largest(codes, entries) >= entries.count:
            return None
        return entries, codes, found

    def _code(self, block: int) -> int:
        """The id of a block's first stream; 0 if it has none that is aligned."""
        start = int(self._starts[block])
        return int(self._words[start]) & 0xFF if start + 1 < self._stops[block] else 0

    def _entries(self, block: int, kind: Kind) -> tuple[Entries, int]:
        """The dictionary that a block's stream is about, and its slot."""
        slot = int(self._words[int(self._starts[block]) + 1]) & 0xFFFFFFFF
        page, _ = self.block(block)
        entries = page.dictionaries.get(slot)
        if entries is None:
            cursor, reader = self.cursor(block)
            entries = page.dictionaries[slot] = _DICTIONARY.entries(slot, cursor, kind, reader)
        return entries, slot

    def _looked_up(self, done: int, kind: Kind, low_words: bool, out: Array) -> int:
        entries, slot = self._entries(done, kind)
        if low_words and entries.has_negative:
            return 0
        codes, found = self._codes(done, entries, slot, low_words)
        if not found or loader.take_numbers()(entries.bits, codes, out[: len(codes)]) >= entries.count:
            return 0  # which of the blocks has such a code, the encoding finds
        return found

    def _codes(self, done: int, entries: Entries, slot: int, low_words: bool) -> tuple[Array, int]:
        stop = self._firsts[self._span(done) + 1]  # the next page has a dictionary of its own
        codes = np.empty(self.row(stop) - self.row(done), entries.code_kind.dtype)
        found = self._unpacked(done, stop, _UNSIGNED, slot, low_words, codes)
        return frozen(codes[: self.row(done + found) - self.row(done)]), found

    def _unpacked(self, done: int, stop: int, mode: int, slot: int, high: bool, out: Array) -> int:
        """The number of blocks `done..stop` that a kernel decoded to `out`."""
        lanes, rest = self._words.view(out.dtype), slice(done, stop)
        places = self._starts[rest], self._stops[rest], self._rows[rest]
        return int(loader.unpack_blocks()(self._words, lanes, *places, mode, slot, int(high), out))

    def _expanded(self, done: int, mode: int, out: Array) -> int:
        """Like `_unpacked`, of blocks of runs."""
        rest, room = slice(done, self.count), (1 << self._pages.block_shift) + _ROOM
        places = self._starts[rest], self._stops[rest], self._rows[rest]
        views = self._words.view(out.dtype), self._words.view(np.uint32)
        scratch = np.empty(room, out.dtype), np.empty(room, np.uint32), np.empty(room, out.dtype)
        return int(loader.unpack_runs()(self._words, *views, *places, mode, *scratch, out))


def _mapped(source: ReadAt, extents: Sequence[Extent]) -> tuple[memoryview, Sequence[int]] | None:
    """All bytes of a source that has them in memory, at whole words, as far as `extents` go."""
    if not isinstance(source, MmapSource | BytesSource):
        return None
    raw = source.read_at(0, source.size())
    if max(stop for _, stop in extents) > len(raw) or not np.frombuffer(raw, np.uint64, 1).flags.aligned:
        return None
    return raw, [0] * len(extents)


def _joined(source: ReadAt, extents: Sequence[Extent]) -> tuple[memoryview, Sequence[int]]:
    """The bytes of `extents`, one behind another, and how far each was moved."""
    pieces, moves, size = [], [], 0
    for start, stop in extents:
        pieces.append(read_exactly(source, start, stop - start, "page"))
        moves.append(size - start)
        size += stop - start
    return memoryview(b"".join(pieces)) if len(pieces) > 1 else pieces[0], moves


def _largest(codes: Array, entries: Entries) -> int:
    """The largest of codes, or what is no less, if that is certain to be a place in `entries`."""
    limit = int(np.iinfo(codes.dtype).max)
    return limit if limit < entries.count else int(codes.max())
