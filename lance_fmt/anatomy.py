"""Names every byte of a page: its handle, its index and its blocks, stream by stream (`dissect`).

For people who look at a file, so nothing here decodes: lengths and ids lead from one part to the next. What makes
no sense is named as what it is, bytes that cannot be told apart, and what follows elsewhere is still shown.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from lance_fmt.block import Leaf, leaves
from lance_fmt.checksum import crc32c
from lance_fmt.column_meta import Handle
from lance_fmt.constants import (
    COLUMN_HEADER_SIZE,
    MAX_STREAM_DEPTH,
    PAGE_HANDLE_SIZE,
    STREAM_ALIGNMENT,
    BoundsForm,
    EncodingId,
    PageFlag,
    StreamId,
)
from lance_fmt.encodings.protocol import Kind, kind_of
from lance_fmt.schema import DataType
from lance_fmt.survey import Survey
from lance_fmt.v1.block import bitmap_size
from lance_fmt.v1.integers import packed_size

_CODES = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_BOOLS = kind_of("?")
_BYTES = kind_of("u1")
_LENGTHS = kind_of("<u4")
_BOUND_CODES = {
    BoundsForm.SIGNED: "<q",
    BoundsForm.UNSIGNED: "<Q",
    BoundsForm.FLOAT: "<d",
    BoundsForm.PREFIX: ">Q",
}
_SHOWN = 48  # bytes of text that a value is cut to


@dataclass(slots=True)
class Part:
    """A stretch of the file: `length` bytes at `offset`, `depth` levels below the whole.

    `value` is what they say, as text. A part with `inside` is made of those that follow it, one level deeper; the
    others are the leaves, to exactly one of which each byte belongs.
    """

    offset: int
    length: int
    depth: int
    name: str
    value: str = ""
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A page, taken apart: parts of its handle, its index and its data, each front to back.

    `data` holds the bytes of the three by name; `damage` says what is wrong, a line each.
    """

    column: str
    page: int
    type: str
    recipe: str
    sections: dict[str, list[Part]]
    data: dict[str, tuple[int, memoryview]]
    damage: list[str]

    def raw(self, part: Part) -> memoryview:
        """The bytes of a part."""
        for start, raw in self.data.values():
            if start <= part.offset and part.offset + part.length <= start + len(raw):
                return raw[part.offset - start :][: part.length]
        return memoryview(b"")


class _LostError(Exception):
    """The bytes end, or say what cannot be."""


@dataclass(slots=True)
class _Walk:
    """Goes through `raw`, which lies at `base` of the file, and notes parts."""

    raw: memoryview
    base: int
    parts: list[Part] = field(default_factory=list)
    position: int = 0
    depth: int = 0
    end: int = -1

    def __post_init__(self) -> None:
        if self.end < 0:
            self.end = len(self.raw)

    @property
    def remaining(self) -> int:
        return self.end - self.position

    def take(self, length: int, name: str, show: Callable[[memoryview], str] | None = None) -> memoryview:
        """The next bytes, as a leaf."""
        if length < 0 or length > self.remaining:
            raise _LostError(f"{name}: {length} bytes expected, {self.remaining} left")
        piece = self.raw[self.position : self.position + length]
        if length:
            value = "" if show is None else show(piece)
            self.parts.append(Part(self.base + self.position, length, self.depth, name, value))
        self.position += length
        return piece

    def number(self, size: int, name: str, show: Callable[[int], str] | None = None) -> int:
        """An unsigned integer, as a leaf."""

        def text(raw: memoryview) -> str:
            value = struct.unpack(_CODES[size], raw)[0]
            return f"{value:,}" if show is None else show(value)

        return int(struct.unpack(_CODES[size], self.take(size, name, text))[0])

    def rest(self, name: str, show: Callable[[memoryview], str] | None = None) -> None:
        """All that is left, as a leaf."""
        self.take(self.remaining, name, show)

    def group(self, length: int, name: str, value: str, inner: Callable[[], None]) -> None:
        """`inner` names the next `length` bytes; what it leaves, or cannot make sense of, is named so."""
        if length > self.remaining:
            raise _LostError(f"{name}: {length} bytes expected, {self.remaining} left")
        self.parts.append(Part(self.base + self.position, length, self.depth, name, value, inside=True))
        outer, self.end, self.depth = self.end, self.position + length, self.depth + 1
        try:
            inner()
            if self.remaining:
                raise _LostError(f"{self.remaining} bytes too many")
        except _LostError as error:
            self.rest(f"not understood ({error})")
        finally:
            self.end, self.depth = outer, self.depth - 1


def dissect(survey: Survey, position: int, page: int) -> Anatomy:
    """The parts of page `page` of the column at `position` of the schema.

    Raises CorruptFileError where the column's metadata is damaged, IndexError for a page that there is not.
    """
    meta, column = survey.meta(position), survey.column(position)
    assert column.type is not None
    if not 0 <= page < len(meta.pages):
        raise IndexError(f"page {page} of {len(meta.pages)}")
    handle = Handle(*meta.pages[page].item())
    place = column.metadata_offset + COLUMN_HEADER_SIZE + page * PAGE_HANDLE_SIZE
    pieces = {
        "handle": (place, PAGE_HANDLE_SIZE),
        "index": (handle.index_offset, handle.index_length),
        "data": (handle.data_offset, handle.data_length),
    }
    data = {name: (at, memoryview(survey.source.read_at(at, size))) for name, (at, size) in pieces.items()}
    page_of = _Page(column.type, handle, meta.encodings[page], meta.block_shift)
    damage: list[str] = []
    if crc32c(data["index"][1]) != handle.index_crc:
        damage.append(
            "the page index does not match its checksum in the handle: what follows from it may be wrong"
        )
    bounds = None if damage else meta.bounds(page, column.type, _cursor(survey, handle))
    sections = {"handle": _handle(_walk(data["handle"]), page_of, bounds, not damage)}
    index = _Index(page_of, _walk(data["index"]))
    index.read_start()
    index.check_blocks(data["data"][1], damage)
    sections["data"] = _data(_walk(data["data"]), page_of, index)
    index.read_slots()
    return Anatomy(
        column=column.name,
        page=page,
        type=str(column.type),
        recipe=index.recipe or page_of.encoding.name.lower(),
        sections={"handle": sections["handle"], "index": index.walk.parts, "data": sections["data"]},
        data=data,
        damage=damage,
    )


def _cursor(survey: Survey, handle: Handle) -> Any:
    from lance_fmt.wire import Cursor

    return Cursor(b"", path=survey.path, base=handle.data_offset)


def _walk(piece: tuple[int, memoryview]) -> _Walk:
    return _Walk(piece[1], piece[0])


@dataclass(slots=True)
class _Page:
    """What the parts of a page have in common; `owners` says whose each of the shared `slots` is."""

    type: DataType
    handle: Handle
    encoding: EncodingId
    block_shift: int
    owners: dict[int, tuple[StreamId, Kind]] = field(default_factory=dict)
    slots: list[memoryview] = field(default_factory=list)

    @property
    def blocks(self) -> int:
        return -(-self.handle.rows // (1 << self.block_shift))

    def rows(self, block: int) -> int:
        return min(1 << self.block_shift, self.handle.rows - (block << self.block_shift))


def _handle(walk: _Walk, page: _Page, bounds: tuple[Any, Any] | None, right: bool) -> list[Part]:
    flags = PageFlag(page.handle.flags)
    shown = ("", "") if bounds is None else tuple(map(_short, bounds))
    walk.number(8, "offset of the page data")
    walk.number(8, "length of the page data")
    walk.number(8, "offset of the page index")
    walk.number(4, "length of the page index")
    walk.number(4, "CRC32C of the page index", lambda v: f"{v:08x}, {'right' if right else 'WRONG'}")
    walk.number(4, "rows")
    walk.number(4, "nulls")
    walk.number(4, "NaNs")
    walk.number(2, "encoding", lambda v: f"{v} = {page.encoding.name.lower()}")
    walk.number(
        2,
        "flags",
        lambda v: f"{v} = {', '.join(f.name.lower() for f in PageFlag if f & flags and f.name) or 'none'}",
    )
    text = page.type.is_variable
    for name, value in zip(("lower bound", "upper bound"), shown, strict=True):
        where = " (place in the heap)" if text and value else ""
        walk.take(8, name + where, lambda _, v=value: v)  # type: ignore[misc]
    return walk.parts


def _short(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class _Index:
    """The page index. Its shared slots are told apart last, when the streams have named their owners."""

    def __init__(self, page: _Page, walk: _Walk) -> None:
        self.page = page
        self.walk = walk
        self.ends: list[int] = []
        self.nulls: list[int] = []
        self.recipe = ""
        self._checksums: list[int] = []
        self._places: list[int] = []
        self._sizes: list[int] = []
        self._lost = ""

    def read_start(self) -> None:
        walk, page = self.walk, self.page
        try:
            count = walk.number(4, "blocks")
            if count != page.blocks:
                raise _LostError(f"{count} blocks for {page.handle.rows} rows")
            streams = page.encoding is EncodingId.STREAMS
            shared = walk.number(4, "shared slots" if streams else "length of the shared bytes")
            self.ends = [walk.number(8, f"end of block {i}") for i in range(count)]
            for i in range(count):
                self._places.append(len(walk.parts))
                self._checksums.append(walk.number(4, f"CRC32C of block {i}", lambda v: f"{v:08x}"))
            if page.handle.nulls:
                self.nulls = [walk.number(4, f"nulls of block {i}") for i in range(count)]
            if streams:
                self._read_streams(shared)
        except _LostError as error:
            self._lost = str(error)

    def check_blocks(self, data: memoryview, damage: list[str]) -> None:
        """Say of each checksum whether it is right."""
        start = 0
        for block, (end, expected) in enumerate(zip(self.ends, self._checksums, strict=False)):
            stop = len(data) if block == len(self.ends) - 1 else end
            right = crc32c(data[start:stop]) == expected
            self.walk.parts[self._places[block]].value += ", right" if right else ", WRONG"
            if not right:
                first = block << self.page.block_shift
                rows = f"rows {first} to {first + self.page.rows(block) - 1} of the page"
                damage.append(f"block {block} ({rows}) does not match its checksum")
            start = end

    def read_slots(self) -> None:
        """What the blocks share."""
        walk = self.walk
        try:
            if self._lost:
                raise _LostError(self._lost)
            for slot, size in enumerate(self._sizes):
                owner = self.page.owners.get(slot)
                what = f"for {owner[0].name.lower()} of {owner[1].name}" if owner else "named by no stream"
                walk.group(size, f"shared slot {slot}", what, partial(_slot, walk, self.page, owner))
            if self.page.encoding is not EncodingId.STREAMS:
                walk.rest("shared bytes")
            if walk.remaining:
                raise _LostError(f"{walk.remaining} bytes too many")
        except _LostError as error:
            walk.rest(f"not understood ({error})")

    def _read_streams(self, slots: int) -> None:
        walk, count = self.walk, len(self.ends)
        known = BoundsForm.__members__.values()
        code = walk.number(
            4, "form of the block bounds", lambda v: BoundsForm(v).name.lower() if v in known else f"{v}"
        )
        if code:
            if code not in known:
                raise _LostError(f"form {code} of block bounds")
            show = _bound_text(BoundsForm(code))
            for side in ("lower", "upper"):
                for i in range(count):
                    walk.take(8, f"{side} bound of block {i}", show)
            for i in range(count):
                walk.number(1, f"bounds of block {i} are known", lambda v: "yes" if v else "no")
            if code == BoundsForm.FLOAT:
                for i in range(count):
                    walk.number(4, f"NaNs of block {i}")
        length = walk.number(4, "length of the recipe")
        self.recipe = bytes(walk.take(length, "recipe", _text)).decode("utf-8", "replace")
        self._sizes = [walk.number(4, f"length of shared slot {i}") for i in range(slots)]
        at = walk.position
        for size in self._sizes:
            self.page.slots.append(walk.raw[at : at + size])
            at += size


def _bound_text(form: BoundsForm) -> Callable[[memoryview], str]:
    if form is BoundsForm.PREFIX:  # stored as a number, little-endian, that begins with the first character
        return lambda raw: _text(memoryview(bytes(raw)[::-1].rstrip(b"\0")))
    return lambda raw: _short(struct.unpack(_BOUND_CODES[form], raw)[0])


def _slot(walk: _Walk, page: _Page, owner: tuple[StreamId, Kind] | None) -> None:
    if owner is None:
        walk.rest("bytes")
    elif owner[0] is StreamId.DICTIONARY:
        walk.number(8, "distinct values")
        _stream(walk, page, owner[1], "the distinct values", 2)
    else:
        symbols = walk.number(1, "symbols")
        walk.take(symbols, "length of each symbol")
        walk.rest("symbols, one behind the other", _text)


# -- data ------------------------------------------------------------------------------------------------


def _data(walk: _Walk, page: _Page, index: _Index) -> list[Part]:
    start = 0
    read = _block if page.encoding is EncodingId.STREAMS else _block_of_1_0
    for block, end in enumerate(index.ends):
        nulls = index.nulls[block] if index.nulls else 0
        rows = page.rows(block)
        value = f"{rows:,} rows" + (f", {nulls:,} null" if nulls else "")
        try:
            walk.group(end - start, f"block {block}", value, partial(read, walk, page, rows, nulls))
        except _LostError:
            break
        start = end
    walk.rest("padding" if walk.remaining < 64 else "not understood (no block is there)")
    return walk.parts


def _block(walk: _Walk, page: _Page, rows: int, nulls: int) -> None:
    if nulls >= rows:
        return
    if nulls:
        _stream(walk, page, _BOOLS, f"validity of {rows:,} rows", 1)
    for leaf in leaves(page.type):
        _stream(walk, page, leaf.kind, _leaf_name(leaf), 1)


def _leaf_name(leaf: Leaf) -> str:
    """ "#" in a path means lengths, "?" validity, "[]" items, ".x" a field."""
    name = leaf.path.rstrip("#?").lstrip(".").replace("[]", " items").strip()
    if leaf.path.endswith("#"):
        return f"lengths of {name or 'lists'}"
    if leaf.path.endswith("?"):
        return f"validity of {name}"
    return f"values of {name}" if name else "values"


def _block_of_1_0(walk: _Walk, page: _Page, rows: int, nulls: int) -> None:
    """A block of a page of format 1.0: a bitmap, then values."""
    if nulls >= rows:
        return
    if nulls:
        walk.take(bitmap_size(rows), "null bitmap")
    kind = page.type
    if kind.is_list:
        _integers(walk, rows, "lengths of the lists")
        walk.rest(f"items, {page.encoding.name.lower()}")
    elif page.encoding is EncodingId.ZSTD and walk.remaining:
        walk.number(8, "size before compression")
        walk.rest("Zstandard frame")
    elif page.encoding is EncodingId.PLAIN and kind.is_variable:
        _integers(walk, rows, "lengths of the strings")
        walk.rest("bytes of the strings", _text)
    elif page.encoding is EncodingId.PLAIN:
        walk.rest(f"{rows:,} values", lambda raw: _numbers(raw, kind.dtype))
    else:
        _integers(
            walk, rows, "places in the dictionary" if page.encoding is EncodingId.DICTIONARY else "values"
        )


def _integers(walk: _Walk, count: int, name: str) -> None:
    if not count:
        return
    walk.number(8, f"{name}: base")
    width = walk.number(8, f"{name}: width in bits")
    if width > 64:
        raise _LostError(f"width {width}")
    walk.take(packed_size(count, width) if width else 0, f"{name}: packed words")


# -- streams ---------------------------------------------------------------------------------------------


def _stream(walk: _Walk, page: _Page, kind: Kind, name: str, depth: int) -> None:
    """A whole stream: header, payload, padding."""
    if walk.remaining < 8 or depth > MAX_STREAM_DEPTH:
        raise _LostError(
            f"{name}: {walk.remaining} bytes where a stream should be" if walk.remaining < 8 else "too deep"
        )
    raw = walk.raw[walk.position : walk.position + 8]
    code, length = raw[0], struct.unpack_from("<I", raw, 4)[0]
    padding = -length % STREAM_ALIGNMENT
    known = code in StreamId.__members__.values()
    encoding = StreamId(code).name.lower() if known else f"unknown encoding {code}"

    def inner() -> None:
        walk.number(1, "encoding", lambda v: f"{v} = {encoding}")
        walk.take(3, "reserved")
        walk.number(4, "length of the payload")
        if length and not known:
            walk.take(length, "payload")
        elif length:
            _payload(walk, page, StreamId(code), kind, length, depth)
        walk.take(padding, "padding")

    walk.group(8 + length + padding, name, f"{encoding} of {kind.name}", inner)


def _payload(walk: _Walk, page: _Page, code: StreamId, kind: Kind, length: int, depth: int) -> None:
    """The bytes between header and padding."""
    outer, walk.end = walk.end, walk.position + length
    try:
        if walk.end > outer:
            raise _LostError(f"a payload of {length} bytes")
        _PAYLOADS[code](walk, page, kind, depth)
        if walk.remaining:
            raise _LostError(f"{walk.remaining} bytes too many")
    except _LostError as error:
        walk.end = min(walk.end, outer)
        walk.rest(f"not understood ({error})")
    finally:
        walk.end = outer


def _plain(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    if kind.is_strings:
        _stream(walk, page, _LENGTHS, "lengths", depth + 1)
        walk.rest("bytes of the strings", _text)
    elif kind.is_bool:
        walk.rest("bits", lambda raw: f"up to {8 * len(raw):,}")
    else:
        walk.rest("values", lambda raw: _numbers(raw, kind.dtype))


def _constant(walk: _Walk, _page: _Page, kind: Kind, _depth: int) -> None:
    walk.rest("the value", _text if kind.is_strings else lambda raw: _numbers(raw, kind.dtype))


def _bitpacked(walk: _Walk, _page: _Page, _kind: Kind, _depth: int) -> None:
    walk.number(8, "width in bits")
    walk.rest("packed words")


def _frame(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    walk.number(8, "base", lambda v: _as_kind(v, kind))
    _stream(walk, page, _unsigned(kind), "offsets from the base", depth + 1)


def _delta(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    walk.number(8, "first value", lambda v: _as_kind(v, kind))
    walk.number(8, "smallest difference", lambda v: _as_kind(v, kind_of(f"<i{kind.dtype.itemsize}")))
    _stream(walk, page, _unsigned(kind), "differences beyond the smallest", depth + 1)


def _varint(walk: _Walk, _page: _Page, _kind: Kind, _depth: int) -> None:
    walk.rest("differences as zigzag LEB128")


def _run_length(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    walk.number(4, "runs")
    walk.number(4, "first value" if kind.is_bool else "zero")
    if not kind.is_bool:
        _stream(walk, page, kind, "value of each run", depth + 1)
    _stream(walk, page, _LENGTHS, "length of each run", depth + 1)


def _dictionary(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    slot = walk.number(4, "shared slot of the distinct values")
    page.owners[slot] = (StreamId.DICTIONARY, kind)
    walk.number(4, "zero")
    distinct = struct.unpack_from("<Q", page.slots[slot])[0] if _has_count(page, slot) else 0
    _stream(walk, page, _BYTES if distinct <= 256 else kind_of("<u2"), "codes", depth + 1)


def _has_count(page: _Page, slot: int) -> bool:
    return slot < len(page.slots) and len(page.slots[slot]) >= 8


def _byte_stream_split(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    for byte in range(kind.dtype.itemsize):
        _stream(walk, page, _BYTES, f"byte {byte} of all values", depth + 1)


def _alp(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    size = kind.dtype.itemsize
    walk.number(1, "exponent e")
    walk.number(1, "factor f")
    walk.take(2, "zero")
    exceptions = walk.number(4, "exceptions")
    _stream(walk, page, kind_of(f"<i{size}"), "integers", depth + 1)
    if exceptions:
        _stream(walk, page, _LENGTHS, "positions of the exceptions", depth + 1)
        _stream(walk, page, kind_of(f"<u{size}"), "bits of the exceptions", depth + 1)


def _fsst(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    slot = walk.number(4, "shared slot of the symbols")
    page.owners[slot] = (StreamId.FSST, kind)
    walk.number(4, "length of the codes")
    _stream(walk, page, _LENGTHS, "lengths of the strings", depth + 1)
    walk.rest("codes")


def _compressed(walk: _Walk, page: _Page, kind: Kind, depth: int) -> None:
    walk.number(4, "size before compression")
    walk.number(4, "zero")
    if kind.is_strings:
        _stream(walk, page, _LENGTHS, "lengths of the strings", depth + 1)
    walk.rest("compressed bytes")


_PAYLOADS: dict[StreamId, Callable[[_Walk, _Page, Kind, int], None]] = {
    StreamId.PLAIN: _plain,
    StreamId.CONSTANT: _constant,
    StreamId.BITPACKED: _bitpacked,
    StreamId.FRAME_OF_REFERENCE: _frame,
    StreamId.DELTA: _delta,
    StreamId.VARINT: _varint,
    StreamId.RUN_LENGTH: _run_length,
    StreamId.DICTIONARY: _dictionary,
    StreamId.BYTE_STREAM_SPLIT: _byte_stream_split,
    StreamId.ALP: _alp,
    StreamId.FSST: _fsst,
    StreamId.SNAPPY: _compressed,
    StreamId.ZSTD: _compressed,
}


def _unsigned(kind: Kind) -> Kind:
    size = kind.dtype.itemsize
    return kind_of("u1" if size == 1 else f"<u{size}")


def _as_kind(bits: int, kind: Kind) -> str:
    """A number of T bits kept in a u64."""
    raw = np.array([bits], "<u8").view(np.uint8)[: kind.dtype.itemsize]
    return _short(raw.view(kind.dtype)[0].item())


def _numbers(raw: memoryview, dtype: np.dtype[Any]) -> str:
    """The first few numbers of a run of them."""
    count = len(raw) // dtype.itemsize
    some = np.frombuffer(raw[: min(count, 4) * dtype.itemsize], dtype).tolist()
    text = ", ".join(f"{v:.6g}" if isinstance(v, float) else f"{v}" for v in some)
    return text + (f", … ({count:,} in all)" if count > len(some) else "")


def _text(raw: memoryview) -> str:
    text = bytes(raw[: 4 * _SHOWN]).decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
