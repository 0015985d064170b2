"""Numbers as one stream for each of their bytes (FORMAT.md, "Byte stream split")."""

from __future__ import annotations

import numpy as np

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
from lance_fmt.wire import Cursor

BYTES = kind_of("u1")


class ByteStreamSplit:
    """A stream of each byte plane, lowest first; floats are rotated, so that the top plane is the exponent."""

    id = StreamId.BYTE_STREAM_SPLIT
    name = "byte_stream_split"

    def accepts(self, kind: Kind) -> bool:
        """Numbers of two bytes and more."""
        return (kind.is_float or kind.is_integer) and kind.dtype.itemsize > 1

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """Where the chooser finds a plane that is not best left plain."""
        recipe = self.fixed(sample, kind, chooser)
        return None if all(child.id is StreamId.PLAIN for child in recipe.children) else recipe

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """Whatever the planes hold."""
        blocks = [planes_of(block, kind) for block in sample.blocks]
        choices = (chooser.choose(Sample(list(plane)), BYTES) for plane in zip(*blocks, strict=True))
        return Recipe(self.id, tuple(choices))

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:
        """The planes' streams, lowest byte first."""
        planes = zip(planes_of(values, kind), recipe.children, strict=True)
        return b"".join(out.write(plane, BYTES, child) for plane, child in planes)

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:
        """One pass over all planes."""
        size = kind.dtype.itemsize
        planes = []
        for _ in range(size):
            plane = source.read(payload, count, BYTES)
            assert isinstance(plane, np.ndarray)
            planes.append(frozen(plane))
        payload.expect_end("byte planes")
        out = np.empty(count, unsigned_kind(kind).dtype)
        loader.join_planes(size)(*planes, int(kind.is_float), out)
        return out.view(kind.dtype)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Decodes first."""
        return test.mask(self.decode(payload, count, kind, source))


def planes_of(values: Values, kind: Kind) -> list[Array]:
    """Byte planes, lowest first, of numbers whose bits are rotated left by one if they are floats."""
    bits: Array = bits_of(values, kind)
    size = bits.itemsize
    if kind.is_float:
        bits = (bits << 1) | (bits >> (8 * size - 1))
    table = bits.view(np.uint8).reshape(-1, size)
    return [np.ascontiguousarray(table[:, place]) for place in range(size)]
