"""What general compressors have in common: a size, the lengths of strings, and the bytes of all values as one run."""

from __future__ import annotations

import numpy as np

from lance_fmt.constants import MAX_BLOCK_BYTES
from lance_fmt.encodings.plain import LENGTHS, lengths_of, read_offsets
from lance_fmt.encodings.protocol import (
    Chooser,
    Kind,
    Recipe,
    Sample,
    StreamReader,
    StreamWriter,
    Strings,
    Values,
)
from lance_fmt.wire import Builder, Cursor


def accepts(kind: Kind) -> bool:
    """Numbers and byte strings; bools are bits already."""
    return not kind.is_bool


def raw_bytes(values: Values) -> memoryview:
    """The bytes that are compressed: those of the strings, or the little-endian numbers."""
    array = values.data if isinstance(values, Strings) else values
    return np.ascontiguousarray(array).view(np.uint8).data


def children(sample: Sample, kind: Kind, chooser: Chooser) -> tuple[Recipe, ...]:
    """The recipe of the lengths, for strings."""
    return (chooser.choose(sample.map(lengths_of), LENGTHS),) if kind.is_strings else ()


def write(
    values: Values, size: int, word: int, compressed: bytes, recipe: Recipe, out: StreamWriter
) -> bytes:
    """The payload: u32 size before compression, u32 word of the encoding's own, lengths, compressed bytes."""
    head = Builder().u32(size).u32(word)
    if isinstance(values, Strings):
        head.raw(out.write(lengths_of(values), LENGTHS, recipe.children[0]))
    return head.raw(compressed).finish()


class Packed:
    """A payload read up to its compressed bytes, all sizes checked against each other and against the limits."""

    def __init__(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, ratio: int) -> None:
        self._kind = kind
        self.size = payload.u32("size before compression")
        self.word = payload.u32("u32")
        if kind.is_strings:
            self._offsets = read_offsets(payload, count, source)
            expected = int(self._offsets[-1])
        else:
            expected = count * kind.dtype.itemsize
        if self.size != expected:
            raise payload.fail(f"{expected} bytes expected, {self.size} declared")
        self.compressed = payload.take(payload.remaining, "compressed bytes")
        if self.size > min(MAX_BLOCK_BYTES, ratio * len(self.compressed)):
            raise payload.fail(
                f"{self.size} bytes from {len(self.compressed)} are more than the format allows"
            )

    def values(self, raw: bytes) -> Values:
        """The values whose bytes are `raw`, `size` of them."""
        if self._kind.is_strings:
            return Strings(np.frombuffer(raw, np.uint8), self._offsets)
        return np.frombuffer(raw, self._kind.dtype)
