"""A second reader, made from FORMAT.md alone: slow, plain Python, sharing no code with the package.

`read(data)` gives every column as the values that are stored: bytes for strings, binary and JSON; ints for times,
decimals and, as their bits, floats; lists for lists and vectors; dicts for structs; None for nulls.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from struct import calcsize, unpack
from typing import Any

import zstandard

from tests.support.naive_streams import Bytes, Streams, raw_values

_NUMBERS = {2: "b", 3: "h", 4: "i", 5: "q", 6: "B", 7: "H", 8: "I", 9: "Q", 10: "e", 11: "f", 12: "d"}
_KINDS = {1: "?", **_NUMBERS, 13: "s", 14: "s", 15: "s", 16: "q", 19: "H", 21: "i", 22: "q", 23: "q"}
_BOOL, _STRING, _JSON, _TIMESTAMP, _LIST, _VECTOR = 1, 13, 15, 16, 17, 18
_BFLOAT16, _DECIMAL, _DATE, _TIME, _DURATION, _STRUCT, _NESTED_LIST = 19, 20, 21, 22, 23, 24, 25
_FORMS = {1: "q", 2: "Q", 3: "d", 4: "Q"}
_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def crc(data: bytes) -> int:
    """CRC32C, byte by byte."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


@dataclass
class Type:
    """A type as the schema has it."""

    id: int
    dimension: int = 1
    item: Type | None = None
    item_nullable: bool = False
    fields: list[tuple[str, bool, Type]] = field(default_factory=list)


@dataclass
class Seen:
    """What reading a file came across: its version and flags, stream encodings, the deepest stream, indexes."""

    version: tuple[int, int] = (0, 0)
    features: int = 0
    encodings: set[int] = field(default_factory=set)
    deepest: int = 0
    auxiliary: dict[str, dict[int, Any]] = field(default_factory=dict)


def read(data: bytes, seen: Seen | None = None) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """All columns, and the user's key-values."""
    seen = Seen() if seen is None else seen
    assert data[:4] == data[-4:] == b"LFMT"
    assert unpack("<HHI", data[4:12]) == (1, 0, 0)
    assert unpack("<I", data[60:64])[0] == crc(data[:60])
    footer = Bytes(data[-64:])
    length, rows, table = footer.numbers("QQQ")
    columns, schema_length, pairs_length, table_crc, schema_crc, pairs_crc = footer.numbers("6I")
    seen.features, major, minor, own_crc = footer.numbers("IHHI")
    assert own_crc == crc(data[-64:-8])
    seen.version = major, minor
    assert major == 1
    assert seen.features <= 7
    schema, pairs = table + 40 * columns, table + 40 * columns + schema_length
    assert length == len(data) == pairs + pairs_length + 64
    regions = data[table:schema], data[schema:pairs], data[pairs : pairs + pairs_length]
    assert [crc(region) for region in regions] == [table_crc, schema_crc, pairs_crc]
    records = [unpack("<QQ6I", regions[0][i : i + 40]) for i in range(0, 40 * columns, 40)]
    assert records == sorted(records, key=lambda r: (r[0], r[6]))
    found = {}
    for name_hash, offset, size, checksum, start, field_length, _, _ in sorted(records, key=lambda r: r[6]):
        source = Bytes(regions[1][start : start + field_length])
        name, _, kind = _field(source)
        source.end()
        assert name_hash == int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
        meta = data[offset : offset + size]
        assert crc(meta) == checksum
        found[name] = _Column(data, kind, rows, seen).read(name, Bytes(meta))
    tail = Bytes(regions[2])
    texts = {tail.text(): tail.text() for _ in range(tail.number("I"))}
    tail.end()
    names = [
        name for bit, name in ((1, "streams"), (2, "types_1_1"), (4, "auxiliary")) if seen.features & bit
    ]
    assert texts.get("lfmt:requires", "") == ", ".join(names)
    return found, {key: value for key, value in texts.items() if not key.startswith("lfmt:")}


def _field(source: Bytes) -> tuple[str, bool, Type]:
    name = source.text()
    nullable = {0: False, 1: True}[source.number("B")]
    kind = _type(source)
    for _ in range(source.number("I")):
        source.text(), source.text()
    return name, nullable, kind


def _type(source: Bytes) -> Type:
    code = source.number("B")
    assert 1 <= code <= _NESTED_LIST
    if code in (_TIMESTAMP, _TIME, _DURATION):
        assert source.number("B") in (1, 2, 3, 4)
    if code == _TIMESTAMP:
        source.text()
    if code == _DECIMAL:
        precision, scale = source.numbers("BB")
        assert 0 <= scale <= precision <= 38
    if code == _VECTOR:
        dimension = source.number("I")
        return Type(code, dimension, _type(source))
    if code == _STRUCT:
        return Type(code, fields=[_field(source) for _ in range(source.number("H"))])
    if code == _NESTED_LIST:
        nullable = {0: False, 1: True}[source.number("B")]
        return Type(code, item=_type(source), item_nullable=nullable)
    return Type(code, item=_type(source)) if code == _LIST else Type(code)


class _Column:
    def __init__(self, data: bytes, kind: Type, rows: int, seen: Seen) -> None:
        self.data, self.kind, self.rows, self.seen = data, kind, rows, seen
        self.block_shift = 0

    def read(self, name: str, meta: Bytes) -> list[Any]:
        pages, page_shift, self.block_shift, regions = meta.numbers("IBBH")
        heap, evidence = meta.numbers("QQ")
        handles = [meta.numbers("QQQIIIIIHHQQ") for _ in range(pages)]
        bounds = meta.take(heap)
        meta.take(evidence).decode("utf-8")
        places = [meta.numbers("HHIQQ") for _ in range(regions)]
        meta.end()
        values: list[Any] = []
        for handle in handles:
            assert handle[5] == min(1 << page_shift, self.rows - len(values))
            page = self._page(handle)
            _check_bounds(page, self.kind, handle, bounds)
            values += page
        assert len(values) == self.rows
        for code, _, checksum, offset, length in places:
            region = self.data[offset : offset + length]
            assert len(region) == length
            found = {1: _row_index, 2: _filters}[code](region, checksum, pages)
            self.seen.auxiliary.setdefault(name, {})[code] = found
        return values

    def _page(self, handle: tuple[int, ...]) -> list[Any]:
        offset, length, index_offset, index_length, checksum, rows, nulls, _, encoding, *_ = handle
        assert offset % 64 == length % 64 == 0
        raw = self.data[index_offset : index_offset + index_length]
        assert crc(raw) == checksum
        index, data = Bytes(raw), self.data[offset : offset + length]
        count, shared = index.numbers("II")
        assert count == -(-rows >> self.block_shift)
        ends, checksums = index.numbers(f"{count}Q"), index.numbers(f"{count}I")
        block_nulls = index.numbers(f"{count}I") if nulls else (0,) * count
        assert sum(block_nulls) == nulls
        starts = (0, *ends[:-1])
        for i, start in enumerate(starts):
            assert crc(data[start : length if i == count - 1 else ends[i]]) == checksums[i]
        assert data[ends[-1] :] == bytes(-ends[-1] % 64)
        sizes = [min(1 << self.block_shift, rows - (i << self.block_shift)) for i in range(count)]
        blocks = [Bytes(data[a:b]) for a, b in zip(starts, ends, strict=True)]
        if encoding == 5:
            values = self._blocks_of_streams(index, shared, blocks, sizes, block_nulls)
        else:
            values = _blocks_1_0(index.take(shared), self.kind, encoding, blocks, sizes, block_nulls)
        index.end()
        for block in blocks:
            block.end()
        return values

    def _blocks_of_streams(self, index: Bytes, slots: int, blocks: Any, sizes: Any, nulls: Any) -> list[Any]:
        form, count = index.number("I"), len(blocks)
        assert form in (0, _form(self.kind))
        if form:
            low, high = index.numbers(f"{count}{_FORMS[form]}"), index.numbers(f"{count}{_FORMS[form]}")
            known = index.take(count)
            nans = index.numbers(f"{count}I") if form == 3 else None
        index.text()
        shared = [index.take(length) for length in index.numbers(f"{slots}I")]
        streams = Streams(shared)
        values = []
        for i, (block, n, k) in enumerate(zip(blocks, sizes, nulls, strict=True)):
            rows = [None] * n
            if k < n:
                rows = (
                    _rows_or_nulls(streams, block, n, self.kind) if k else _rows(streams, block, n, self.kind)
                )
                assert rows.count(None) == k
            if form:
                numbers = _comparable(rows, self.kind, prefixes=True)
                real = [v for v in numbers if v == v]
                assert not known[i] or (real and all(low[i] <= v <= high[i] for v in real))
                assert nans is None or nans[i] == len(numbers) - len(real)
            values += rows
        self.seen.encodings |= streams.seen
        self.seen.deepest = max(self.seen.deepest, streams.deepest)
        return values


def _masked(rows: list[Any], valid: list[bool]) -> list[Any]:
    return [row if ok else None for row, ok in zip(rows, valid, strict=True)]


def _rows_or_nulls(streams: Streams, block: Bytes, n: int, kind: Type) -> list[Any]:
    """The validity of n rows, and the streams of a type for those that are not null."""
    valid = streams.read(block, n, "?")
    rows = iter(_rows(streams, block, sum(valid), kind))
    return [next(rows) if ok else None for ok in valid]


def _rows(streams: Streams, block: Bytes, n: int, kind: Type) -> list[Any]:
    """The streams of a type for n rows."""
    if kind.id in (_LIST, _NESTED_LIST):
        assert kind.item is not None
        lengths = streams.read(block, n, "I")
        read = _rows_or_nulls if kind.item_nullable else _rows
        items = iter(read(streams, block, sum(lengths), kind.item))
        return [[next(items) for _ in range(length)] for length in lengths]
    if kind.id == _STRUCT:
        members = {}
        for name, nullable, member in kind.fields:
            members[name] = (_rows_or_nulls if nullable else _rows)(streams, block, n, member)
        return [{name: members[name][i] for name in members} for i in range(n)]
    if kind.id == _DECIMAL:
        low, high = streams.read(block, n, "q"), streams.read(block, n, "q")
        return [h * 2**64 + v % 2**64 for v, h in zip(low, high, strict=True)]
    if kind.id == _VECTOR:
        assert kind.item is not None
        flat = streams.read(block, n * kind.dimension, _KINDS[kind.item.id])
        return [flat[i : i + kind.dimension] for i in range(0, len(flat), kind.dimension)]
    values = streams.read(block, n, _KINDS[kind.id])
    if kind.id in (_STRING, _JSON):
        assert all(value.decode("utf-8") is not None for value in values)
    return values


def _form(kind: Type) -> int:
    if kind.id in (2, 3, 4, 5, _TIMESTAMP, _DATE, _TIME, _DURATION):
        return 1
    if kind.id in (_BOOL, 6, 7, 8, 9):
        return 2
    return 3 if kind.id in (10, 11, 12, _BFLOAT16) else 4 if kind.id in (13, 14) else 0


def _comparable(rows: list[Any], kind: Type, *, prefixes: bool = False) -> list[Any]:
    """The values that count for bounds, as they compare."""
    values = [row for row in rows if row is not None]
    if kind.id == _BFLOAT16:
        return [unpack("<f", (bits << 16).to_bytes(4, "little"))[0] for bits in values]
    if kind.id in (10, 11, 12):
        letter = _NUMBERS[kind.id]
        return [unpack("<" + letter, v.to_bytes(calcsize("<" + letter), "little"))[0] for v in values]
    return (
        [int.from_bytes(v[:8].ljust(8, b"\0"), "big") for v in values]
        if prefixes and _form(kind) == 4
        else values
    )


def _check_bounds(rows: list[Any], kind: Type, handle: tuple[int, ...], heap: bytes) -> None:
    nulls, nans, flags, low, high = handle[6], handle[7], handle[9], handle[10], handle[11]
    assert rows.count(None) == nulls
    assert flags <= 7
    if not flags & 1:
        return
    if _form(kind) == 4:
        spans = [(v % 2**32, v >> 32) for v in (low, high)]
        ends: list[Any] = [heap[start : start + length] for start, length in spans]
        assert all(len(end) <= 64 for end in ends)
    else:
        ends = [unpack("<" + _FORMS[_form(kind)], v.to_bytes(8, "little"))[0] for v in (low, high)]
    values = _comparable(rows, kind)
    real = [v for v in values if v == v]
    assert nans == len(values) - len(real)
    assert ends[0] <= min(real) <= max(real) <= ends[1]
    assert not flags & 2 or min(real) == ends[0]
    assert not flags & 4 or max(real) == ends[1]


@dataclass
class RowIndex:
    """The entries of a row index: (upper bits of the hash, row), and how many upper bits those are."""

    entries: list[tuple[int, int]]
    bits: int

    def candidates(self, value_hash: int) -> list[int]:
        """Rows that may have a value of this hash."""
        return [row for key, row in self.entries if key == value_hash >> 64 - self.bits]


def _row_index(region: bytes, checksum: int, _pages: int) -> RowIndex:
    source = Bytes(region)
    n, p, d, w = source.numbers("QBBB")
    assert source.take(5) == bytes(5)
    records = [source.numbers("II") for _ in range(2**p)]
    assert crc(region[: 16 + 8 * 2**p]) == checksum
    entries = []
    for place, (c, partition_crc) in enumerate(records):
        size = c * (w + 2) + 4 * (2**d + 1)
        raw = source.take(size + -size % 8)
        assert crc(raw) == partition_crc
        part = Bytes(raw)
        rows = part.numbers(f"{c}{ {4: 'I', 8: 'Q'}[w] }")
        directory, marks = part.numbers(f"{2**d + 1}I"), part.numbers(f"{c}H")
        assert (directory[0], directory[-1]) == (0, c)
        for bucket in range(2**d):
            for i in range(directory[bucket], directory[bucket + 1]):
                entries.append((((place << d) + bucket << 16) + marks[i], rows[i]))
    source.end()
    assert len(entries) == n
    assert entries == sorted(set(entries))
    return RowIndex(entries, p + d + 16)


_SALTS = [
    0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31,
]  # fmt: skip


def _filters(region: bytes, checksum: int, pages: int) -> list[bytes]:
    source = Bytes(region)
    ends, checksums = source.numbers(f"{pages}Q"), source.numbers(f"{pages}I")
    assert crc(region[: 12 * pages]) == checksum
    filters = []
    for start, end, filter_crc in zip((0, *ends), ends, checksums, strict=False):
        filters.append(source.take(end - start))
        assert crc(filters[-1]) == filter_crc
        assert len(filters[-1]) % 32 == 0 < len(filters[-1])
    source.end()
    return filters


def may_contain(bloom: bytes, value_hash: int) -> bool:
    """Whether a Bloom filter lets a hash pass."""
    place = (value_hash >> 32) * (len(bloom) // 32) >> 32
    words = unpack("<8I", bloom[32 * place : 32 * place + 32])
    low = value_hash % 2**32
    return all(word >> (low * salt % 2**32 >> 27) & 1 for word, salt in zip(words, _SALTS, strict=True))


def _blocks_1_0(
    shared: bytes, kind: Type, encoding: int, blocks: list[Bytes], sizes: Any, nulls: Any
) -> list[Any]:
    assert kind.id <= _VECTOR
    item = kind.item if kind.id == _LIST else kind
    assert item is not None
    values: list[Any] = []
    if encoding == 3:
        source = Bytes(shared)
        values = _plain(source, item, source.number("Q"))
        source.end()
    else:
        assert not shared
    rows: list[Any] = []
    for block, n, k in zip(blocks, sizes, nulls, strict=True):
        if k == n:
            rows += [None] * n
            continue
        valid = [True] * n
        if k:
            bits = block.take(-(-n // 64) * 8)
            valid = [bool(bits[i // 8] >> i % 8 & 1) for i in range(n)]
        rows += _masked(_decode(block, n, kind, encoding, values), valid)
    return rows


def _integers(block: Bytes, n: int) -> list[int]:
    if not n:
        return []
    base, width = block.numbers("QQ")
    words = block.numbers(f"{16 * (((n + 15) // 16 * width + 63) // 64)}Q")
    lanes = [sum(word << 64 * k for k, word in enumerate(words[lane::16])) for lane in range(16)]
    mask = (1 << width) - 1
    return [(base + (lanes[i % 16] >> i // 16 * width & mask)) % 2**64 for i in range(n)]


def _decode(block: Bytes, n: int, kind: Type, encoding: int, shared: list[Any]) -> list[Any]:
    if kind.id == _LIST:
        assert kind.item is not None
        lengths = _integers(block, n)
        items = iter(_decode(block, sum(lengths), kind.item, encoding, shared))
        return [[next(items) for _ in range(length)] for length in lengths]
    if encoding == 1:
        return _plain(block, kind, n)
    if encoding == 2:
        return [v - 2**64 if v >= 2**63 and kind.id not in (6, 7, 8, 9) else v for v in _integers(block, n)]
    if encoding == 3:
        return [shared[code] for code in _integers(block, n)]
    assert encoding == 4
    if block.at == len(block.data):
        return _plain(block, kind, n)
    size = block.number("Q")
    raw = zstandard.ZstdDecompressor().decompress(block.rest(), max_output_size=size)
    kind_letter = _KINDS[kind.id]
    if kind_letter not in "?s":
        wide = calcsize("<" + kind_letter)
        raw = bytes(raw[plane * (size // wide) + i] for i in range(size // wide) for plane in range(wide))
    return _plain(Bytes(raw), kind, n)


def _plain(block: Bytes, kind: Type, n: int) -> list[Any]:
    if kind.id == _BOOL:
        bits = block.take(-(-n // 8))
        return [bool(bits[i // 8] >> i % 8 & 1) for i in range(n)]
    if kind.id in (13, 14, 15):
        return [block.take(length) for length in _integers(block, n)]
    item = kind.item or kind
    letter = _KINDS[item.id]
    flat = raw_values(block.take(n * kind.dimension * calcsize("<" + letter)), letter)
    if kind.id == _VECTOR:
        return [flat[i : i + kind.dimension] for i in range(0, len(flat), kind.dimension)]
    return flat
