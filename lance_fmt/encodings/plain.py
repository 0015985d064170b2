"""Values as they are (FORMAT.md, "Plain")."""

from __future__ import annotations

import numpy as np

from lance_fmt.constants import MAX_BLOCK_BYTES, STREAM_ALIGNMENT, StreamId
from lance_fmt.encodings.protocol import (
    Chooser,
    Kind,
    Mask,
    Recipe,
    Sample,
    StreamReader,
    StreamWriter,
    Strings,
    Test,
    Values,
    kind_of,
)
from lance_fmt.kernels import loader
from lance_fmt.wire import FRAME, Cursor

LENGTHS = kind_of("<u4")
# NumPy's sum of fewer lengths is done before a kernel would be loaded.
_FEW = 512


class Plain:
    """Little-endian numbers, bits, lengths and bytes; every kind."""

    id = StreamId.PLAIN
    name = "plain"

    def accepts(self, kind: Kind) -> bool:  # noqa: ARG002
        """Every kind."""
        return True

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """Always; the lengths of strings are a child."""
        if not kind.is_strings:
            return Recipe(self.id)
        return Recipe(self.id, (chooser.choose(sample.map(lengths_of), LENGTHS),))

    fixed = plan

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:  # noqa: ARG002
        """The bytes of the values."""
        if isinstance(values, Strings):
            return out.write(lengths_of(values), LENGTHS, recipe.children[0]) + values.data.tobytes()
        return (np.packbits(values, bitorder="little") if values.dtype.kind == "b" else values).tobytes()

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Values:
        """Views of the payload; a bitmap is unpacked."""
        if kind.is_strings:
            offsets = read_offsets(payload, count, source)
            return Strings(np.frombuffer(payload.take(int(offsets[-1]), "string bytes"), np.uint8), offsets)
        if kind.is_bool:
            bits = np.frombuffer(payload.take(-(-count // 8), "bitmap"), np.uint8)
            return np.unpackbits(bits, count=count, bitorder="little").view(np.bool_)
        values = np.frombuffer(payload.take(count * kind.dtype.itemsize, "values"), kind.dtype)
        return values if values.flags.aligned else values.copy()

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Tests the values where they are."""
        return test.mask(self.decode(payload, count, kind, source))


def read_bitmap(cursor: Cursor, count: int) -> Mask | None:
    """The next stream, if it is a bitmap of `count` bools, which the validity of rows mostly is.

    None, and nothing read, if it is another stream or not whole.
    """
    size = -(-count // 8)
    padded = size + -size % STREAM_ALIGNMENT
    raw = cursor.rest
    if len(raw) < FRAME.size + padded or FRAME.unpack_from(raw) != (StreamId.PLAIN, size):
        return None
    cursor.take(FRAME.size + padded)
    bits = np.frombuffer(raw, np.uint8, size, FRAME.size)
    return np.unpackbits(bits, count=count, bitorder="little").view(np.bool_)


def lengths_of(values: Strings) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Lengths of byte strings; a block holds fewer than 2^32 bytes."""
    return np.diff(values.offsets).astype(np.uint32)


def read_offsets(
    payload: Cursor, count: int, source: StreamReader
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Offsets of `count` strings from the stream of their lengths, at most `MAX_BLOCK_BYTES` in all."""
    lengths = source.read(payload, count, LENGTHS)
    offsets = np.empty(count + 1, np.int64)
    offsets[:-1], offsets[-1] = lengths, 0
    if count < _FEW:
        offsets[1:] = np.cumsum(offsets[:-1])
        offsets[0] = 0
    else:
        loader.running_sum()(0, offsets.view(np.uint64))
    # Each length is below 2^32 and a block has at most 2^24 values, so the sum cannot wrap.
    if offsets[-1] > MAX_BLOCK_BYTES:
        raise payload.fail(f"lengths sum to {offsets[-1]}, more than the {MAX_BLOCK_BYTES} of a block")
    return offsets
