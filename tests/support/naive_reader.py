"""A second reader, made from FORMAT.md alone: slow, plain Python, sharing no code with the package.

`read(data)` gives every column as Python values: bytes for strings, binary and JSON, ints for timestamps.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Any

import zstandard

_SIZES = {2: "b", 3: "h", 4: "i", 5: "q", 6: "B", 7: "H", 8: "I", 9: "Q", 10: "e", 11: "f", 12: "d", 16: "q"}
_BOOL, _STRINGS, _TIMESTAMP, _LIST, _VECTOR = 1, (13, 14, 15), 16, 17, 18
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


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        part = self.data[self.at : self.at + length]
        assert len(part) == length
        self.at += length
        return part

    def numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def number(self, form: str) -> Any:
        return self.numbers(form)[0]

    def text(self) -> str:
        return self.take(self.number("I")).decode("utf-8")


def read(data: bytes) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """All columns, and the key-values."""
    assert data[:4] == data[-4:] == b"LFMT"
    assert struct.unpack("<I", data[60:64])[0] == crc(data[:60])
    footer = _Bytes(data[-64:])
    length, rows, table = footer.numbers("QQQ")
    columns, schema_length, pairs_length, table_crc, schema_crc, pairs_crc = footer.numbers("6I")
    assert footer.numbers("IHHI") == (0, 1, 0, crc(data[-64:-8]))
    schema, pairs = table + 40 * columns, table + 40 * columns + schema_length
    assert length == len(data) == pairs + pairs_length + 64
    regions = data[table:schema], data[schema:pairs], data[pairs : pairs + pairs_length]
    assert [crc(region) for region in regions] == [table_crc, schema_crc, pairs_crc]
    records = [struct.unpack("<QQ6I", regions[0][i : i + 40]) for i in range(0, 40 * columns, 40)]
    assert records == sorted(records, key=lambda r: (r[0], r[6]))
    found = {}
    for name_hash, offset, size, checksum, field_offset, field_length, _, _ in sorted(
        records, key=lambda r: r[6]
    ):
        field = _Bytes(regions[1][field_offset : field_offset + field_length])
        name = field.text()
        assert name_hash == int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
        assert field.number("B") in (0, 1)
        kind = _type(field)
        meta = data[offset : offset + size]
        assert crc(meta) == checksum
        found[name] = _column(data, _Bytes(meta), kind, rows)
    tail = _Bytes(regions[2])
    return found, {tail.text(): tail.text() for _ in range(tail.number("I"))}


def _type(field: _Bytes) -> tuple[int, int, Any]:
    """(id, dimension, item type)."""
    code = field.number("B")
    if code == _TIMESTAMP:
        field.number("B")
        field.text()
    dimension = field.number("I") if code == _VECTOR else 1
    return code, dimension, _type(field) if code in (_LIST, _VECTOR) else None


def _column(data: bytes, meta: _Bytes, kind: Any, rows: int) -> list[Any]:
    pages, page_shift, block_shift, _ = meta.numbers("IBBH")
    meta.numbers("QQ")
    values: list[Any] = []
    for _ in range(pages):
        offset, length, index_offset, index_length, checksum = meta.numbers("QQQII")
        page_rows, nulls, _, encoding, _, _, _ = meta.numbers("IIIHHQQ")
        assert offset % 64 == length % 64 == 0
        assert page_rows == min(1 << page_shift, rows - len(values))
        index = data[index_offset : index_offset + index_length]
        assert crc(index) == checksum
        values += _page(
            data[offset : offset + length], _Bytes(index), kind, (page_rows, nulls, encoding, block_shift)
        )
    assert len(values) == rows
    return values


def _page(data: bytes, index: _Bytes, kind: Any, handle: tuple[int, int, int, int]) -> list[Any]:
    rows, nulls, encoding, block_shift = handle
    count, shared_length = index.numbers("II")
    ends, checksums = index.numbers(f"{count}Q"), index.numbers(f"{count}I")
    block_nulls = index.numbers(f"{count}I") if nulls else (0,) * count
    item = kind[2] if kind[0] == _LIST else kind
    shared = _plain(_Bytes(index.take(shared_length)), item, shared=True) if encoding == 3 else []
    values: list[Any] = []
    start = 0
    for i in range(count):
        stop = len(data) if i == count - 1 else ends[i]
        assert crc(data[start:stop]) == checksums[i]
        n = min(1 << block_shift, rows - len(values))
        block = _Bytes(data[start : ends[i]])
        values += _block(block, n, block_nulls[i], lambda b, m: _decode(b, m, kind, encoding, shared))
        assert block.at == len(block.data)
        start = ends[i]
    return values


def _block(block: _Bytes, n: int, nulls: int, decode: Any) -> list[Any]:
    if nulls == n:
        return [None] * n
    valid = [True] * n
    if nulls:
        bits = block.take(-(-n // 64) * 8)
        valid = [bool(bits[i // 8] >> i % 8 & 1) for i in range(n)]
    return [value if ok else None for value, ok in zip(decode(block, n), valid, strict=True)]


def _integers(block: _Bytes, n: int) -> list[int]:
    if not n:
        return []
    base, width = block.numbers("QQ")
    words = block.numbers(f"{16 * (((n + 15) // 16 * width + 63) // 64)}Q")
    lanes = [sum(word << 64 * k for k, word in enumerate(words[lane::16])) for lane in range(16)]
    mask = (1 << width) - 1
    return [(base + (lanes[i % 16] >> i // 16 * width & mask)) % 2**64 for i in range(n)]


def _decode(block: _Bytes, n: int, kind: Any, encoding: int, shared: list[Any]) -> list[Any]:
    if kind[0] == _LIST:
        lengths = _integers(block, n)
        items = iter(_decode(block, sum(lengths), kind[2], encoding, shared))
        return [[next(items) for _ in range(length)] for length in lengths]
    if encoding == 1:
        return _plain(block, kind, n)
    if encoding == 2:
        return [v - 2**64 if v >= 2**63 and kind[0] not in (6, 7, 8, 9) else v for v in _integers(block, n)]
    if encoding == 3:
        return [shared[code] for code in _integers(block, n)]
    assert encoding == 4
    if block.at == len(block.data):
        return _plain(block, kind, n)
    size = block.number("Q")
    raw = zstandard.ZstdDecompressor().decompress(
        block.take(len(block.data) - block.at), max_output_size=size
    )
    if kind[0] in _SIZES:
        wide = struct.calcsize(_SIZES[kind[0]])
        raw = bytes(raw[plane * (size // wide) + i] for i in range(size // wide) for plane in range(wide))
    return _plain(_Bytes(raw), kind, n)


def _plain(block: _Bytes, kind: Any, n: int = 0, *, shared: bool = False) -> list[Any]:
    if shared:
        n = block.number("Q")
    code, dimension, item = kind
    if code == _BOOL:
        bits = block.take(-(-n // 8))
        return [bool(bits[i // 8] >> i % 8 & 1) for i in range(n)]
    if code in _STRINGS:
        return [block.take(length) for length in _integers(block, n)]
    if code == _VECTOR:
        flat = block.numbers(f"{n * dimension}{_SIZES[item[0]]}")
        return [list(flat[i : i + dimension]) for i in range(0, n * dimension, dimension)]
    return list(block.numbers(f"{n}{_SIZES[code]}"))
