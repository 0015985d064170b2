"""One value for all (FORMAT.md, "Constant")."""

from __future__ import annotations

import numpy as np

from lance_fmt.constants import MAX_BLOCK_BYTES, StreamId
from lance_fmt.encodings.coded import Coded
from lance_fmt.encodings.protocol import (
    Array,
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
)
from lance_fmt.errors import InvalidDataError
from lance_fmt.wire import Cursor

_RECIPE = Recipe(StreamId.CONSTANT)
_EARLY = 16


class Constant:
    """The value once; every kind."""

    id = StreamId.CONSTANT
    name = "constant"

    def accepts(self, kind: Kind) -> bool:  # noqa: ARG002
        """Every kind."""
        return True

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:  # noqa: ARG002
        """Where each block of the sample holds one value; blocks that do not are never given to `encode`."""
        return None  # the stream writer sees to constant blocks under every recipe

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:  # noqa: ARG002
        """All values must be equal."""
        if all(map(is_constant, sample.page or sample.blocks)):
            return _RECIPE
        raise InvalidDataError("encoding 'constant' was asked for values that differ within a block")

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:  # noqa: ARG002
        """The first value."""
        if isinstance(values, Strings):
            return values.first()
        return values[:1].tobytes()

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Values:  # noqa: ARG002
        """The value `count` times."""
        value = _value(payload, kind)
        if not kind.is_strings:
            return np.full(count, value[0])
        if len(value) * count > MAX_BLOCK_BYTES:
            raise payload.fail(f"a string of {len(value)} bytes {count} times is more than a block holds")
        return Strings(np.tile(value, count), np.arange(count + 1, dtype=np.int64) * len(value))

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:  # noqa: ARG002
        """One test for all."""
        value = _value(payload, kind)
        one = Strings(value, np.array([0, len(value)], np.int64)) if kind.is_strings else value
        return np.full(count, test.mask(one)[0])


def _value(payload: Cursor, kind: Kind) -> Array:
    size = payload.remaining if kind.is_strings else kind.dtype.itemsize
    raw = payload.take(size, "constant")
    payload.expect_end("constant")
    if kind.is_bool and raw[0] > 1:
        raise payload.fail(f"constant bool {raw[0]}")
    return np.frombuffer(raw, kind.dtype)


def is_constant(values: Values) -> bool:
    """Whether all values (at least one) are the same, bit for bit."""
    if isinstance(values, Coded):
        return is_constant(values.codes)
    if isinstance(values, Strings):
        length = int(values.offsets[1])
        count = len(values.offsets) - 1
        if len(values.data) != length * count or values.offsets[-2] != length * (count - 1):
            return False
        if values.data[-length:].tobytes() != values.data[:length].tobytes():
            return False
        if (np.diff(values.offsets) != length).any():
            return False
        return length == 0 or bool((values.data.reshape(count, length) == values.data[:length]).all())
    bits = values.view(f"u{values.itemsize}")
    first = bits[0]
    # Most values that are not all equal differ early.
    return bool(first == bits[-1] and (bits[:_EARLY] == first).all() and (bits == first).all())
