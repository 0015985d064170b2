"""Unsigned integers in as many bits as the largest of a block needs (FORMAT.md, "Bit-packed")."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lance_fmt.constants import StreamId
from lance_fmt.encodings.protocol import (
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
    kind_of,
)
from lance_fmt.kernels import loader
from lance_fmt.wire import Cursor

Unsigned = NDArray[np.unsignedinteger[Any]]
_ROW_BYTES = 128
_HEADER_BYTES = 8


def unsigned_kind(kind: Kind) -> Kind:
    """The unsigned integers as wide as `kind`."""
    return kind_of(f"<u{kind.dtype.itemsize}")


def bits_of(values: Values, kind: Kind) -> Unsigned:
    """Numbers viewed as unsigned integers of their width."""
    assert isinstance(values, np.ndarray)
    found: Unsigned = np.ascontiguousarray(values).view(unsigned_kind(kind).dtype)
    return found


def frozen(values: Array) -> Array:
    """`values` aligned and read-only, so that kernels are compiled for one kind of array."""
    view = values.view() if values.flags.aligned else values.copy()
    view.flags.writeable = False
    return view


def _rows(count: int, itemsize: int) -> int:
    lanes = _ROW_BYTES // itemsize
    return -(-count // lanes)


def pack(values: Unsigned) -> bytes:
    """Header and words of a bit-packed payload."""
    itemsize = values.itemsize
    width = int(values.max()).bit_length()
    header = width.to_bytes(_HEADER_BYTES, "little")
    if not width:
        return header
    lanes = _ROW_BYTES // itemsize
    rows = _rows(len(values), itemsize)
    padded = np.zeros(rows * lanes, values.dtype)
    padded[: len(values)] = values
    words = np.zeros(-(-rows * width // (8 * itemsize)) * lanes, values.dtype)
    loader.pack_rows()(padded, width, words)
    return header + words.tobytes()


def _words(payload: Cursor, count: int, dtype: np.dtype[Any]) -> tuple[int, Unsigned]:
    width = payload.u64("bit width")
    bits = 8 * dtype.itemsize
    if width > bits:
        raise payload.fail(f"bit width {width} is more than {bits}")
    size = -(-_rows(count, dtype.itemsize) * width // bits) * _ROW_BYTES
    return width, frozen(np.frombuffer(payload.take(size, "packed integers"), dtype))


def unpack(payload: Cursor, count: int, dtype: np.dtype[Any], base: int = 0) -> Unsigned:
    """The values of a bit-packed payload plus `base`, modulo 2^T."""
    width, words = _words(payload, count, dtype)
    if not width:
        return np.full(count, base, dtype)
    out = np.empty(_rows(count, dtype.itemsize) * (_ROW_BYTES // dtype.itemsize), dtype)
    loader.unpack_rows()(words, width, dtype.type(base), out)
    return out[:count]


def match_packed(payload: Cursor, count: int, kind: Kind, base: int, interval: tuple[int, int]) -> Mask:
    """Which values of a bit-packed payload plus `base`, as values of `kind`, lie in `interval`."""
    dtype = unsigned_kind(kind).dtype
    width, words = _words(payload, count, dtype)
    limits = np.iinfo(kind.dtype)
    low, high = max(interval[0], int(limits.min)), min(interval[1], int(limits.max))
    if low > high:
        return np.zeros(count, np.bool_)
    first = (low - base) % (1 << (8 * dtype.itemsize))
    if not width:
        # The one value is `base`; its distance from `low`, modulo 2^T.
        return np.full(count, -first % (1 << (8 * dtype.itemsize)) <= high - low)
    out = np.empty(_rows(count, dtype.itemsize) * (_ROW_BYTES // dtype.itemsize), np.bool_)
    loader.match_rows()(words, width, dtype.type(first), dtype.type(high - low), out)
    return out[:count]


class BitPacked:
    """Unsigned integers of every width."""

    id = StreamId.BITPACKED
    name = "bitpacked"

    def accepts(self, kind: Kind) -> bool:
        """uint8 to uint64."""
        return kind.is_integer and kind.dtype.kind == "u"

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:  # noqa: ARG002
        """Where the largest value leaves bits unused."""
        largest = max(int(bits_of(block, kind).max()) for block in sample.blocks)
        return None if largest.bit_length() == 8 * kind.dtype.itemsize else Recipe(self.id)

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:  # noqa: ARG002
        """Whatever it saves."""
        return Recipe(self.id)

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:  # noqa: ARG002
        """Width and words."""
        return pack(bits_of(values, kind))

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:  # noqa: ARG002
        """One kernel for every width."""
        return unpack(payload, count, kind.dtype)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Intervals are tested while unpacking."""
        interval = test.interval
        if interval is None:
            return test.mask(self.decode(payload, count, kind, source))
        return match_packed(payload, count, kind, 0, interval)
