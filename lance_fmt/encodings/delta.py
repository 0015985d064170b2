"""Integers as their differences (FORMAT.md, "Delta")."""

from __future__ import annotations

import numpy as np

from lance_fmt.constants import StreamId
from lance_fmt.encodings.bitpacked import INTEGERS, bits_of, peek_words, signed, unpack, unsigned_kind
from lance_fmt.encodings.frame_of_reference import read_base
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
from lance_fmt.kernels import loader
from lance_fmt.wire import Builder, Cursor

_WITHOUT = frozenset(
    {StreamId.FRAME_OF_REFERENCE, StreamId.DELTA, StreamId.VARINT, StreamId.DICTIONARY}
    | {StreamId.BYTE_STREAM_SPLIT}
)
_PLAIN = Recipe(StreamId.PLAIN)


class Delta:
    """First value, smallest difference, and what the differences exceed it by; every integer."""

    id = StreamId.DELTA
    name = "delta"

    def accepts(self, kind: Kind) -> bool:
        """Every integer."""
        return kind.name in INTEGERS

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """Where differences span fewer bits than the values do."""
        for block in sample.blocks:
            if len(bits_of(block, kind)) < 3:
                return None
            spread = int(differences_of(block, kind)[2].max()).bit_length()
            if spread >= (int(np.max(block)) - int(np.min(block))).bit_length():
                return None
        return self.fixed(sample, kind, chooser)

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """Whatever the differences are."""
        rests = [differences_of(block, kind)[2] for block in sample.blocks]
        rests = [rest for rest in rests if len(rest)]
        if not rests:
            return Recipe(self.id, (_PLAIN,))
        return Recipe(self.id, (chooser.choose(Sample(rests), unsigned_kind(kind), without=_WITHOUT),))

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:
        """Two numbers and a stream of one value fewer."""
        first, smallest, rest = differences_of(values, kind)
        head = Builder().u64(first).u64(smallest)
        return head.raw(out.write(rest, unsigned_kind(kind), recipe.children[0])).finish()

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:
        """A running sum."""
        first = read_base(payload, kind, "first value")
        smallest = read_base(payload, kind, "smallest difference")
        unsigned = unsigned_kind(kind)
        start = payload.offset
        rest = payload.take(payload.remaining)
        packed = peek_words(rest, 0, count - 1, unsigned.dtype)
        if packed is not None and packed[1]:
            # Bit-packed differences, which most are, are unpacked to where they are summed.
            sums = unpack(*packed, count - 1, smallest, room=1)
        else:
            cursor = Cursor(rest, path=payload.path, base=start)
            steps = source.read(cursor, count - 1, unsigned)
            cursor.expect_end("delta")
            assert isinstance(steps, np.ndarray)
            sums = np.empty(count, unsigned.dtype)
            np.add(steps, unsigned.dtype.type(smallest), out=sums[:-1])
            sums[-1] = 0
        loader.running_sum()(signed(first), sums)
        return sums[:count].view(kind.dtype)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Decodes first."""
        return test.mask(self.decode(payload, count, kind, source))


def differences_of(values: Values, kind: Kind) -> tuple[int, int, Array]:
    """First value, smallest difference as a signed number, and the rest of the differences; modulo 2^T."""
    bits = bits_of(values, kind)
    steps = bits[1:] - bits[:-1]
    if not len(steps):
        return int(bits[0]), 0, steps
    smallest = int(steps.view(f"<i{kind.dtype.itemsize}").min()) % (1 << (8 * kind.dtype.itemsize))
    return int(bits[0]), smallest, steps - steps.dtype.type(smallest)
