"""Rows of one column decoded straight into what Arrow holds.

Beside the usual layout there are two narrow ones, for engines that like them: decimals of at most 18 digits as
64-bit integers, and strings that the file keeps in dictionaries as their codes. Then nothing is spelled out that
the file says only once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import numpy as np

from lance_fmt import arrow, block
from lance_fmt.arena import Arena
from lance_fmt.arrow_types import arrow_field
from lance_fmt.block_runs import BlockRun
from lance_fmt.column import Column
from lance_fmt.column_reader import ColumnReader
from lance_fmt.constants import STREAM_ALIGNMENT, EncodingId, StreamId, TypeId
from lance_fmt.encodings.dictionary import NO_STRINGS, Dictionary, Entries, check_codes
from lance_fmt.encodings.frame_of_reference import unpack_frame
from lance_fmt.encodings.protocol import STRINGS, Mask, Strings, kind_of
from lance_fmt.encodings.streams import PageReader
from lance_fmt.encodings.text import valid_text
from lance_fmt.errors import InvalidDataError
from lance_fmt.numbers import are_numbers, read_range
from lance_fmt.schema import int32, int64
from lance_fmt.wire import FRAME, Cursor

Array = np.ndarray[Any, Any]

_WORD_DIGITS = 18  # of the decimals that 64 bits hold, whatever the digits are
_WORDS = kind_of("<i8")
_INT32, _INT64 = int32(), int64()
# The stream of high words where none of a block's decimals is negative: a constant 0.
_NO_HIGH_WORDS = bytes([StreamId.CONSTANT, 0, 0, 0, 8, 0, 0, 0]) + bytes(8)
_DICTIONARY = Dictionary()
# Dictionaries up to so many bytes are the same where their bytes are: many columns have the same one in each page.
_SMALL = 1 << 16


class Layout(Enum):
    """How a column is handed out."""

    USUAL = "as `Table.to_arrow` does"
    WORDS = "decimals as 64-bit integers"
    CODES = "codes of a dictionary"


@dataclass(frozen=True, slots=True)
class Held:
    """Rows in memory: a column, or int32 codes of the values of an Arrow array."""

    column: Column
    dictionary: Any = None

    def take(self, rows: Array) -> Held:
        """The rows at `rows`, copied."""
        return Held(self.column.take(rows), self.dictionary)


@dataclass(frozen=True, slots=True)
class _Block:
    """A block that is not yet decoded, and where its rows belong in the result."""

    page: int
    start: int
    stop: int
    nulls: int
    cursor: Cursor
    reader: PageReader


class _Values:
    """The values of a dictionary as an Arrow array; small ones are known by their bytes too."""

    __slots__ = ("array", "key")

    def __init__(self, array: Any, content: bytes | None) -> None:
        self.array = array
        self.key: Any = content or self


class _Dictionary:
    """The dictionary of a batch: those of its blocks one behind another, each of them once."""

    def __init__(self, pa: Any) -> None:
        self._pa = pa
        self._starts: dict[Any, int] = {}
        self._parts: list[_Values] = []
        self._size = 0

    def add(self, values: _Values) -> int:
        """What is to be added to codes of `values`."""
        start = self._starts.get(values.key)
        if start is None:
            start = self._starts[values.key] = self._size
            self._parts.append(values)
            self._size += len(values.array)
        return start

    def array(self) -> Any:
        """The values."""
        parts = [part.array for part in self._parts]
        return parts[0] if len(parts) == 1 else self._pa.concat_arrays(parts)


def layout_of(reader: ColumnReader) -> Layout:
    """The narrowest layout of a column; reads the indexes of its pages where it holds strings."""
    kind, meta = reader.type, reader.meta
    if any(encoding is not EncodingId.STREAMS for encoding in meta.encodings) or not len(meta.encodings):
        return Layout.USUAL
    if kind.is_decimal and kind.precision <= _WORD_DIGITS:
        return Layout.WORDS
    if kind.id is TypeId.STRING and _is_coded(reader):
        return Layout.CODES
    return Layout.USUAL


def _is_coded(reader: ColumnReader) -> bool:
    """Whether all strings of a column are codes of dictionaries that are small beside their pages."""
    pages = range(len(reader.page_rows))
    reader.load_pages(0, len(pages) - 1)
    coded = 0
    for number in pages:
        page = reader.page(number)
        name = reader.recipe(number).partition("(")[0]
        if name == "dictionary" and page.index.shared_size <= page.rows:
            coded += 1
        elif name != "constant" and (page.index.nulls is None or sum(page.index.nulls) < page.rows):
            return False
    return coded > 0


class ArrowColumn:
    """A column of a file as Arrow arrays of one type. Safe to use from several threads."""

    def __init__(self, pa: Any, reader: ColumnReader, layout: Layout) -> None:
        self._pa = pa
        self._reader = reader
        self._layout = layout
        usual = arrow_field(pa, reader.field)
        kind = reader.type
        changed = {
            Layout.WORDS: lambda: pa.decimal64(kind.precision, kind.scale),
            Layout.CODES: lambda: pa.dictionary(pa.int32(), pa.large_string()),
        }.get(layout)
        streams = all(encoding is EncodingId.STREAMS for encoding in reader.meta.encodings)
        self._of_runs = (are_numbers(reader) or layout is Layout.WORDS) and streams and not reader.null_count
        self.field = usual if changed is None else usual.with_type(changed())

    def read(self, start: int, stop: int, arena: Arena) -> Held:
        """Rows `start..stop`, in memory of `arena`."""
        if start < stop and self._of_runs:
            if self._layout is Layout.USUAL:
                return Held(read_range(self._reader, start, stop, arena))
            return Held(Column(_INT64, self._low_words_in_runs(start, stop, arena)))
        if self._layout is Layout.USUAL or start >= stop:
            return self._narrowed(self._reader.read(start, stop, arena=arena))
        return (self._words if self._layout is Layout.WORDS else self._codes)(start, stop, arena)

    def take(self, rows: Array) -> Held:
        """The rows at `rows`, one by one."""
        return self._narrowed(self._reader.take(rows))

    def array(self, held: Held) -> Any:
        """The pyarrow Array over rows, whose memory it keeps."""
        pa, kind, column = self._pa, self.field.type, held.column
        if self._layout is Layout.USUAL:
            return arrow.array_of(pa, column, kind)
        buffers = [arrow.bitmap_of(pa, column.validity), pa.py_buffer(np.ascontiguousarray(column.array))]
        if held.dictionary is None:
            return pa.Array.from_buffers(kind, len(column), buffers)
        return pa.DictionaryArray.from_buffers(kind, len(column), buffers, held.dictionary)

    def _narrowed(self, column: Column) -> Held:
        """A column as it is usually read, in this layout."""
        if self._layout is Layout.USUAL:
            return Held(column)
        if self._layout is Layout.WORDS:
            words = column.array.view(np.int64)
            low = np.ascontiguousarray(words[:, 0])
            self._check_words(low, words[:, 1], column.validity)
            return Held(Column(_INT64, low, None, column.validity))
        coded = arrow.array_of(self._pa, column, self._pa.large_string()).dictionary_encode()
        codes = np.frombuffer(coded.indices.buffers()[1] or b"", np.int32, len(column))
        return Held(Column(_INT32, codes, None, column.validity), coded.dictionary)

    def _check_words(self, low: Array, high: Array, validity: Mask | None) -> None:
        wrong = high != low >> 63
        if validity is not None:
            wrong &= validity
        if wrong.any():
            field = self._reader.field
            raise InvalidDataError(f"column {field.name!r}: a value has more digits than {field.type} says")

    def _blocks(self, start: int, stop: int) -> Iterator[_Block]:
        """The blocks of rows `start..stop`; the first may begin before `start`, which is row 0 of the result."""
        reader = self._reader
        for number, first, last in reader.spans(start, stop):
            page = reader.page(number)
            views = page.index.views
            assert views is not None
            for place in range(first, last + 1):
                at = (number << reader.page_shift) + (place << reader.block_shift) - start
                cursor = reader.cursor_of(number, page.index, place, *reader.fetch(number, page, place))
                rows, nulls = reader.rows_of(page, place), page.index.null_count(place)
                yield _Block(number, at, at + rows, nulls, cursor, PageReader(views))

    def _run(self, start: int, stop: int) -> tuple[BlockRun, slice]:
        """The blocks that hold rows `start..stop`, and where those rows are in them."""
        reader = self._reader
        run = BlockRun(reader, [(n, reader.page(n), a, b) for n, a, b in reader.spans(start, stop)])
        skipped = start & reader.slot_mask
        return run, slice(skipped, skipped + stop - start)

    def _low_words_in_runs(self, start: int, stop: int, arena: Arena) -> Array:
        run, wanted = self._run(start, stop)
        out = arena.take(8 * run.num_rows).view(np.uint64)
        run.read_numbers(_WORDS, out, partial(self._low_words_of, run), low_words=True)
        return out[wanted].view(np.int64)

    def _low_words_of(self, run: BlockRun, block: int) -> Array:
        cursor, reader = run.cursor(block)
        rows = run.row(block + 1) - run.row(block)
        return self._low_words(_Block(0, 0, rows, 0, cursor, reader), rows)

    def _words(self, start: int, stop: int, arena: Arena) -> Held:
        values, validity = arena.take(8 * (stop - start)).view(np.int64), self._validity(start, stop)
        for part in self._blocks(start, stop):
            places, count = _places(part)
            _put(self._low_words(part, count), places, part, values, validity)
        return Held(Column(_INT64, values, None, validity))

    def _low_words(self, part: _Block, count: int) -> Array:
        """The low words of the valid rows of a block, which the high ones only extend."""
        cursor, rest = part.cursor, part.cursor.rest
        if not count:
            cursor.expect_end("block")
            return np.empty(0, np.int64)
        first = len(rest) - len(_NO_HIGH_WORDS)
        if rest[first:] == _NO_HIGH_WORDS and _stream_size(rest) == first:
            alone = Cursor(rest[:first], path=cursor.path, base=cursor.offset)
            low = unpack_frame(alone, count, _WORDS)
            if low is None:
                low = _numbers(part.reader.read(alone, count, _WORDS))
            if int(low.min()) < 0:
                self._check_words(low, np.zeros(count, np.int64), None)
            return low
        low, high = (_numbers(part.reader.read(cursor, count, _WORDS)) for _ in range(2))
        cursor.expect_end("block")
        self._check_words(low, high, None)
        return low

    def _codes(self, start: int, stop: int, arena: Arena) -> Held:
        if not self._reader.null_count:
            return self._codes_in_runs(start, stop, arena)
        codes, dictionary = arena.take(4 * (stop - start)).view(np.int32), _Dictionary(self._pa)
        validity = self._validity(start, stop)
        for part in self._blocks(start, stop):
            places, count = _places(part)
            found, values = self._block_codes(part, count)
            _put(found + np.int32(dictionary.add(values)), places, part, codes, validity)
        return Held(Column(_INT32, codes, None, validity), dictionary.array())

    def _codes_in_runs(self, start: int, stop: int, arena: Arena) -> Held:
        run, wanted = self._run(start, stop)
        codes, dictionary = arena.take(4 * run.num_rows).view(np.int32), _Dictionary(self._pa)
        done = 0
        while done < run.count:
            coded = run.read_codes(done, STRINGS)
            if coded is None:
                rows = run.row(done + 1) - run.row(done)
                part = _Block(0, 0, rows, 0, *run.cursor(done))
                (found, values), blocks = self._block_codes(part, rows), 1
            else:
                entries, found, blocks = coded
                values = self._values(entries, run.cursor(done)[0])
            here = codes[run.row(done) : run.row(done + blocks)]
            here[:] = found  # codes may be narrower than what is added to them
            here += dictionary.add(values)
            done += blocks
        return Held(Column(_INT32, codes[wanted]), dictionary.array())

    def _block_codes(self, part: _Block, count: int) -> tuple[Array, _Values]:
        """int32 codes of the valid rows of a block, all of it, and their values."""
        cursor, rest = part.cursor, part.cursor.rest
        if not count:
            cursor.expect_end("block")
            return np.empty(0, np.int32), self._own_values(NO_STRINGS, cursor)
        if rest[0] == StreamId.DICTIONARY:
            _, payload = cursor.framed(STREAM_ALIGNMENT, "stream")
            entries, codes = _DICTIONARY.read_codes(payload, count, STRINGS, part.reader)
            payload.expect_end("stream")
            cursor.expect_end("block")
            check_codes(payload, codes, entries)
            return codes.astype(np.int32), self._values(entries, cursor)
        constant = rest[0] == StreamId.CONSTANT
        strings = part.reader.read(cursor, count, STRINGS)
        cursor.expect_end("block")
        assert isinstance(strings, Strings)
        if constant:
            strings = Strings(strings.data[: strings.offsets[1]], strings.offsets[:2])
        codes = np.zeros(count, np.int32) if constant else np.arange(count, dtype=np.int32)
        return codes, self._own_values(strings, cursor)

    def _values(self, entries: Entries, cursor: Cursor) -> _Values:
        """The values of a page's dictionary; made once and kept with it."""
        known = entries.shown
        if not isinstance(known, _Values):
            strings = entries.values
            assert isinstance(strings, Strings)
            data = strings.data[: int(strings.offsets[-1])]
            known = entries.shown = self._own_values(Strings(data, strings.offsets), cursor)
        return known

    def _own_values(self, strings: Strings, cursor: Cursor) -> _Values:
        if not valid_text(strings.data, strings.offsets):
            raise cursor.fail("text is not UTF-8")
        pa = self._pa
        buffers = [None, pa.py_buffer(strings.offsets), pa.py_buffer(np.ascontiguousarray(strings.data))]
        array = pa.Array.from_buffers(pa.large_string(), len(strings.offsets) - 1, buffers)
        small = strings.data.nbytes + strings.offsets.nbytes <= _SMALL
        return _Values(array, strings.data.tobytes() + strings.offsets.tobytes() if small else None)

    def _validity(self, start: int, stop: int) -> Mask | None:
        return np.ones(stop - start, np.bool_) if self._reader.null_count else None


def _stream_size(raw: memoryview) -> int:
    """Bytes of the stream that `raw` begins with, its header and padding included; 0 if there is none."""
    if len(raw) < FRAME.size:
        return 0
    length = int(FRAME.unpack_from(raw)[1])
    return FRAME.size + length + -length % STREAM_ALIGNMENT


def _numbers(values: Any) -> Array:
    assert isinstance(values, np.ndarray)
    return values


def _places(part: _Block) -> tuple[Mask | None, int]:
    """Which rows of a block are valid (None: all), and how many."""
    rows = part.stop - part.start
    if not part.nulls:
        return None, rows
    if part.nulls == rows:
        return np.zeros(rows, np.bool_), 0
    return block.row_validity(part.cursor, rows, part.nulls, part.reader), rows - part.nulls


def _put(found: Array, places: Mask | None, part: _Block, out: Array, validity: Mask | None) -> None:
    """Values of the valid rows of a block to where they belong, as far as that is within `out`."""
    if places is not None:
        spread = np.zeros(len(places), out.dtype)
        spread[places] = found
        found = spread
    skip = max(-part.start, 0)
    start, stop = part.start + skip, min(part.stop, len(out))
    out[start:stop] = found[skip : skip + stop - start]
    if validity is not None and places is not None:
        validity[start:stop] = places[skip : skip + stop - start]
