"""Numbers as one stream for each of their bytes (FORMAT.md, "Byte stream split")."""

from __future__ import annotations

import numpy as np

from lance_fmt.constants import STREAM_ALIGNMENT, StreamId
from lance_fmt.encodings.bitpacked import bits_of, frozen, unsigned_kind
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
    kind_of,
)
from lance_fmt.kernels import loader
from lance_fmt.wire import FRAME, Cursor

BYTES = kind_of("u1")
_LEAST = 16
_PLAIN = int(StreamId.PLAIN)
_ACCEPTED = frozenset(
    kind.name for kind in KINDS.values() if kind.dtype.kind in "iuf" and kind.dtype.itemsize > 1
)


class ByteStreamSplit:
    """A stream of each byte plane, lowest first; floats are rotated, so that the top plane is the exponent."""

    id = StreamId.BYTE_STREAM_SPLIT
    name = "byte_stream_split"

    def accepts(self, kind: Kind) -> bool:
        """Numbers of two bytes and more."""
        return kind.name in _ACCEPTED

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
        planes = _planes(payload, count, size, source)
        out = np.empty(max(count, _LEAST), unsigned_kind(kind).dtype)
        if count < _LEAST:
            planes = [frozen(np.resize(plane, _LEAST)) for plane in planes]
        loader.join_planes(size)(*planes, int(kind.is_float), out)
        return out[:count].view(kind.dtype)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Decodes first."""
        return test.mask(self.decode(payload, count, kind, source))


def _planes(payload: Cursor, count: int, size: int, source: StreamReader) -> list[Array]:
    start = payload.offset
    raw = payload.take(payload.remaining)
    whole = np.frombuffer(raw, np.uint8)
    planes = []
    place = 0
    for _ in range(size):
        # Most planes are plain: those are views of the payload.
        code, length = FRAME.unpack_from(raw, place) if len(raw) >= place + FRAME.size else (0, 0)
        body = place + FRAME.size
        stop = body + length + -length % STREAM_ALIGNMENT
        if code == _PLAIN and length == count and stop <= len(raw):
            planes.append(frozen(whole[body : body + count]))
        else:
            cursor = Cursor(raw[place:], path=payload.path, base=start + place)
            plane = source.read(cursor, count, BYTES)
            assert isinstance(plane, np.ndarray)
            planes.append(frozen(plane))
            stop = place + cursor.position
        place = stop
    if place != len(raw):
        raise payload.fail(f"byte planes: {len(raw) - place} bytes too many")
    return planes


def planes_of(values: Values, kind: Kind) -> list[Array]:
    """Byte planes, lowest first, of numbers whose bits are rotated left by one if they are floats."""
    bits = frozen(bits_of(values, kind))
    planes = []
    for place in range(bits.itemsize):
        plane = np.empty(len(bits), np.uint8)
        loader.byte_plane()(bits, (8 * place - kind.is_float) % (8 * bits.itemsize), plane)
        planes.append(plane)
    return planes
