"""The streams of the naive reader: FORMAT.md, "Streams", one function for each encoding.

A value is a bool, an int, bytes, or, of a float, its bits as an int: so NaNs and -0.0 compare as they should.
A kind is a letter of Python's `struct`: `?`, `bhiq`, `BHIQ`, `efd`, or `s` for byte strings.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import snappy  # type: ignore[import-untyped]
import zstandard

_BITS_OF = {"e": "H", "f": "I", "d": "Q"}
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Bytes:
    """Bytes that are read from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        """The next bytes."""
        part = self.data[self.at : self.at + length]
        assert len(part) == length
        self.at += length
        return part

    def rest(self) -> bytes:
        """What is left."""
        return self.take(len(self.data) - self.at)

    def numbers(self, form: str) -> tuple[Any, ...]:
        """The next numbers, in the letters of `struct`."""
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def number(self, form: str) -> Any:
        """The next number."""
        return self.numbers(form)[0]

    def text(self) -> str:
        """The next text."""
        return self.take(self.number("I")).decode("utf-8")

    def end(self) -> None:
        """Nothing is left."""
        assert self.at == len(self.data)


def size_of(kind: str) -> int:
    """Bytes of a number."""
    return struct.calcsize("<" + kind)


def raw_values(data: bytes, kind: str) -> list[int]:
    """Numbers as they are."""
    return list(struct.unpack(f"<{len(data) // size_of(kind)}{_BITS_OF.get(kind, kind)}", data))


def as_kind(bits: list[int], kind: str) -> list[int]:
    """Bits of integers as the integers; those of floats stay."""
    if kind not in "bhiq":
        return bits
    top = 1 << (8 * size_of(kind) - 1)
    return [v - 2 * top if v >= top else v for v in bits]


class Streams:
    """Reads the streams of a page that has these shared slots; `seen` gathers the encodings met, `deepest` how deep."""

    def __init__(self, slots: list[bytes]) -> None:
        self.slots = slots
        self.seen: set[int] = set()
        self.deepest = 0

    def read(self, source: Bytes, count: int, kind: str, depth: int = 1) -> list[Any]:
        """A whole stream of `count` values."""
        assert depth <= 8
        self.deepest = max(self.deepest, depth)
        code = source.number("B")
        source.take(3)
        length = source.number("I")
        payload = Bytes(source.take(length))
        source.take(-length % 8)
        assert 1 <= code <= 13
        values: list[Any] = []
        if count:
            self.seen.add(code)

            def inner(n: int, of: str, where: Bytes = payload) -> list[Any]:
                return self.read(where, n, of, depth + 1)

            values = _DECODERS[code](self, payload, count, kind, inner)
        payload.end()
        assert len(values) == count
        return values


Inner = Callable[..., list[Any]]


def _plain(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    if kind == "s":
        return [payload.take(length) for length in inner(count, "I")]
    if kind == "?":
        bits = payload.take(-(-count // 8))
        return [bool(bits[i // 8] >> i % 8 & 1) for i in range(count)]
    return raw_values(payload.take(count * size_of(kind)), kind)


def _constant(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    if kind == "s":
        return [payload.rest()] * count
    if kind == "?":
        return [{0: False, 1: True}[payload.number("B")]] * count
    return raw_values(payload.take(size_of(kind)), kind) * count


def _bitpacked(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    assert kind in "BHIQ"
    bits, width = 8 * size_of(kind), payload.number("Q")
    assert width <= bits
    lanes = 1024 // bits
    rows = -(-count // lanes)
    words = raw_values(payload.take(128 * -(-rows * width // bits)), kind)
    lane = [sum(word << bits * k for k, word in enumerate(words[i::lanes])) for i in range(lanes)]
    return [lane[i % lanes] >> i // lanes * width & ((1 << width) - 1) for i in range(count)]


def _base(payload: Bytes, kind: str) -> int:
    assert kind in "bhiqBHIQ"
    base: int = payload.number("Q")
    assert base < 1 << 8 * size_of(kind)
    return base


def _frame_of_reference(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    base, size = _base(payload, kind), size_of(kind)
    return as_kind([(base + v) % (1 << 8 * size) for v in inner(count, _UNSIGNED[size])], kind)


def _delta(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    first, smallest, size = _base(payload, kind), _base(payload, kind), size_of(kind)
    values = [first]
    for step in inner(count - 1, _UNSIGNED[size]):
        values.append((values[-1] + smallest + step) % (1 << 8 * size))
    return as_kind(values, kind)


def _varint(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    assert kind in "bhiqBHIQ"
    modulus, values, before = 1 << 8 * size_of(kind), [], 0
    for _ in range(count):
        number = shift = 0
        while True:
            byte = payload.number("B")
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        assert number < modulus
        assert byte or shift == 7
        before = (before + (-(number >> 1) - 1 if number & 1 else number >> 1)) % modulus
        values.append(before)
    return as_kind(values, kind)


def _run_length(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    assert kind != "s"
    runs, first = payload.numbers("II")
    assert 1 <= runs <= count
    assert first <= (kind == "?")
    heads = [bool(first + i & 1) for i in range(runs)] if kind == "?" else inner(runs, kind)
    lengths = inner(runs, "I")
    assert min(lengths) > 0
    assert sum(lengths) == count
    return [head for head, length in zip(heads, lengths, strict=True) for _ in range(length)]


def _dictionary(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    assert kind != "?"
    slot, zero = payload.numbers("II")
    assert zero == 0
    shared = Bytes(streams.slots[slot])
    distinct = shared.number("Q")
    assert 1 <= distinct <= 65536
    values = inner(distinct, kind, shared)
    shared.end()
    return [values[code] for code in inner(count, "B" if distinct <= 256 else "H")]


def _byte_stream_split(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    size = size_of(kind)
    assert kind in "hiqHIQefd"
    planes = [inner(count, "B") for _ in range(size)]
    bits = [sum(plane[i] << 8 * k for k, plane in enumerate(planes)) for i in range(count)]
    if kind in "efd":
        bits = [v >> 1 | (v & 1) << 8 * size - 1 for v in bits]
    return as_kind(bits, kind)


def _alp(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    e, f, zero, exceptions = payload.numbers("BBHI")
    assert f <= e <= 18
    assert zero == 0
    assert exceptions <= count
    power, inverse = float(f"1e{f}"), float(f"1e-{e}")
    floats = [float(n) * power * inverse for n in inner(count, {"f": "i", "d": "q"}[kind])]
    values = [struct.unpack("<" + _BITS_OF[kind], struct.pack("<" + kind, x))[0] for x in floats]
    if exceptions:
        positions = inner(exceptions, "I")
        assert positions == sorted(set(positions))
        for position, bits in zip(positions, inner(exceptions, _BITS_OF[kind]), strict=True):
            values[position] = bits
    return values


def _fsst(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    assert kind == "s"
    slot, size = payload.numbers("II")
    table = Bytes(streams.slots[slot])
    lengths = table.take(table.number("B"))
    assert all(1 <= length <= 8 for length in lengths)
    symbols = [table.take(length) for length in lengths]
    table.end()
    strings = inner(count, "I")
    codes, found = iter(payload.take(size)), []
    for code in codes:
        found.append(bytes([next(codes)]) if code == 255 else symbols[code])
    return _cut(b"".join(found), strings)


def _cut(data: bytes, lengths: list[int]) -> list[bytes]:
    source = Bytes(data)
    strings = [source.take(length) for length in lengths]
    source.end()
    return strings


def _compressed(payload: Bytes, count: int, kind: str, inner: Inner, expand: Any, ratio: int) -> list[Any]:
    assert kind != "?"
    size, zero = payload.numbers("II")
    assert zero == 0
    lengths = inner(count, "I") if kind == "s" else []
    packed = payload.rest()
    assert size <= min(2**28, ratio * len(packed))
    raw = expand(packed, size)
    assert len(raw) == size
    return _cut(raw, lengths) if kind == "s" else raw_values(raw, kind)


def _snappy(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    def expand(packed: bytes, size: int) -> bytes:
        groups = iter(packed[:5])
        declared = 0
        for place, byte in enumerate(groups):
            declared |= (byte & 127) << 7 * place
            if byte < 128:
                break
        assert declared == size
        raw: bytes = snappy.uncompress(packed)
        return raw

    return _compressed(payload, count, kind, inner, expand, 22)


def _zstd(streams: Streams, payload: Bytes, count: int, kind: str, inner: Inner) -> list[Any]:
    def expand(packed: bytes, size: int) -> bytes:
        assert zstandard.frame_content_size(packed) == size
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size, allow_extra_data=False)

    return _compressed(payload, count, kind, inner, expand, 65536)


_DECODERS: dict[int, Callable[..., list[Any]]] = {
    1: _plain,
    2: _constant,
    3: _bitpacked,
    4: _frame_of_reference,
    5: _delta,
    6: _varint,
    7: _run_length,
    8: _dictionary,
    9: _byte_stream_split,
    10: _alp,
    11: _fsst,
    12: _snappy,
    13: _zstd,
}
