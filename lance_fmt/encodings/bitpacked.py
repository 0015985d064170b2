"""Unsigned integers in as many bits as the largest of a block needs (FORMAT.md, "Bit-packed")."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lance_fmt.constants import StreamId
from lance_fmt.encodings.protocol import (
    KINDS,
    Array,
    Chooser,
    Kind,
    Mask,
    Recipe,
    Sample,
    StreamReader,
    StreamWriter,
    Test,
    Values,
)
from lance_fmt.kernels import loader
from lance_fmt.wire import Cursor

Unsigned = NDArray[np.unsignedinteger[Any]]
_ROW_BYTES = 128
_HEADER_BYTES = 8
# Header of a stream, and the u64 that its payload begins with: the width of a bit-packed one.
OPENING = struct.Struct("<B3xIQ")
_BITPACKED = int(StreamId.BITPACKED)
# Of `ndarray.flags.num`: aligned, and not writeable.
_FROZEN = 0x100
_FROZEN_MASK = 0x500
_UNSIGNED = {kind.name: KINDS[np.dtype(f"<u{kind.dtype.itemsize}")] for kind in KINDS.values()}
_LIMITS = {
    kind.name: (int(np.iinfo(kind.dtype).min), int(np.iinfo(kind.dtype).max))
    for kind in KINDS.values()
    if kind.is_integer
}
_ACCEPTED = frozenset(kind.name for kind in KINDS.values() if kind.dtype.kind == "u")
INTEGERS = frozenset(_LIMITS)
"""Names of the kinds of integers: asked for every stream that is read."""


def unsigned_kind(kind: Kind) -> Kind:
    """The unsigned integers as wide as `kind`."""
    return _UNSIGNED[kind.name]


def bits_of(values: Values, kind: Kind) -> Unsigned:
    """Numbers viewed as unsigned integers of their width."""
    assert isinstance(values, np.ndarray)
    found: Unsigned = np.ascontiguousarray(values).view(unsigned_kind(kind).dtype)
    return found


def frozen(values: Array) -> Array:
    """`values` aligned and read-only, so that kernels are compiled for one kind of array."""
    flags = values.flags.num
    if flags & _FROZEN_MASK == _FROZEN:
        return values
    view = values.view() if flags & _FROZEN else values.copy()
    view.setflags(write=False)
    return view


def pack(values: Unsigned, base: int, largest: int) -> bytes:
    """Header and words of a bit-packed payload: of the values less `base`, modulo 2^T, of which one is `largest`."""
    itemsize = values.itemsize
    width = largest.bit_length()
    header = width.to_bytes(_HEADER_BYTES, "little")
    if not width:
        return header
    lanes = _ROW_BYTES // itemsize
    rows = -(-len(values) // lanes)
    if len(values) != rows * lanes:
        padded = np.full(rows * lanes, base, values.dtype)
        padded[: len(values)] = values
        values = padded
    words = np.zeros(_size(rows, width, itemsize) // itemsize, values.dtype)
    loader.pack_rows()(frozen(values), signed(base), width, words)
    return header + words.data


def _size(rows: int, width: int, itemsize: int) -> int:
    """Bytes of the words of so many rows."""
    return -(-rows * width // (8 * itemsize)) * _ROW_BYTES


def signed(number: int) -> int:
    """A number below 2^64 as int64: kernels are compiled for one kind of integer."""
    return number - (number >> 63 << 64)


def read_words(payload: Cursor, count: int, dtype: np.dtype[Any]) -> tuple[Unsigned, int]:
    """The words of a bit-packed payload of `count` values, and their width."""
    width = payload.u64("bit width")
    itemsize = dtype.itemsize
    if width > 8 * itemsize:
        raise payload.fail(f"bit width {width} is more than {8 * itemsize}")
    size = _size(-(-count * itemsize // _ROW_BYTES), width, itemsize)
    return frozen(np.frombuffer(payload.take(size, "packed integers"), dtype)), width


def peek_words(raw: memoryview, start: int, count: int, dtype: np.dtype[Any]) -> tuple[Unsigned, int] | None:
    """Like `read_words`, of the bit-packed stream that `raw` holds from `start` to its end.

    None if there is another stream, or anything is wrong with it: then reading it as any stream tells what.
    """
    if len(raw) < start + OPENING.size or not count:
        return None
    code, length, width = OPENING.unpack_from(raw, start)
    itemsize = dtype.itemsize
    if code != _BITPACKED or width > 8 * itemsize:
        return None
    size = _size(-(-count * itemsize // _ROW_BYTES), width, itemsize)
    start += OPENING.size
    if length != _HEADER_BYTES + size or len(raw) != start + size:
        return None
    return frozen(np.frombuffer(raw[start:], dtype)), width


def unpack(words: Unsigned, width: int, count: int, base: int = 0, *, room: int = 0) -> Unsigned:
    """`count` values of `width` bits plus `base`, which is below 2^T, modulo 2^T; `room` for more behind them."""
    dtype = words.dtype
    lanes = _ROW_BYTES // dtype.itemsize
    whole = -(-count // lanes) * lanes
    count += room
    if not width:
        return np.full(count, base, dtype)
    out: Unsigned = np.empty(whole if whole > count else count, dtype)
    loader.unpack_rows()(words, width, signed(base), out if whole >= count else out[:whole])
    return out if whole == count else out[:count]


def match_packed(
    words: Unsigned, width: int, count: int, kind: Kind, base: int, interval: tuple[int, int]
) -> Mask:
    """Which of `count` values plus `base`, as values of `kind`, lie in `interval`."""
    smallest, largest = _LIMITS[kind.name]
    modulus = largest - smallest + 1
    low, high = max(interval[0], smallest), min(interval[1], largest)
    if low > high:
        return np.zeros(count, np.bool_)
    first = (low - base) % modulus
    if not width:
        # The one value is `base`; its distance from `low`, modulo 2^T.
        return np.full(count, -first % modulus <= high - low)
    lanes = _ROW_BYTES // kind.dtype.itemsize
    out = np.empty(-(-count // lanes) * lanes, np.bool_)
    loader.match_rows()(words, width, signed(first), signed(high - low), out)
    return out[:count]


class BitPacked:
    """Unsigned integers of every width."""

    id = StreamId.BITPACKED
    name = "bitpacked"

    def accepts(self, kind: Kind) -> bool:
        """uint8 to uint64."""
        return kind.name in _ACCEPTED

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:  # noqa: ARG002
        """Where the largest value leaves bits unused."""
        largest = max(int(bits_of(block, kind).max()) for block in sample.blocks)
        return None if largest.bit_length() == 8 * kind.dtype.itemsize else Recipe(self.id)

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:  # noqa: ARG002
        """Whatever it saves."""
        return Recipe(self.id)

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:  # noqa: ARG002
        """Width and words."""
        bits = bits_of(values, kind)
        return pack(bits, 0, int(np.maximum.reduce(bits)))

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:  # noqa: ARG002
        """One kernel for every width."""
        words, width = read_words(payload, count, kind.dtype)
        return unpack(words, width, count)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Intervals are tested while unpacking."""
        interval = test.interval
        if interval is None:
            return test.mask(self.decode(payload, count, kind, source))
        words, width = read_words(payload, count, kind.dtype)
        return match_packed(words, width, count, kind, 0, interval)
