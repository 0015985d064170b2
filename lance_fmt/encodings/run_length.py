"""Runs of equal values as one value and a length (FORMAT.md, "Run-length")."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from lance_fmt.constants import StreamId
from lance_fmt.encodings.bitpacked import bits_of, frozen
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
    count_of,
    kind_of,
)
from lance_fmt.kernels import loader
from lance_fmt.wire import Builder, Cursor

LENGTHS = kind_of("<u4")
_SHORTEST = 4
_SHORTEST_OF_BITS = 8
_HEADER = struct.Struct("<II")
_BITS = {size: np.dtype(f"<u{size}") for size in (1, 2, 4, 8)}
# Items behind the output that the wide stores of the kernel may touch.
_SLACK = 16


class RunLength:
    """Values and lengths of runs; bools alternate, so only the first is kept."""

    id = StreamId.RUN_LENGTH
    name = "run_length"

    def accepts(self, kind: Kind) -> bool:
        """All but strings."""
        return not kind.is_strings

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """Where runs are long on average."""
        runs = sum(1 + int(np.count_nonzero(_breaks(block, kind))) for block in sample.blocks)
        shortest = _SHORTEST_OF_BITS if kind.is_bool else _SHORTEST
        return (
            None if sum(map(count_of, sample.blocks)) < shortest * runs else self.fixed(sample, kind, chooser)
        )

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """However short the runs are."""
        starts = [starts_of(block, kind) for block in sample.blocks]
        lengths = [lengths_of(s, count_of(b)) for s, b in zip(starts, sample.blocks, strict=True)]
        children = [chooser.choose(Sample(lengths), LENGTHS)]
        if not kind.is_bool:
            values = [_array(b)[s] for s, b in zip(starts, sample.blocks, strict=True)]
            children.insert(0, chooser.choose(Sample(values), kind))
        return Recipe(self.id, tuple(children))

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:
        """How many runs, the first bool, values, lengths."""
        starts = starts_of(values, kind)
        array = _array(values)
        head = Builder().u32(len(starts)).u32(int(array[0]) if kind.is_bool else 0)
        if not kind.is_bool:
            head.raw(out.write(array[starts], kind, recipe.children[0]))
        lengths = lengths_of(starts, len(array))
        return head.raw(out.write(lengths, LENGTHS, recipe.children[-1])).finish()

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Array:
        """Lengths are checked while they are expanded."""
        values, lengths = self._runs(payload, count, kind, source)
        return _expand(values, lengths, count, payload)

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Tests each run once."""
        values, lengths = self._runs(payload, count, kind, source)
        return _expand(test.mask(values), lengths, count, payload)

    def _runs(
        self, payload: Cursor, count: int, kind: Kind, source: StreamReader
    ) -> tuple[Array, NDArray[np.uint32]]:
        runs, first = _HEADER.unpack(payload.take(_HEADER.size, "number of runs"))
        if not 1 <= runs <= count or first > kind.is_bool:
            raise payload.fail(f"{runs} runs in {count} values, the first of them {first}")
        if kind.is_bool:
            values: Values = (np.arange(runs, dtype=np.uint32) + first & 1).astype(np.bool_)
        else:
            values = source.read(payload, runs, kind)
        lengths = source.read(payload, runs, LENGTHS)
        payload.expect_end("runs")
        assert isinstance(values, np.ndarray)
        assert isinstance(lengths, np.ndarray)
        return values, lengths


def _array(values: Values) -> Array:
    assert isinstance(values, np.ndarray)
    return values


def starts_of(values: Values, kind: Kind) -> NDArray[np.int64]:
    """Where runs begin; floats are compared by their bits."""
    breaks = np.flatnonzero(_breaks(values, kind))
    starts = np.zeros(len(breaks) + 1, np.int64)
    np.add(breaks, 1, out=starts[1:])
    return starts


def _breaks(values: Values, kind: Kind) -> Mask:
    bits = bits_of(values, kind)
    differs: Mask = bits[1:] != bits[:-1]
    return differs


def lengths_of(starts: NDArray[np.int64], count: int) -> NDArray[np.uint32]:
    """Lengths of the runs that begin at `starts`."""
    lengths = np.empty(len(starts), np.uint32)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1], casting="unsafe")
    lengths[-1] = count - starts[-1]
    return lengths


def _expand(values: Array, lengths: NDArray[np.uint32], count: int, payload: Cursor) -> Array:
    bits = values.view(_BITS[values.itemsize])
    out = np.empty(count + _SLACK, bits.dtype)
    if not loader.expand_runs()(frozen(bits), frozen(lengths), count, out):
        raise payload.fail(
            f"runs of {int(lengths.sum(dtype=np.uint64))} values, the shortest {lengths.min()}; "
            f"{count} values expected"
        )
    return out[:count].view(values.dtype)
