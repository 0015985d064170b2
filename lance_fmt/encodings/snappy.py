"""Snappy over the bytes of strings or numbers (FORMAT.md, "Snappy"): its raw block format, not the framed one.

It compresses less than Zstandard and is read faster.
"""

from __future__ import annotations

import snappy  # type: ignore[import-untyped]

from lance_fmt.constants import StreamId
from lance_fmt.encodings import compressed
from lance_fmt.encodings.protocol import (
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
from lance_fmt.wire import Cursor

# No element of the format makes more of its bytes than a copy of 64 bytes that takes three.
MAX_RATIO = 22
_WORST_GAIN = 0.9
_PROBE = 1 << 14


class Snappy:
    """Snappy; numbers and byte strings."""

    id = StreamId.SNAPPY
    name = "snappy"

    def accepts(self, kind: Kind) -> bool:
        """All but bools."""
        return compressed.accepts(kind)

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """Where the start of the first block shrinks by a tenth."""
        probe = compressed.raw_bytes(sample.blocks[0])[:_PROBE]
        if len(snappy.compress(probe)) > _WORST_GAIN * len(probe):
            return None
        return self.fixed(sample, kind, chooser)

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """Whatever it costs."""
        return Recipe(self.id, compressed.children(sample, kind, chooser))

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:  # noqa: ARG002
        """Size, zero, lengths, the compressed bytes."""
        raw = compressed.raw_bytes(values)
        return compressed.write(values, len(raw), 0, snappy.compress(raw), recipe, out)

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Values:
        """The size that the compressed bytes begin with must be the declared one."""
        packed = compressed.Packed(payload, count, kind, source, MAX_RATIO)
        if packed.word:
            raise payload.fail("reserved bytes of a Snappy stream are not zero")
        if _declared(packed.compressed) != packed.size:
            raise payload.fail(f"the Snappy block does not declare the {packed.size} bytes expected")
        try:
            raw = snappy.uncompress(packed.compressed)
        except snappy.UncompressError:
            raise payload.fail("the Snappy block is damaged") from None
        if len(raw) != packed.size:
            raise payload.fail(f"{len(raw)} bytes decompressed, {packed.size} declared")
        return packed.values(raw)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Decodes first."""
        return test.mask(self.decode(payload, count, kind, source))


def _declared(block: memoryview) -> int:
    """The varint that a Snappy block begins with; -1 if there is none of 32 bits."""
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return size
    return -1
