"""Floats that were decimals, as integers and exceptions (FORMAT.md, "ALP").

A. Afroozeh, L. Kuffo, P. Boncz, "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2024.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lance_fmt.constants import StreamId
from lance_fmt.encodings.bitpacked import bits_of, frozen, unsigned_kind
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
from lance_fmt.wire import Builder, Cursor

POWERS = np.array([float(f"1e{k}") for k in range(19)])
INVERSES = np.array([float(f"1e-{k}") for k in range(19)])
POSITIONS = kind_of("<u4")
_SAMPLED = 32
_SCATTER = np.uint64(0x9E3779B1)
_MOST_EXCEPTIONS = 0.1
# By bytes of the float: largest exponent tried, and what the integers stay below.
_LARGEST_EXPONENT = {4: 10, 8: 18}
_LIMIT = {4: 2.0**31, 8: 2.0**53}
_PLAIN = Recipe(StreamId.PLAIN)
_HEADER = struct.Struct("<BBHI")
_WHOLE = {4: kind_of("<i4"), 8: kind_of("<i8")}
# Kernels take these one by one, which floats of Python are fastest for.
_POWERS, _INVERSES = POWERS.tolist(), INVERSES.tolist()
_NOWHERE = np.empty(0, np.uint32)


class Decimals(NamedTuple):
    """A block taken apart: exponents, an integer for each value, and the values that these do not give back."""

    e: int
    f: int
    numbers: NDArray[np.signedinteger[Any]]
    positions: NDArray[np.uint32]
    exceptions: Array


class Alp:
    """Integers that the exponents turn into the values again, and exceptions; float32 and float64."""

    id = StreamId.ALP
    name = "alp"

    def accepts(self, kind: Kind) -> bool:
        """float32 and float64."""
        return kind.is_float and kind.dtype.itemsize > 2

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """Where no more than a tenth are exceptions."""
        blocks = [decimals_of(block, kind) for block in sample.blocks]
        exceptions = sum(len(block.positions) for block in blocks)
        if exceptions > _MOST_EXCEPTIONS * sum(len(block.numbers) for block in blocks):
            return None
        return self._recipe(blocks, kind, chooser)

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """However many are exceptions."""
        return self._recipe([decimals_of(block, kind) for block in sample.blocks], kind, chooser)

    def _recipe(self, blocks: list[Decimals], kind: Kind, chooser: Chooser) -> Recipe:
        numbers = chooser.choose(Sample([block.numbers for block in blocks]), _numbers_kind(kind))
        marred = [block for block in blocks if len(block.positions)]
        if not marred:
            return Recipe(self.id, (numbers, _PLAIN, _PLAIN))
        positions = chooser.choose(Sample([block.positions for block in marred]), POSITIONS)
        values = chooser.choose(Sample([block.exceptions for block in marred]), unsigned_kind(kind))
        return Recipe(self.id, (numbers, positions, values))

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:
        """Exponents, integers, and the exceptions if there are any."""
        block = decimals_of(values, kind)
        head = Builder().u8(block.e).u8(block.f).u16(0).u32(len(block.positions))
        numbers, positions, exceptions = recipe.children
        head.raw(out.write(block.numbers, _numbers_kind(kind), numbers))
        if len(block.positions):
            head.raw(out.write(block.positions, POSITIONS, positions))
            head.raw(out.write(block.exceptions, unsigned_kind(kind), exceptions))
        return head.finish()

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:
        """Two multiplications for each value; exceptions are put over them."""
        e, f, zero, marred = _HEADER.unpack(payload.take(_HEADER.size, "exponents"))
        if e >= len(POWERS) or f > e or zero or marred > count:
            raise payload.fail(
                f"exponents {e} and {f}, reserved {zero}, {marred} exceptions in {count} values"
            )
        numbers = source.read(payload, count, _numbers_kind(kind))
        assert isinstance(numbers, np.ndarray)
        out = np.empty(count, kind.dtype)
        loader.decode_decimals()(frozen(numbers), _POWERS[f], _INVERSES[e], out)
        if marred:
            unsigned = unsigned_kind(kind)
            positions = source.read(payload, marred, POSITIONS)
            exceptions = source.read(payload, marred, unsigned)
            assert isinstance(positions, np.ndarray)
            assert isinstance(exceptions, np.ndarray)
            put = loader.put_exceptions()
            if not put(frozen(positions), frozen(exceptions), out.view(unsigned.dtype)):
                raise payload.fail(f"positions of exceptions do not ascend below {count}")
        payload.expect_end("ALP")
        return out

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Decodes first."""
        return test.mask(self.decode(payload, count, kind, source))


def _numbers_kind(kind: Kind) -> Kind:
    return _WHOLE[kind.dtype.itemsize]


@lru_cache(maxsize=64)
def _places(count: int) -> NDArray[np.int64]:
    """Places by a multiplicative hash: even steps would fall in with periods of the data."""
    places = np.arange(min(_SAMPLED, count), dtype=np.uint64) * _SCATTER % np.uint64(count)
    return places.astype(np.int64)


def decimals_of(values: Values, kind: Kind) -> Decimals:
    """The best exponents for a few of the values, and all values by them."""
    assert isinstance(values, np.ndarray)
    size = kind.dtype.itemsize
    count = len(values)
    with np.errstate(invalid="ignore"):  # signaling NaNs
        few = values[_places(count)].astype(np.float64)
    limit = _LIMIT[size]
    found = loader.find_exponents()(
        few, limit, _LARGEST_EXPONENT[size], POWERS, INVERSES, np.empty(1, kind.dtype)
    )
    e, f = divmod(int(found), 32)
    numbers, wrong = np.empty(count, _numbers_kind(kind).dtype), np.empty(count, np.bool_)
    exponents = _POWERS[e], _INVERSES[f], _POWERS[f], _INVERSES[e]
    marred = loader.encode_decimals()(frozen(np.ascontiguousarray(values)), limit, *exponents, numbers, wrong)
    if not marred:
        return Decimals(e, f, numbers, _NOWHERE, bits_of(values[:0], kind))
    positions = np.flatnonzero(wrong)
    # Exceptions take the integer of some value that is none, so as not to widen the range.
    numbers[positions] = 0 if marred == count else numbers[int(np.argmin(wrong))]
    return Decimals(e, f, numbers, positions.astype(np.uint32), bits_of(values, kind)[positions])
