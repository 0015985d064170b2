"""Integers as differences of as many bytes as each needs (FORMAT.md, "Varint")."""

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
)
from lance_fmt.kernels import loader
from lance_fmt.wire import Cursor

# Codes of `lance_fmt.kernels.varint`.
_PROBLEMS = {-1: "ends within a number", -2: "has a number that is too large", -3: "has an overlong number"}


class Varint:
    """LEB128 of zigzagged differences; every integer."""

    id = StreamId.VARINT
    name = "varint"

    def accepts(self, kind: Kind) -> bool:
        """Every integer."""
        return kind.is_integer

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:  # noqa: ARG002
        """Where differences are mostly of fewer bytes than values, which one byte never are."""
        if kind.dtype.itemsize == 1:
            return None
        size = sum(len(write(block, kind)) for block in sample.blocks)
        raw = sum(bits_of(block, kind).nbytes for block in sample.blocks)
        return Recipe(self.id) if size < 0.75 * raw else None

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:  # noqa: ARG002
        """Whatever it costs."""
        return Recipe(self.id)

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:  # noqa: ARG002
        """The numbers one behind another."""
        return write(values, kind)

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:  # noqa: ARG002
        """Checks every byte."""
        # Each number has a byte at least: nothing is reserved for a count that cannot be.
        if payload.remaining < count:
            raise payload.fail(f"{count} numbers in {payload.remaining} bytes")
        data = np.frombuffer(payload.take(payload.remaining), np.uint8)
        out = np.empty(count, unsigned_kind(kind).dtype)
        used = loader.read_varints()(frozen(data), out)
        if used < 0:
            raise payload.fail(f"varint stream {_PROBLEMS[used]}")
        if used != len(data):
            raise payload.fail(f"varint stream has {len(data) - used} bytes too many")
        return out.view(kind.dtype)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Decodes first."""
        return test.mask(self.decode(payload, count, kind, source))


def write(values: Values, kind: Kind) -> bytes:
    """The payload of `values`."""
    bits = bits_of(values, kind)
    out = np.empty(len(bits) * -(-8 * bits.itemsize // 7), np.uint8)
    return out[: loader.write_varints()(frozen(bits), out)].tobytes()
