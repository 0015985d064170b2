"""Distinct values once for a page, and codes (FORMAT.md, "Dictionary").

The values are sorted (numbers by their bits as unsigned integers, strings by their bytes), so equal columns give
equal files. They lie in a shared slot, read and checked once for all blocks of the page.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from lance_fmt.constants import MAX_BLOCK_BYTES, MAX_DICTIONARY_VALUES, StreamId
from lance_fmt.encodings.bitpacked import frozen
from lance_fmt.encodings.coded import Coded, Words, gather, strings_of
from lance_fmt.encodings.protocol import (
    Array,
    Chooser,
    Kind,
    Mask,
    PageParameters,
    Recipe,
    Sample,
    SharedWriter,
    StreamReader,
    StreamWriter,
    Strings,
    Test,
    Values,
    count_of,
    kind_of,
)
from lance_fmt.errors import InvalidDataError
from lance_fmt.kernels import loader
from lance_fmt.wire import Builder, Cursor

_ALONE = frozenset({StreamId.DICTIONARY})
# A dictionary is read for the first row of its page, so it must stay small beside the page.
_MAX_BYTES = 1 << 18
# Runs of adjacent rows, to see both values that come in runs and values that come back.
_PROBE_RUNS = 256
_PROBE_RUN = 16
_MIXERS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_PROBE_NEW = 0.98
_SLACK = 8
_HEADER = struct.Struct("<II")
NO_STRINGS = Strings(np.empty(0, np.uint8), np.zeros(1, np.int64))
_CODE_KINDS = {size: kind_of(f"<u{size}") for size in (1, 2, 4)}


class Mapping(PageParameters):
    """Sorted distinct values, and the way from values to their places among them.

    `recipe` is how the values are written; `slots` remembers where they have been. `page` are the blocks that
    the values were found in: their codes are known from that.
    """

    def __init__(self, known: _Known | _Listed, kind: Kind, page: Sequence[Values]) -> None:
        self.kind = kind
        self.code_kind = _CODE_KINDS[_code_size(known.count)]
        self.values, ranks = known.sorted(kind)
        # None: the codes are ranks already.
        self._ranks: Array | None = ranks.astype(self.code_kind.dtype)
        self._known: _Known | _Listed | None = known
        self._count = known.count
        self.recipe: Recipe | None = None
        self._slots: WeakKeyDictionary[SharedWriter, int] = WeakKeyDictionary()
        parts = known.parts(page)
        if parts[0].dtype == self.code_kind.dtype and len(ranks) == known.count and _is_order(ranks):
            self._ranks = None
        # Blocks are held, so that none of them leaves its id to another.
        self._page = {id(block): (block, codes) for block, codes in zip(page, parts, strict=True)}

    def codes(self, values: Values) -> Array | None:
        """The code of each value; None if there is a value without one."""
        known = self._page.get(id(values))
        assert self._known is not None
        found = self._known.look_up(values) if known is None else known[1]
        return found if found is None or self._ranks is None else np.take(self._ranks, found)

    def renewed(self, page: Sequence[Values]) -> Mapping | None:
        """The mapping of another page, written alike; None if it has far more values, or codes of other width."""
        count = sum(map(count_of, page))
        known = _distinct(page, min(2 * self._count + _PROBE_RUN, count // 2), self.kind)
        if known is None or _code_size(known.count) != self.code_kind.dtype.itemsize:
            return None
        found = Mapping(known, self.kind, page)
        found.recipe = self.recipe
        return found

    def forget(self) -> None:
        """Drop all but what `renewed` needs."""
        self._known = None
        self._page.clear()
        self.values = self.values[:0] if isinstance(self.values, np.ndarray) else NO_STRINGS

    def slot(self, out: StreamWriter) -> int:
        """The slot of the values in the page of `out`, written the first time."""
        place = self._slots.get(out.shared)
        if place is None:
            assert self.recipe is not None
            stream = out.write(self.values, self.kind, self.recipe)
            data = Builder().u64(count_of(self.values)).raw(stream).finish()
            place = out.shared.add(data, f"dictionary of {self.kind.name}")
            self._slots[out.shared] = place
        return place


class _Known:
    """Distinct values in the order of their first appearance, and the hash table over them."""

    count: int

    def __init__(self, values: Values, limit: int) -> None:
        """Up to `limit` distinct values; `count` is -1 if there are more."""
        self._table = np.zeros(1 << max(4, (2 * limit - 1).bit_length()), np.uint32)
        self.codes = np.empty(count_of(values), np.uint32)
        if isinstance(values, Strings):
            self._data, offsets = _padded(values), values.offsets
            self._starts, self._sizes = np.empty(limit, np.int64), np.empty(limit, np.int64)
            self.count = loader.code_strings()(
                self._data, offsets, self._data, self._starts, self._sizes, 0, self._table, self.codes
            )
            self._starts, self._sizes = self._starts[: self.count], self._sizes[: self.count]
        else:
            self._numbers = np.empty(limit, np.uint64)
            self.count = loader.code_numbers()(_bits(values), self._numbers, 0, self._table, self.codes)
            self._numbers = self._numbers[: self.count]

    @property
    def nbytes(self) -> int:
        """Bytes of the values, 8 for each number."""
        return int(self._sizes.sum()) if hasattr(self, "_sizes") else self._numbers.nbytes

    def parts(self, page: Sequence[Values]) -> list[Array]:
        """The codes of each block of the values, places in the order of first appearance."""
        ends = np.cumsum([count_of(block) for block in page])[:-1]
        return np.split(self.codes, ends)

    def look_up(self, values: Values) -> NDArray[np.uint32] | None:
        """Places of the values, in the order of first appearance; None if one is unknown."""
        codes = np.empty(count_of(values), np.uint32)
        if isinstance(values, Strings):
            found = loader.code_strings()(
                _padded(values),
                values.offsets,
                self._data,
                self._starts,
                self._sizes,
                self.count,
                self._table,
                codes,
            )
        else:
            found = loader.code_numbers()(_bits(values), self._numbers, self.count, self._table, codes)
        return None if found < 0 else codes

    def sorted(self, kind: Kind) -> tuple[Values, NDArray[np.uint32]]:
        """The values in order, and the rank of each."""
        if kind.is_strings:
            every = np.stack([self._starts, self._starts + self._sizes], axis=1).reshape(-1)
            found = gather(Strings(self._data, every), np.arange(self.count) * 2)
            order = _string_order(found)
            values: Values = gather(found, order)
        else:
            order = np.argsort(self._numbers, kind="stable")
            values = self._numbers[order].astype(f"<u{kind.dtype.itemsize}").view(kind.dtype)
        ranks = np.empty(self.count, np.uint32)
        ranks[order] = np.arange(self.count, dtype=np.uint32)
        return values, ranks


class _Listed:
    """Like `_Known`, of strings whose codes are known."""

    def __init__(self, blocks: Sequence[Coded], words: Words) -> None:
        self._codes = [block.codes for block in blocks]
        self._words = words
        self._used = np.flatnonzero(np.sum([block.counts for block in blocks], axis=0))
        self.count = len(self._used)

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return sum(len(self._words[place]) for place in self._used.tolist())

    def parts(self, page: Sequence[Values]) -> list[Array]:  # noqa: ARG002
        """The codes of each block."""
        return self._codes

    def look_up(self, values: Values) -> Array | None:  # noqa: ARG002
        """None: there are no values but those listed."""
        return None

    def sorted(self, kind: Kind) -> tuple[Values, NDArray[np.uint32]]:  # noqa: ARG002
        """The values in order, and the rank of each."""
        ranks = np.zeros(len(self._words), np.uint32)
        ranks[self._used] = np.arange(self.count, dtype=np.uint32)
        return strings_of([self._words[place] for place in self._used.tolist()]), ranks


def _string_order(values: Strings) -> NDArray[np.int64]:
    """The order of strings by their bytes: by the first eight in one sort, by the rest where those are equal."""
    prefixes = np.empty(count_of(values), np.uint64)
    loader.prefix_numbers()(values.data, values.offsets, prefixes)
    order = np.argsort(prefixes, kind="stable")
    ordered = prefixes[order]
    equal = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.concatenate([equal, [False]]) | np.concatenate([[False], equal]))
    raw, bounds = values.data.tobytes(), values.offsets.tolist()
    # Sorted all at once: rows of different prefixes keep apart.
    order[tied] = sorted(order[tied].tolist(), key=lambda row: raw[bounds[row] : bounds[row + 1]])
    return order


class Entries:
    """Distinct values as they are read; strings have 16 bytes behind them for wide copies."""

    def __init__(self, values: Values, kind: Kind) -> None:
        self.kind = kind
        self.count = count_of(values)
        self.code_kind = _CODE_KINDS[_code_size(self.count)]
        self.values = values
        self._answer: tuple[Test, Mask] | None = None
        self.bits = np.empty(0, np.uint8)
        self.has_negative = False
        # What a reader has made of the values for its own use, if anything.
        self.shown: Any = None
        if isinstance(values, Strings):
            self.values = Strings(np.concatenate([values.data, np.zeros(16, np.uint8)]), values.offsets)
        else:
            self.bits = values.view(f"<u{values.dtype.itemsize}").copy()
            self.has_negative = bool((values < 0).any())

    def passing(self, test: Test) -> Mask:
        """Which values pass; remembered for the next block of a scan."""
        answer = self._answer
        if answer is None or answer[0] is not test:
            values = self.values
            if isinstance(values, Strings):
                values = Strings(values.data[: int(values.offsets[-1])], values.offsets)
            answer = test, test.mask(values)
            self._answer = answer
        return answer[1]


class Dictionary:
    """Values once, then codes; numbers and byte strings."""

    id = StreamId.DICTIONARY
    name = "dictionary"

    def accepts(self, kind: Kind) -> bool:
        """All but bools."""
        return not kind.is_bool

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """Where the page is known and its values repeat."""
        if sample.page is None:
            return None
        count = sum(map(count_of, sample.page))
        if count < 2 or (_listed(sample.page) is None and _hardly_repeats(sample.page, count)):
            return None
        known = _distinct(sample.page, count // 2, kind)
        return None if known is None else self._recipe(known, sample, kind, chooser)

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """As long as there are no more than `MAX_DICTIONARY_VALUES` values."""
        return self._recipe(_all_known(sample.page or sample.blocks), sample, kind, chooser)

    def _recipe(self, known: _Known | _Listed, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        mapping = Mapping(known, kind, sample.page or sample.blocks)
        codes = [found for block in sample.blocks if (found := mapping.codes(block)) is not None]
        child = chooser.choose(Sample(codes), mapping.code_kind)
        distinct = [mapping.values]
        mapping.recipe = chooser.choose(Sample(distinct, distinct), kind, without=_ALONE)
        return Recipe(self.id, (child,), mapping)

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:
        """Slot of the values, and the codes."""
        mapping: Mapping = recipe.parameters
        codes = mapping.codes(values)
        if codes is None:  # not a block of the page this was planned for: it gets a dictionary of its own
            mapping = Mapping(_all_known([values]), kind, [values])
            mapping.recipe = recipe.parameters.recipe
            codes = mapping.codes(values)
        assert codes is not None
        stream = out.write(codes, mapping.code_kind, recipe.children[0])
        return Builder().u32(mapping.slot(out)).u32(0).raw(stream).finish()

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Values:
        """The values, looked up."""
        entries, codes = self.read_codes(payload, count, kind, source)
        values = entries.values
        if not isinstance(values, Strings):
            bits = np.empty(count, entries.bits.dtype)
            if loader.take_numbers()(entries.bits, codes, bits) >= entries.count:
                check_codes(payload, codes, entries)
            return bits.view(values.dtype)
        rows = codes.astype(np.int64)
        offsets = np.empty(count + 1, np.int64)
        total = loader.offsets_of_indices()(values.offsets, rows, MAX_BLOCK_BYTES, offsets)
        if total < 0:
            check_codes(payload, codes, entries)
            raise payload.fail(f"strings of more than {MAX_BLOCK_BYTES} bytes in one block")
        data = np.empty(total + 16, np.uint8)
        loader.gather_bytes()(values.data, values.offsets, rows, offsets, data)
        return Strings(data[:total], offsets)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Asks each distinct value once."""
        entries, codes = self.read_codes(payload, count, kind, source)
        check_codes(payload, codes, entries)
        return np.take(entries.passing(test), codes)

    def read_codes(
        self, payload: Cursor, count: int, kind: Kind, source: StreamReader
    ) -> tuple[Entries, Array]:
        """The values and the codes, which nobody has held against the number of values yet."""
        slot, reserved = _HEADER.unpack(payload.take(_HEADER.size, "slot of the dictionary"))
        if reserved != 0:
            raise payload.fail("reserved bytes of a dictionary stream are not zero")
        entries = self.entries(slot, payload, kind, source)
        codes = source.read(payload, count, entries.code_kind)
        assert not isinstance(codes, Strings)
        return entries, frozen(codes)

    def entries(self, slot: int, payload: Cursor, kind: Kind, source: StreamReader) -> Entries:
        """The values in a shared slot; CorruptFileError, at `payload`, if they are none of `kind`."""

        def parse(cursor: Cursor) -> Entries:
            size = cursor.u64("dictionary length")
            if not 1 <= size <= MAX_DICTIONARY_VALUES:
                raise cursor.fail(f"dictionary of {size} values; 1 to {MAX_DICTIONARY_VALUES} are possible")
            values = source.read(cursor, size, kind)
            cursor.expect_end("dictionary")
            return Entries(values, kind)

        entries = source.shared(slot, parse)
        if not isinstance(entries, Entries) or (entries.kind is not kind and entries.kind != kind):
            raise payload.fail(f"shared slot {slot} is no dictionary of {kind.name}")
        return entries


def check_codes(payload: Cursor, codes: Array, entries: Entries) -> None:
    """Raise unless every code has a value."""
    if int(codes.max()) >= entries.count:
        raise payload.fail(f"dictionary code {int(codes.max())} of {entries.count} values")


def _is_order(ranks: NDArray[np.uint32]) -> bool:
    return bool((ranks == np.arange(len(ranks), dtype=np.uint32)).all())


def _code_size(count: int) -> int:
    """Bytes of the smallest unsigned integer that holds the codes of `count` values."""
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4


def _bits(values: Array) -> NDArray[np.uint64]:
    return values.view(f"<u{values.dtype.itemsize}").astype(np.uint64)


def _padded(values: Strings) -> NDArray[np.uint8]:
    return np.concatenate([values.data, np.zeros(_SLACK, np.uint8)])


def _joined(blocks: Sequence[Values]) -> Values:
    if len(blocks) == 1:
        return blocks[0]
    if not isinstance(blocks[0], Strings):
        return np.concatenate(blocks)
    strings: list[Any] = list(blocks)
    lengths = np.concatenate([np.diff(block.offsets) for block in strings])
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Strings(np.concatenate([block.data for block in strings]), offsets)


def _listed(page: Sequence[Values]) -> _Listed | None:
    """The distinct values of a page whose blocks are codes of the same words; None if they are not."""
    coded = [block for block in page if isinstance(block, Coded)]
    if len(coded) < len(page) or any(block.words is not coded[0].words for block in coded):
        return None
    return _Listed(coded, coded[0].words)


def _distinct(page: Sequence[Values], limit: int, kind: Kind) -> _Known | _Listed | None:
    """The distinct values of a page; None if there are more than `limit`, or than a dictionary takes."""
    limit = min(limit, MAX_DICTIONARY_VALUES)
    known = _listed(page) or _Known(_joined(page), limit)
    if known.count > limit:
        return None
    most = _MAX_BYTES * (1 if kind.is_strings else 8 // kind.dtype.itemsize)
    return None if known.count < 0 or known.nbytes > most else known


def _all_known(blocks: Sequence[Values]) -> _Known:
    values = _joined(blocks)
    known = _Known(values, min(count_of(values), MAX_DICTIONARY_VALUES))
    if known.count < 0:
        raise InvalidDataError(
            f"encoding 'dictionary' was asked for more than {MAX_DICTIONARY_VALUES} distinct values in a page"
        )
    return known


def _hardly_repeats(blocks: Sequence[Values], count: int) -> bool:
    """Look at runs of rows from all over the page before hashing all of it."""
    if count <= 2 * _PROBE_RUNS * _PROBE_RUN:
        return False
    blocks = blocks[:: -(-len(blocks) // _PROBE_RUNS)]
    runs = _PROBE_RUNS // len(blocks)
    probe = _joined([_picked(block, place * runs, runs) for place, block in enumerate(blocks)])
    return _Known(probe, int(count_of(probe) * _PROBE_NEW)).count < 0


def _picked(block: Values, first: int, runs: int) -> Values:
    """Runs of rows of a block at random places, always the same: regular ones might miss what repeats regularly."""
    count = count_of(block)
    run = min(_PROBE_RUN, count)
    mixed = np.arange(first + 1, first + runs + 1, dtype=np.uint64) * np.uint64(_MIXERS[0])
    for shift, factor in zip((30, 27), _MIXERS[1:], strict=True):  # the SplitMix64 generator
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    starts = ((mixed >> np.uint64(32)) * np.uint64(count - run + 1)) >> np.uint64(32)
    rows = np.unique(starts.astype(np.int64)[:, None] + np.arange(run))
    return gather(block, rows) if isinstance(block, Strings) else block[rows]
