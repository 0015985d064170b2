"""Pages: building one from a column, and the page index with its block directory (FORMAT.md, "Pages").

A page's data is its blocks, back to back, padded with zeros to a multiple of 64 bytes; the padding counts to
the last block's checksum. The page index says where blocks end, and holds their checksums, null counts and
bounds, and what they share; its own checksum lies in the page handle.

There are two kinds of page: of streams, and, since 1.0, of plain numbers that are one array on disk.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lance_fmt import block as blocks
from lance_fmt import v1, zonemap
from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.constants import (
    MAX_BLOCK_BYTES,
    MAX_BLOCK_ITEMS,
    MAX_SHARED_SLOTS,
    PAGE_ALIGNMENT,
    EncodingId,
    StreamId,
)
from lance_fmt.encodings.protocol import Kind, Recipe, Values, count_of, kind_of
from lance_fmt.encodings.select import Choice, Habit, Level, LevelChooser, encoding_named, sample_of
from lance_fmt.encodings.streams import PageReader, PageWriter, SharedViews
from lance_fmt.errors import InvalidDataError
from lance_fmt.pyvalues import offsets_of
from lance_fmt.schema import DataType
from lance_fmt.wire import Builder, Cursor
from lance_fmt.zonemap import BlockBounds, Bounds

Buffer = bytes | memoryview
_BOOLS = kind_of("?")
_INDEX_HEADER = struct.Struct("<II")
_NOTHING = Recipe(StreamId.PLAIN)


@dataclass(frozen=True, slots=True)
class PageImage:
    """An encoded page, ready to be written: data buffers (padding included), index, and handle fields."""

    data: list[Buffer]
    index: bytes
    rows: int
    nulls: int
    encoding: EncodingId
    bounds: Bounds
    evidence: str


class PageBuilder:
    """Encodes the pages of one column, remembering how the pages before were written.

    `encoding` names the one to use instead of the best, for all streams of values that it accepts.
    """

    def __init__(self, level: Level, encoding: str | None) -> None:
        self._forced = encoding_named(encoding) if encoding else None
        self._level = level
        self._chooser = LevelChooser(level)
        self._habits: dict[str, Habit] = {}

    def build(self, column: Column, block_shift: int) -> PageImage:
        """A page of streams, in blocks of `2^block_shift` rows; at least one row."""
        starts = [*range(0, len(column), 1 << block_shift), len(column)]
        parts = [column.slice(a, b) for a, b in pairwise(starts)]
        _check_block_sizes(parts)
        nulls = [part.null_count for part in parts]
        data, slots, recipes, evidence = self._write(column.type, parts, nulls)
        keys = zonemap.prefixes(column)
        bounds, block_bounds = (
            zonemap.measure(column, keys),
            zonemap.measure_blocks(column, starts, nulls, keys),
        )
        index = _index(data, len(slots), nulls)
        block_bounds.put(index)
        index.text(recipes)
        index.raw(np.array([len(slot) for slot in slots], "<u4").tobytes())
        for slot in slots:
            index.raw(slot)
        return PageImage(data, index.finish(), len(column), sum(nulls), EncodingId.STREAMS, bounds, evidence)

    def _write(
        self, kind: DataType, parts: list[Column], nulls: list[int]
    ) -> tuple[list[Buffer], list[bytes], str, str]:
        """Bytes of each block, shared slots, recipes and evidence."""
        writer = PageWriter(trace=[])
        streams: list[list[bytes]] = [[] for _ in parts]
        recipes, evidence = [], []
        mixed = [i for i, part in enumerate(parts) if 0 < nulls[i] < len(part)]
        if mixed:
            flags: list[Values] = [v for i in mixed if (v := parts[i].validity) is not None]
            choice, written = self._write_stream("?", flags, _BOOLS, writer)
            evidence.append(f"validity {choice.recipe}")
            for i, stream in zip(mixed, written, strict=True):
                streams[i].append(stream)
        full = [i for i, part in enumerate(parts) if nulls[i] < len(part)]
        apart = [blocks.take_apart(parts[i]) for i in full]
        for place, leaf in enumerate(blocks.leaves(kind)):
            values = [values_of_block[place] for values_of_block in apart]
            choice, written = self._write_stream(leaf.path, values, leaf.kind, writer)
            evidence.insert(place, f"{leaf.path}: {choice.evidence}" if leaf.path else choice.evidence)
            recipes.append(str(choice.recipe))
            for i, stream in zip(full, written, strict=True):
                streams[i].append(stream)
        return (
            [b"".join(block) for block in streams],
            writer.shared.slots,
            ", ".join(recipes),
            "; ".join(evidence),
        )

    def _write_stream(
        self, path: str, values: list[Values], kind: Kind, writer: PageWriter
    ) -> tuple[Choice, list[bytes]]:
        """The stream of each block, and why it is written so."""
        present = [v for v in values if count_of(v)]
        if not present:
            choice = Choice(_NOTHING, "plain, no values")
            return choice, [writer.write(v, kind, choice.recipe) for v in values]
        if self._forced is not None and path != "?" and self._forced.accepts(kind):
            choice = self._chooser.fixed(self._forced.name, sample_of(present), kind)
            return choice, [writer.write(v, kind, choice.recipe) for v in values]
        habit = self._habits.get(path)
        usual = None if habit is None else habit.recipe(present)
        if habit is not None and usual is not None:
            slots = len(writer.shared.slots)
            written, share = self._written(values, kind, usual, writer)
            if habit.holds(share):
                return Choice(usual, f"{usual}; as the page before"), written
            writer.shared.cut(slots)
        choice = LevelChooser(self._level).weigh(sample_of(present), kind)
        written, share = self._written(values, kind, choice.recipe, writer)
        self._habits[path] = Habit(choice.recipe, share, habit)
        return choice, written

    def _written(
        self, values: list[Values], kind: Kind, recipe: Recipe, writer: PageWriter
    ) -> tuple[list[bytes], float]:
        """The stream of each block, and what they come to (`LevelChooser.share`)."""
        writer.trace = []
        shared = sum(map(len, writer.shared.slots))
        streams = [writer.write(v, kind, recipe) for v in values]
        size = sum(map(len, streams)) + sum(map(len, writer.shared.slots)) - shared
        return streams, self._chooser.share(values, size, writer.trace)


def build_raw_page(column: Column, block_shift: int) -> PageImage:
    """A page of plain numbers or vectors without nulls, which is one array on disk; any reader can read it."""
    raw = np.ascontiguousarray(column.array).reshape(-1).view(np.uint8).data
    step = column.type.stride << block_shift
    data: list[Buffer] = [raw[a : a + step] for a in range(0, len(raw), step)]
    index = _index(data, 0, [])
    bounds = zonemap.measure(column)
    return PageImage(
        data, index.finish(), len(column), 0, EncodingId.PLAIN, bounds, "plain, one array on disk"
    )


def _index(data: list[Buffer], shared: int, nulls: list[int]) -> Builder:
    """Pad `data`; the start of a page index, which both kinds of page have."""
    ends = offsets_of([len(part) for part in data])[1:]
    padding = bytes(-int(ends[-1]) % PAGE_ALIGNMENT)
    checksums = [crc32c(part) for part in data]
    checksums[-1] = crc32c(padding, checksums[-1])
    data.append(padding)
    index = Builder().u32(len(ends)).u32(shared).raw(ends.astype("<u8").tobytes())
    index.raw(np.array(checksums, "<u4").tobytes())
    return index.raw(np.array(nulls, "<u4").tobytes()) if any(nulls) else index


def _check_block_sizes(parts: list[Column]) -> None:
    for part in parts:
        items = blocks.most_items(part)
        if items > MAX_BLOCK_ITEMS:
            raise InvalidDataError(
                f"{items} items of {part.type} in one block of {len(part)} rows; a block holds "
                f"{MAX_BLOCK_ITEMS}: split such values, or write rows of like size together"
            )
        if part.nbytes > MAX_BLOCK_BYTES:
            raise InvalidDataError(
                f"{part.nbytes} bytes of {part.type} in one block of {len(part)} rows; a block holds "
                f"{MAX_BLOCK_BYTES}: split such values, or write rows of like size together"
            )


class PageIndex:
    """A parsed page index: block i is `ends[i - 1]..ends[i]` of the page's data (from 0 for the first)."""

    __slots__ = (
        "_bounds",
        "_decode",
        "checksums",
        "data_length",
        "ends",
        "nulls",
        "recipe",
        "shared_size",
        "views",
    )

    def __init__(
        self, ends: list[int], checksums: list[int], nulls: list[int] | None, data_length: int
    ) -> None:
        self.ends = ends
        self.checksums = checksums
        self.nulls = nulls
        self.data_length = data_length
        self.shared_size = 0
        self.recipe = ""
        self._bounds: tuple[int, Cursor, DataType] | None = None
        self.views: SharedViews | None = None
        self._decode: Any = None

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where the data of blocks `first..last` (last included) starts and ends, padding included."""
        start = self.ends[first - 1] if first else 0
        return start, self.data_length if last == len(self.ends) - 1 else self.ends[last]

    def size(self, block: int) -> int:
        """Bytes of a block without padding."""
        return self.ends[block] - (self.ends[block - 1] if block else 0)

    @property
    def bounds(self) -> BlockBounds | None:
        """Bounds of the blocks; None for pages of 1.0, which have none."""
        if self._bounds is None:
            return None
        position, cursor, kind = self._bounds
        return BlockBounds.get(cursor.at(position), len(self.ends), kind)

    @property
    def nbytes(self) -> int:
        """Memory held, roughly."""
        return 100 * len(self.ends) + 8 * self.shared_size

    def null_count(self, block: int) -> int:
        """Rows of a block that are null."""
        return self.nulls[block] if self.nulls else 0

    def decode(self, block: int, cursor: Cursor, rows: int, kind: DataType) -> Column:
        """The rows of a block whose bytes (without padding) `cursor` holds."""
        nulls = self.null_count(block)
        if self.views is None:
            found: Column = self._decode(cursor, rows, nulls)
            return found
        column = blocks.read_block(cursor, rows, nulls, kind, PageReader(self.views))
        if cursor.remaining:
            cursor.expect_end("block")
        return column


def read_page_index(
    cursor: Cursor,
    *,
    rows: int,
    nulls: int,
    block_shift: int,
    data_length: int,
    encoding: EncodingId,
    kind: DataType,
) -> PageIndex:
    """Parse a page index (its checksum verified before) and hold it against the page's handle."""
    count, shared = cursor.record(_INDEX_HEADER, "page index")
    if count != -(-rows // (1 << block_shift)):
        raise cursor.fail(f"{count} blocks for {rows} rows of {1 << block_shift} in a block")
    if count == 1:  # most columns of wide files
        ends, checksums = [cursor.u64("block end")], [cursor.u32("block checksum")]
        null_counts = [cursor.u32("block null count")] if nulls else None
    else:
        ends = list(cursor.u64s(count, "block ends"))
        checksums = list(cursor.u32s(count, "block checksums"))
        null_counts = list(cursor.u32s(count, "block null counts")) if nulls else None
    if (count > 1 and ends != sorted(ends)) or -(-ends[-1] // PAGE_ALIGNMENT) * PAGE_ALIGNMENT != data_length:
        raise cursor.fail(f"block ends do not fit the {data_length} bytes of the page")
    if null_counts is not None:
        last = rows - ((count - 1) << block_shift)
        fit = max(null_counts) <= 1 << block_shift and null_counts[-1] <= last
        if not fit or sum(null_counts) != nulls:
            raise cursor.fail(f"null counts of blocks do not fit the {nulls} nulls of the page")
    index = PageIndex(ends, checksums, null_counts, data_length)
    if encoding is EncodingId.STREAMS:
        _read_shared(index, cursor, shared, count, kind)
    else:
        index.shared_size = shared
        index._decode = v1.block_decoder(cursor, shared, encoding, kind)
    return index


def _read_shared(index: PageIndex, cursor: Cursor, slots: int, count: int, kind: DataType) -> None:
    index._bounds = cursor.position, cursor, kind
    BlockBounds.skip(cursor, count)
    index.recipe = cursor.text("recipe")
    if slots > MAX_SHARED_SLOTS:
        raise cursor.fail(f"{slots} shared slots")
    sizes = cursor.u32s(slots, "sizes of shared slots") if slots else ()
    base = cursor.offset
    views = [cursor.take(size, "shared slot") for size in sizes]
    if cursor.remaining:
        cursor.expect_end("page index")
    index.shared_size = sum(sizes)
    index.views = SharedViews(views, path=cursor.path, base=base)
