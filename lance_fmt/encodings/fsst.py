"""FSST: frequent substrings of 1 to 8 bytes as one-byte codes (FORMAT.md, "FSST").

P. Boncz, T. Neumann, V. Leis, "FSST: Fast Random Access String Compression", PVLDB 13(11), 2020. The symbols of
a page are trained on a sample of it, always the same for the same page. A block is coded as one run of bytes:
symbols may reach from one string into the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lance_fmt.constants import StreamId
from lance_fmt.encodings.plain import LENGTHS, lengths_of, read_offsets
from lance_fmt.encodings.protocol import (
    Chooser,
    Kind,
    Mask,
    Recipe,
    Sample,
    StreamReader,
    StreamWriter,
    Strings,
    Test,
    Values,
)
from lance_fmt.errors import InvalidDataError
from lance_fmt.kernels import loader
from lance_fmt.wire import Builder, Cursor

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]

ESCAPE = 255
_MAX_SYMBOLS = 255
_ROUNDS = 5
_CHUNK = 512
_SAMPLE_CHUNKS = 64
_MIN_BYTES = 1024
_WORST_GAIN = 0.9
# Bytes behind the output that the wide stores of the kernel may touch.
_SLACK = 64
_BUCKETS = 2048
_HASH = 0x9E3779B1


class Symbols(NamedTuple):
    """A symbol table as it is read.

    `words` (uint64) and `lengths` (uint8) have 256 rows, of which the first `used` are symbols.
    """

    words: Words
    lengths: Bytes
    used: int


class Table(NamedTuple):
    """A symbol table as it is written: its bytes, and the tables `lance_fmt.kernels.fsst` looks symbols up in."""

    data: bytes
    lookup: tuple[NDArray[Any], ...]


class Fsst:
    """Byte strings in codes of a symbol table that the page shares."""

    id = StreamId.FSST
    name = "fsst"

    def accepts(self, kind: Kind) -> bool:
        """Byte strings."""
        return kind.is_strings

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:  # noqa: ARG002
        """Where the page is known and the symbols save a tenth of the bytes."""
        if sample.page is None or sum(len(_strings(block).data) for block in sample.page) < _MIN_BYTES:
            return None
        table, codes, size = train(sample.page)
        return self._recipe(table, sample, chooser) if codes < _WORST_GAIN * size else None

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:  # noqa: ARG002
        """Whatever it costs."""
        return self._recipe(train(sample.page or sample.blocks)[0], sample, chooser)

    def _recipe(self, table: Table, sample: Sample, chooser: Chooser) -> Recipe:
        return Recipe(self.id, (chooser.choose(sample.map(lengths_of), LENGTHS),), table)

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:  # noqa: ARG002
        """Slot of the symbol table, size of the codes, lengths, codes."""
        strings, table = _strings(values), recipe.parameters
        codes = compress(strings.data, table)
        head = Builder().u32(out.shared.add(table.data, self.name)).u32(len(codes))
        return (
            head.raw(out.write(lengths_of(strings), LENGTHS, recipe.children[0]))
            .raw(codes.tobytes())
            .finish()
        )

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Strings:  # noqa: ARG002
        """One pass over the codes."""
        slot = payload.u32("slot of the symbol table")
        size = payload.u32("size of the codes")
        symbols = source.shared(slot, read_symbols)
        if not isinstance(symbols, Symbols):
            raise payload.fail(f"shared slot {slot} is no symbol table")
        offsets = read_offsets(payload, count, source)
        codes = np.frombuffer(payload.take(size, "codes"), np.uint8)
        codes.flags.writeable = False  # the kernel is compiled for one kind of array only
        total = int(offsets[-1])
        if total > 8 * size:
            raise payload.fail(f"{size} codes cannot stand for the {total} bytes that the lengths sum to")
        data = np.empty(total + _SLACK, np.uint8)
        found = loader.fsst_decompress()(codes, symbols.words, symbols.lengths, total, data)
        if symbols.used < _MAX_SYMBOLS and not loader.fsst_knows()(codes, symbols.used):
            raise payload.fail(f"a code without a symbol: there are {symbols.used}")
        if found != total:
            raise payload.fail(f"the codes do not stand for the {total} bytes that the lengths sum to")
        return Strings(data[:total], offsets)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Decodes first."""
        return test.mask(self.decode(payload, count, kind, source))


def _strings(values: Values) -> Strings:
    if not isinstance(values, Strings):
        raise InvalidDataError("encoding 'fsst' is for byte strings only")
    return values


def read_symbols(cursor: Cursor) -> Symbols:
    """A symbol table: u8 count, the length of each symbol (u8), the bytes of the symbols."""
    count = cursor.u8("number of symbols")
    if count > _MAX_SYMBOLS:
        raise cursor.fail(f"{count} symbols; at most {_MAX_SYMBOLS} have a code")
    sizes = np.frombuffer(cursor.take(count, "lengths of symbols"), np.uint8)
    if count and not 1 <= sizes.min() <= sizes.max() <= 8:
        raise cursor.fail("the length of a symbol is not in 1..8")
    raw = np.frombuffer(cursor.take(int(sizes.sum()), "symbols"), np.uint8)
    cursor.expect_end("symbol table")
    lengths = np.zeros(256, np.uint8)
    lengths[:count] = sizes
    rows = np.zeros((256, 8), np.uint8)
    rows[:count][np.arange(8) < sizes[:, None]] = raw
    return Symbols(rows.reshape(-1).view("<u8"), lengths, count)


def compress(data: Bytes, table: Table) -> Bytes:
    """The codes of `data`."""
    size = len(data)
    padded = np.zeros(size + 8, np.uint8)
    padded[:size] = data
    return _compress(padded, size, table.lookup)


def _compress(padded: Bytes, size: int, lookup: tuple[NDArray[Any], ...]) -> Bytes:
    out = np.empty(2 * size + 1, np.uint8)
    written = loader.fsst_compress()(padded, size, *lookup, out)
    return out[:written]


def train(blocks: Sequence[Values]) -> tuple[Table, int, int]:
    """The symbol table for a page, how many codes its sample takes with it, and of how many bytes that is.

    Section 4.3 of the paper: what the sample is written as with the table so far says which symbols, and which
    neighbours joined to one, would save most; five rounds, each looking at more of the sample.
    """
    sample = _sample(blocks)
    size = len(sample) - 8
    words, lengths = np.zeros(0, np.uint64), np.zeros(0, np.uint8)
    for step in range(1, _ROUNDS + 1):
        singles, pairs = np.zeros(512, np.uint32), np.zeros(512 * 512, np.uint32)
        codes = _compress(sample, size * step // _ROUNDS, _lookup(words, lengths))
        every_length, firsts = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
        every_length[: len(words)] = lengths
        firsts[: len(words)] = words & np.uint64(255)
        seen = np.empty(len(codes), np.uint32)
        listed = loader.fsst_count()(codes, every_length, firsts, singles, pairs, seen)
        neighbours = seen[: 0 if step == _ROUNDS else listed].astype(np.int64)
        words, lengths = _best(words, lengths, singles, neighbours, pairs[neighbours])
    if size >= _CHUNK * _SAMPLE_CHUNKS:
        words, lengths = _filled(words, lengths)
    table = _table(words, lengths)
    return table, len(compress(sample[:size], table)), size


def _sample(blocks: Sequence[Values]) -> Bytes:
    """Chunks from all over the page, and 8 zero bytes that belong to none."""
    whole = [_strings(block).data for block in blocks]
    data = whole[0] if len(whole) == 1 else np.concatenate(whole)
    if len(data) > _CHUNK * _SAMPLE_CHUNKS:
        starts = np.linspace(0, len(data) - _CHUNK, _SAMPLE_CHUNKS).astype(np.int64)
        data = data[(starts[:, None] + np.arange(_CHUNK)).reshape(-1)]
    return np.concatenate([data, np.zeros(8, np.uint8)])


def _best(
    words: Words,
    lengths: Bytes,
    singles: NDArray[np.uint32],
    pairs: NDArray[np.int64],
    counts: NDArray[np.uint32],
) -> tuple[Words, Bytes]:
    """The symbols that would save most, by the counts of those in use and of pairs of neighbours."""
    every_word = np.zeros(512, np.uint64)
    every_word[: len(words)] = words
    every_word[256:] = np.arange(256)
    every_length = np.zeros(512, np.int64)
    every_length[: len(lengths)] = lengths
    every_length[256:] = 1
    used = np.flatnonzero(singles)
    if not len(used):
        return words[:0], lengths[:0]
    # A byte without a symbol costs two codes, so single bytes are worth more than their length.
    weight = np.where(every_length[used] == 1, 8, 1) * singles[used].astype(np.int64)
    left, right = pairs >> 9, pairs & 511
    size = every_length[left]
    # What is longer than 8 bytes is cut; a shift by 64 would not be one.
    joined = every_word[left] | (every_word[right] << (8 * np.minimum(size, 7)).astype(np.uint64))
    joined = np.where(size < 8, joined, every_word[left])
    word = np.concatenate([every_word[used], joined])
    length = np.concatenate([every_length[used], np.minimum(size + every_length[right], 8)])
    count = np.concatenate([weight, np.where(size < 8, counts, 0)])
    order = np.lexsort((length, word))
    word, length, count = word[order], length[order], count[order]
    first = np.flatnonzero(np.r_[True, (word[1:] != word[:-1]) | (length[1:] != length[:-1])])
    word, length, count = word[first], length[first], np.add.reduceat(count, first)
    keep = np.argsort(-(count * length), kind="stable")[:_MAX_SYMBOLS]
    return word[keep], length[keep].astype(np.uint8)


def _filled(words: Words, lengths: Bytes) -> tuple[Words, Bytes]:
    """Single bytes, printable ones first, in the codes that are free.

    They cost two bytes for a page, save an escape for what the sample lacks, and where every code has a symbol
    readers need not look for codes without one.
    """
    every = (np.arange(256, dtype=np.uint64) + np.uint64(32)) % np.uint64(256)
    extra = every[~np.isin(every, words[lengths == 1])][: _MAX_SYMBOLS - len(words)]
    return np.concatenate([words, extra]), np.concatenate([lengths, np.ones(len(extra), np.uint8)])


def _table(words: Words, lengths: Bytes) -> Table:
    raw = words.astype("<u8").view(np.uint8).reshape(-1, 8)
    data = bytes([len(words)]) + lengths.tobytes() + raw[np.arange(8) < lengths[:, None]].tobytes()
    return Table(data, _lookup(words, lengths))


def _lookup(words: Words, lengths: Bytes) -> tuple[NDArray[Any], ...]:
    """The tables that `lance_fmt.kernels.fsst` describes, the symbols that save most coming first."""
    entries = (lengths.astype(np.uint16) << 8) | np.arange(len(words), dtype=np.uint16)
    short = np.full(65536 + 256, 256 + ESCAPE, np.uint16)
    bytes_, pairs = lengths == 1, lengths == 2
    short[65536:][words[bytes_].astype(np.int64)] = entries[bytes_]
    short[:65536].reshape(256, 256)[:] = short[65536:]
    short[words[pairs].astype(np.int64)] = entries[pairs]
    long = np.flatnonzero(lengths > 2)
    buckets = (((words[long] & np.uint64(0xFFFFFF)) * np.uint64(_HASH)) >> np.uint64(15)) % np.uint64(
        _BUCKETS
    )
    order = np.argsort(buckets, kind="stable")
    long, buckets = long[order], buckets[order].astype(np.int64)
    # Two find room in a bucket: the first two, the longer of them first.
    place = np.arange(len(long)) - np.searchsorted(buckets, buckets)
    long, buckets = long[place < 2], buckets[place < 2]
    order = np.lexsort((-lengths[long].astype(np.int64), buckets))
    long, buckets = long[order], buckets[order]
    rows = 2 * buckets + np.arange(len(long)) - np.searchsorted(buckets, buckets)
    table = (
        np.ones(2 * _BUCKETS, np.uint64),
        np.zeros(2 * _BUCKETS, np.uint64),
        np.zeros(2 * _BUCKETS, np.uint16),
    )
    table[0][rows] = words[long]
    table[1][rows] = ~np.uint64(0) >> (np.uint64(64) - np.uint64(8) * lengths[long].astype(np.uint64))
    table[2][rows] = entries[long]
    return short, *table
