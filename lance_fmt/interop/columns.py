"""Rows of one column decoded straight into what Arrow holds.

Beside the usual layout there are two narrow ones, for engines that like them: decimals of at most 18 digits as
64-bit integers, and strings that the file keeps in dictionaries as their codes. Then nothing is spelled out that
the file says only once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from lance_fmt import arrow, block
from lance_fmt.arena import Arena
from lance_fmt.arrow_types import arrow_field
from lance_fmt.column import Column
from lance_fmt.column_reader import ColumnReader
from lance_fmt.constants import STREAM_ALIGNMENT, EncodingId, StreamId, TypeId
from lance_fmt.encodings.bitpacked import frozen
from lance_fmt.encodings.dictionary import Dictionary, Entries, check_codes
from lance_fmt.encodings.frame_of_reference import unpack_frame
from lance_fmt.encodings.protocol import STRINGS, Mask, Strings, kind_of
from lance_fmt.encodings.streams import PageReader
from lance_fmt.encodings.text import valid_text
from lance_fmt.errors import InvalidDataError
from lance_fmt.kernels import loader
from lance_fmt.schema import int32, int64
from lance_fmt.source import read_exactly
from lance_fmt.wire import FRAME, Cursor

Array = np.ndarray[Any, Any]

_WORD_DIGITS = 18  # of the decimals that 64 bits hold, whatever the digits are
_WORDS = kind_of("<i8")
# The stream of high words where none of a block's decimals is negative: a constant 0.
_NO_HIGH_WORDS = bytes([StreamId.CONSTANT, 0, 0, 0, 8, 0, 0, 0]) + bytes(8)
_NO_HIGH = np.frombuffer(_NO_HIGH_WORDS, np.uint64)
_DICTIONARY = Dictionary()


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
        self._dictionaries: dict[int, Any] = {}
        usual = arrow_field(pa, reader.field)
        kind = reader.type
        changed = {
            Layout.WORDS: lambda: pa.decimal64(kind.precision, kind.scale),
            Layout.CODES: lambda: pa.dictionary(pa.int32(), pa.large_string()),
        }.get(layout)
        self._kind = _WORDS if layout is Layout.WORDS else kind_of(kind.dtype)
        streams = all(encoding is EncodingId.STREAMS for encoding in reader.meta.encodings)
        integers = kind.is_integer and kind.stride == 8 and layout is Layout.USUAL
        self._in_frames = (integers or layout is Layout.WORDS) and streams and not reader.null_count
        self.field = usual if changed is None else usual.with_type(changed())

    def read(self, start: int, stop: int, arena: Arena) -> Held:
        """Rows `start..stop`, in memory of `arena`."""
        if start < stop and self._in_frames and self._whole_blocks(start, stop):
            kind = self._reader.type if self._layout is Layout.USUAL else int64()
            return Held(Column(kind, self._frames(start, stop, arena).view(kind.dtype)))
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
            return Held(Column(int64(), low, None, column.validity))
        coded = arrow.array_of(self._pa, column, self._pa.large_string()).dictionary_encode()
        codes = np.frombuffer(coded.indices.buffers()[1] or b"", np.int32, len(column))
        return Held(Column(int32(), codes, None, column.validity), coded.dictionary)

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

    def _whole_blocks(self, start: int, stop: int) -> bool:
        inside = self._reader.slot_mask
        return not start & inside and (not stop & inside or stop == self._reader.num_rows)

    def _frames(self, start: int, stop: int, arena: Arena) -> Array:
        """Whole blocks of 64-bit integers or low words without nulls, those of a page in one call mostly."""
        reader = self._reader
        out = arena.take(8 * (stop - start)).view(np.uint64)
        at = 0
        for number, first, last in reader.spans(start, stop):
            page = reader.page(number)
            begin, end = page.index.span(first, last)
            raw = read_exactly(reader.source, page.offset + begin, end - begin, reader.place(number, first))
            numbers = range(first, last + 1)
            places = [page.index.span(place, place) for place in numbers]
            for place, (a, b) in zip(numbers, places, strict=True):
                reader.check(number, page.index, place, raw[a - begin : b - begin], page.offset + a)
            rows = [reader.rows_of(page, place) for place in numbers]
            sizes = [page.index.size(place) for place in numbers]
            views = page.index.views
            assert views is not None
            done = 0
            while done < len(rows):
                starts = [a - begin for a, _ in places[done:]]
                found = self._run(raw, starts, sizes[done:], rows[done:], out[at:])
                at += sum(rows[done : done + found])
                done += found
                if done < len(rows):
                    low = places[done][0]
                    rest = raw[low - begin : low - begin + sizes[done]]
                    cursor = Cursor(rest, path=reader.source.name, base=page.offset + low)
                    part = _Block(number, 0, rows[done], 0, cursor, PageReader(views))
                    out[at : at + rows[done]] = self._one_block(part, rows[done]).view(np.uint64)
                    at += rows[done]
                    done += 1
        return out

    def _run(self, raw: memoryview, starts: list[int], sizes: list[int], rows: list[int], out: Array) -> int:
        """Decode the blocks up to the first that is no frame of reference; their number."""
        words = frozen(np.frombuffer(raw[: len(raw) & -8], np.uint64))
        begins, lengths = np.array(starts, np.int64) >> 3, np.array(sizes, np.int64) >> 3
        if any(place & 7 for place in starts):
            return 0
        narrow = self._layout is Layout.WORDS
        count = len(rows)
        if narrow:
            # Low words are read so where the high ones are a constant 0.
            high = words[np.add.outer(begins + lengths - 2, np.arange(2))]
            other = np.flatnonzero((high != _NO_HIGH).any(axis=1))
            count = int(other[0]) if len(other) else count
            lengths = lengths - 2
        ends = (begins + lengths)[:count]
        found = loader.unpack_frames()(words, begins[:count], ends, np.array(rows[:count], np.int64), out)
        if narrow and found:
            low = out[: sum(rows[:found])].view(np.int64)
            if int(low.min()) < 0:
                self._check_words(low, np.zeros(len(low), np.int64), None)
        return int(found)

    def _one_block(self, part: _Block, count: int) -> Array:
        """A block without nulls, whatever its streams are."""
        if self._layout is Layout.WORDS:
            return self._low_words(part, count)
        values = _numbers(part.reader.read(part.cursor, count, self._kind))
        part.cursor.expect_end("block")
        return values

    def _words(self, start: int, stop: int, arena: Arena) -> Held:
        values, validity = arena.take(8 * (stop - start)).view(np.int64), self._validity(start, stop)
        for part in self._blocks(start, stop):
            places, count = _places(part)
            _put(self._low_words(part, count), places, part, values, validity)
        return Held(Column(int64(), values, None, validity))

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
        codes, validity = arena.take(4 * (stop - start)).view(np.int32), self._validity(start, stop)
        known: dict[int, int] = {}
        dictionaries: list[Any] = []
        size = 0
        for part in self._blocks(start, stop):
            places, count = _places(part)
            found, key, values = self._block_codes(part, count)
            part.cursor.expect_end("block")
            if key not in known:
                known[key] = size
                dictionaries.append(values)
                size += len(values)
            _put(found if not known[key] else found + np.int32(known[key]), places, part, codes, validity)
        dictionary = dictionaries[0] if len(dictionaries) == 1 else self._pa.concat_arrays(dictionaries)
        return Held(Column(int32(), codes, None, validity), dictionary)

    def _block_codes(self, part: _Block, count: int) -> tuple[Array, int, Any]:
        """int32 or narrower codes of the valid rows of a block, a key of their dictionary, and that."""
        rest = part.cursor.rest
        if not count:
            return (
                np.empty(0, np.int32),
                -1,
                self._strings(Strings(np.empty(0, np.uint8), np.zeros(1, np.int64))),
            )
        if rest[0] == StreamId.DICTIONARY:
            _, payload = part.cursor.framed(STREAM_ALIGNMENT, "stream")
            entries, codes = _DICTIONARY.read_codes(payload, count, STRINGS, part.reader)
            payload.expect_end("stream")
            check_codes(payload, codes, entries)
            return codes.astype(np.int32), id(entries), self._values(part, entries)
        constant = rest[0] == StreamId.CONSTANT
        strings = part.reader.read(part.cursor, count, STRINGS)
        assert isinstance(strings, Strings)
        if constant:
            strings = Strings(strings.data[: strings.offsets[1]], strings.offsets[:2])
        values = self._strings(strings, part.cursor)
        codes = np.zeros(count, np.int32) if constant else np.arange(count, dtype=np.int32)
        return codes, id(values), values

    def _values(self, part: _Block, entries: Entries) -> Any:
        """The Arrow array of a page's dictionary, made once."""
        known = self._dictionaries.get(id(entries))
        if known is None or known[0] is not entries:
            strings = entries.values
            assert isinstance(strings, Strings)
            data = strings.data[: int(strings.offsets[-1])]
            known = entries, self._strings(Strings(data, strings.offsets), part.cursor)
            self._dictionaries[id(entries)] = known
        return known[1]

    def _strings(self, strings: Strings, cursor: Cursor | None = None) -> Any:
        if cursor is not None and not valid_text(strings.data, strings.offsets):
            raise cursor.fail("text is not UTF-8")
        pa = self._pa
        buffers = [None, pa.py_buffer(strings.offsets), pa.py_buffer(np.ascontiguousarray(strings.data))]
        return pa.Array.from_buffers(pa.large_string(), len(strings.offsets) - 1, buffers)

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
