"""Integers as their distances from the smallest of a block (FORMAT.md, "Frame of reference")."""

from __future__ import annotations

import numpy as np

from lance_fmt.constants import StreamId
from lance_fmt.encodings.bitpacked import (
    INTEGERS,
    OPENING,
    Unsigned,
    bits_of,
    match_packed,
    pack,
    peek_words,
    unpack,
    unsigned_kind,
)
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
)
from lance_fmt.wire import FRAME, Cursor

_WITHOUT = frozenset(
    {StreamId.FRAME_OF_REFERENCE, StreamId.DELTA, StreamId.VARINT, StreamId.RUN_LENGTH, StreamId.DICTIONARY}
    | {StreamId.BYTE_STREAM_SPLIT}
)


class FrameOfReference:
    """A base and unsigned residuals; every integer."""

    id = StreamId.FRAME_OF_REFERENCE
    name = "frame_of_reference"

    def accepts(self, kind: Kind) -> bool:
        """Every integer."""
        return kind.name in INTEGERS

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """Where a base takes bits away."""
        lows = [int(np.min(block)) for block in sample.blocks]
        if kind.dtype.kind == "u" and not any(lows):
            return None
        spans = (int(np.max(block)) - low for block, low in zip(sample.blocks, lows, strict=True))
        if max(spans).bit_length() == 8 * kind.dtype.itemsize:
            return None
        return self.fixed(sample, kind, chooser)

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """Whatever the base is."""
        residuals = sample.map(lambda block: residuals_of(block, kind)[1])
        return Recipe(self.id, (chooser.choose(residuals, unsigned_kind(kind), without=_WITHOUT),))

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:
        """Base, and the stream of residuals, which are not made if they are bit-packed."""
        if recipe.children[0].id is StreamId.BITPACKED:
            assert isinstance(values, np.ndarray)
            low, high = int(np.minimum.reduce(values)), int(np.maximum.reduce(values))
            base, unsigned = low % (1 << (8 * kind.dtype.itemsize)), unsigned_kind(kind)
            packed = pack(bits_of(values, kind), base, high - low)
            stream = out.framed(packed, len(values), unsigned, StreamId.BITPACKED)
            return base.to_bytes(8, "little") + stream
        base, residuals = residuals_of(values, kind)
        return base.to_bytes(8, "little") + out.write(residuals, unsigned_kind(kind), recipe.children[0])

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:
        """Bit-packed residuals are added to the base while they are unpacked."""
        base, packed, rest = _open(payload, count, kind)
        if packed is not None:
            found: Array = unpack(*packed, count, base).view(kind.dtype)
            return found
        return _restored(base, rest, count, kind, source)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Intervals are tested on bit-packed residuals while unpacking."""
        interval = test.interval
        if interval is None:
            return test.mask(self.decode(payload, count, kind, source))
        base, packed, rest = _open(payload, count, kind)
        if packed is not None:
            return match_packed(*packed, count, kind, base, interval)
        return test.mask(_restored(base, rest, count, kind, source))


def unpack_frame(cursor: Cursor, count: int, kind: Kind) -> Array | None:
    """Read the rest of `cursor`, if that is a stream of this encoding with bit-packed residuals: most integers are.

    None, and nothing read, if there is another stream, or anything is wrong with it: then reading it as any
    stream tells what.
    """
    raw = cursor.rest
    if len(raw) < OPENING.size or raw[0] != StreamId.FRAME_OF_REFERENCE or kind.name not in INTEGERS:
        return None
    _, length, base = OPENING.unpack_from(raw)
    if length != len(raw) - FRAME.size or base >> (8 * kind.dtype.itemsize):
        return None
    packed = peek_words(raw, OPENING.size, count, unsigned_kind(kind).dtype)
    if packed is None:
        return None
    cursor.take(len(raw))
    found: Array = unpack(*packed, count, base).view(kind.dtype)
    return found


def _restored(base: int, rest: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:
    residuals = source.read(rest, count, unsigned_kind(kind))
    rest.expect_end("frame of reference")
    assert isinstance(residuals, np.ndarray)
    values = residuals + residuals.dtype.type(base)
    restored: Array = values.view(kind.dtype)
    return restored


def residuals_of(values: Values, kind: Kind) -> tuple[int, Array]:
    """The smallest value, modulo 2^T, and the values' distances from it."""
    bits = bits_of(values, kind)
    assert isinstance(values, np.ndarray)
    base = int(values.min()) % (1 << (8 * kind.dtype.itemsize))
    return base, bits - bits.dtype.type(base)


def read_base(payload: Cursor, kind: Kind, what: str) -> int:
    """A number of `kind`'s width, kept in 8 bytes."""
    base = payload.u64(what)
    if base >> (8 * kind.dtype.itemsize):
        raise payload.fail(f"{what} {base} in a stream of {kind.name}")
    return base


def _open(payload: Cursor, count: int, kind: Kind) -> tuple[int, tuple[Unsigned, int] | None, Cursor]:
    """Base; the words of the child if it is bit-packed and nothing is wrong with it; and the child."""
    base = read_base(payload, kind, "base")
    start = payload.offset
    rest = payload.take(payload.remaining)
    packed = peek_words(rest, 0, count, unsigned_kind(kind).dtype)
    return base, packed, payload if packed is not None else Cursor(rest, path=payload.path, base=start)
