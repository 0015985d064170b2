"""What does decoding cost? Measures `DECODE_COST` of `lance_fmt.encodings.select`: `python -m benchmarks.decode_costs`.

For each encoding: nanoseconds for a stream, for a value, and for a byte of a string, in the form of that table. They
are fitted by least squares to the fastest of many reads of blocks of different sizes; what the streams inside a
stream cost by the lines above its own is taken off first. Values of PLAIN, SNAPPY and ZSTD count for each of their
bytes, as the table does. An idle machine helps, more rounds do too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np

from lance_fmt.constants import StreamId
from lance_fmt.encodings import ENCODINGS
from lance_fmt.encodings.protocol import STRINGS, Kind, Recipe, Sample, Strings, Values, kind_of
from lance_fmt.encodings.streams import PageReader, PageWriter, SharedViews
from lance_fmt.wire import Cursor

CALLS = 5
SIZES = (64, 512, 1024, 2048, 4096, 8192)
BY_BYTES = frozenset({StreamId.PLAIN, StreamId.SNAPPY, StreamId.ZSTD})
RANDOM = np.random.default_rng(1)
Maker = Callable[[int], Values]


class Cost(NamedTuple):
    """Nanoseconds for a stream, for a value, for a byte of a string."""

    stream: float
    value: float = 0.0
    byte: float = 0.0


class Typical:
    """Children as they mostly are: integers bit-packed, from a base where they have a sign, all else plain."""

    effort = 3

    def choose(self, sample: Sample, kind: Kind, *, without: frozenset[StreamId] = frozenset()) -> Recipe:  # noqa: ARG002
        """The recipe, whatever the sample."""
        packed = Recipe(StreamId.BITPACKED)
        if kind.is_strings:
            return Recipe(StreamId.PLAIN, (packed,))
        if not kind.is_integer or kind.dtype.itemsize == 1:
            return Recipe(StreamId.PLAIN)
        signed = kind.dtype.kind == "i"
        return Recipe(StreamId.FRAME_OF_REFERENCE, (packed,)) if signed else packed


def whole(low: int, high: int, code: str) -> Maker:
    """Random integers."""
    return lambda count: RANDOM.integers(low, high, count).astype(code)


def climbing(code: str) -> Maker:
    """Integers that grow by up to 500."""
    return lambda count: np.cumsum(RANDOM.integers(0, 500, count)).astype(code)


def runs(code: str) -> Maker:
    """Runs of 1 to 31 equal values."""

    def make(count: int) -> Values:
        values = RANDOM.integers(0, 1000, count)
        return np.repeat(values, RANDOM.integers(1, 32, count))[:count].astype(code)

    return make


def decimals(code: str) -> Maker:
    """Prices with two digits behind the point."""
    return lambda count: np.round(RANDOM.uniform(0, 1000, count), 2).astype(code)


def normal(code: str) -> Maker:
    """Normally distributed floats."""
    return lambda count: RANDOM.standard_normal(count).astype(code)


def words(distinct: int, each: int) -> Maker:
    """Strings of `each` of `distinct` words, so of about 6 * `each` bytes."""
    known = [bytes(RANDOM.integers(97, 123, RANDOM.integers(3, 9)).astype(np.uint8)) for _ in range(distinct)]

    def make(count: int) -> Values:
        texts = [
            b" ".join(known[i] for i in row) for row in RANDOM.integers(0, distinct, (count, each)).tolist()
        ]
        offsets = np.zeros(count + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        return Strings(np.frombuffer(b"".join(texts), np.uint8), offsets)

    return make


def equal(code: str) -> Maker:
    """One value."""
    return lambda count: np.full(count, 7, code)


def equal_words(count: int) -> Values:
    """One string of 12 bytes."""
    return Strings(np.tile(np.arange(12, dtype=np.uint8), count), np.arange(count + 1, dtype=np.int64) * 12)


NUMBERS: dict[StreamId, list[tuple[str, Maker]]] = {
    StreamId.PLAIN: [(code, normal(code)) for code in ("<f4", "<f8")],
    StreamId.CONSTANT: [(code, equal(code)) for code in ("<i4", "<i8")],
    StreamId.BITPACKED: [(code, whole(0, 1000, code)) for code in ("<u2", "<u4", "<u8")],
    StreamId.FRAME_OF_REFERENCE: [(code, whole(-500, 500, code)) for code in ("<i4", "<i8")],
    StreamId.DELTA: [(code, climbing(code)) for code in ("<i4", "<i8")],
    StreamId.VARINT: [(code, climbing(code)) for code in ("<i4", "<i8")],
    StreamId.RUN_LENGTH: [(code, runs(code)) for code in ("<i4", "<i8")],
    StreamId.DICTIONARY: [(code, whole(0, 200, code)) for code in ("<i4", "<i8")],
    StreamId.BYTE_STREAM_SPLIT: [(code, normal(code)) for code in ("<f4", "<f8")],
    StreamId.ALP: [(code, decimals(code)) for code in ("<f4", "<f8")],
    StreamId.FSST: [],
    StreamId.SNAPPY: [(code, whole(0, 1000, code)) for code in ("<i4", "<i8")],
    StreamId.ZSTD: [(code, whole(0, 1000, code)) for code in ("<i4", "<i8")],
}
TEXTS: dict[StreamId, list[Maker]] = {
    StreamId.PLAIN: [words(2000, 2), words(2000, 6)],
    StreamId.CONSTANT: [equal_words],
    StreamId.DICTIONARY: [words(200, 1)],
    StreamId.FSST: [words(2000, 2), words(2000, 6)],
    StreamId.SNAPPY: [words(2000, 2), words(2000, 6)],
    StreamId.ZSTD: [words(2000, 2), words(2000, 6)],
}


@dataclass
class Block:
    """A block to read: its values, the bytes of its strings, its inner streams, and the fastest reading so far."""

    kind: Kind
    count: int
    text: int
    inner: list[tuple[StreamId, Kind, int, int]]
    read: Callable[[], object]
    fastest: float = float("inf")


def written(stream: StreamId, kind: Kind, values: Values) -> Block:
    """A block of `values`."""
    recipe = ENCODINGS[stream].fixed(Sample([values], [values]), kind, Typical())
    writer = PageWriter(trace=[])
    writer.write(values, kind, recipe)  # what the blocks of a page share is written, and read, only once
    assert writer.trace is not None
    writer.trace.clear()
    data = writer.write(values, kind, recipe)
    *inner, (outer, _, count, text) = writer.trace
    assert outer is stream, f"{outer.name} was written for {stream.name}"
    views = SharedViews([memoryview(slot) for slot in writer.shared.slots], path="block", base=0)
    return Block(kind, count, text, inner, lambda: PageReader(views).read(Cursor(data), count, kind))


def time_all(blocks: Sequence[Block], rounds: int) -> None:
    """Read every block a few times in every round: what disturbs a round spares others."""
    for _ in range(rounds):
        for block in blocks:
            for _ in range(CALLS):
                start = perf_counter_ns()
                block.read()
                block.fastest = min(block.fastest, perf_counter_ns() - start)


def size_of(stream: StreamId, kind: Kind, count: int) -> int:
    """What the second figure counts."""
    return count * kind.dtype.itemsize if stream in BY_BYTES else count


def own_time(block: Block, costs: dict[StreamId, Cost]) -> float:
    """Nanoseconds, less what the inner streams cost by the table."""
    time = block.fastest
    for stream, kind, count, text in block.inner:
        each, value, byte = costs[stream]
        time -= each + value * size_of(stream, kind, count) + byte * text
    return time


def numbers_cost(stream: StreamId, blocks: Sequence[Block], costs: dict[StreamId, Cost]) -> Cost:
    """The first two figures by least squares, neither negative."""
    sizes = np.array([size_of(stream, block.kind, block.count) for block in blocks], np.float64)
    times = np.array([own_time(block, costs) for block in blocks])
    spread = sizes - sizes.mean()
    slope = max(0.0, float(spread @ times / (spread @ spread)))
    return Cost(max(0.0, float(times.mean() - slope * sizes.mean())), slope)


def texts_cost(stream: StreamId, blocks: Sequence[Block], costs: dict[StreamId, Cost]) -> Cost:
    """All three figures of an encoding of strings; the first two are those of numbers where it takes both."""
    times = np.array([own_time(block, costs) for block in blocks])
    table = np.array([(1.0, block.count, block.text) for block in blocks])
    if stream in costs:
        known = costs[stream]
        left = times - table[:, :2] @ known[:2]
        sizes = table[:, 2]
        return Cost(known.stream, known.value, max(0.0, float(sizes @ left / (sizes @ sizes))))
    found = np.linalg.lstsq(table, times, rcond=None)[0]
    return Cost(*(max(0.0, float(figure)) for figure in found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=60, help="how often every block is read, five times each"
    )
    rounds = parser.parse_args().rounds
    numbers = {
        stream: [written(stream, kind_of(code), make(size)) for code, make in cases for size in SIZES]
        for stream, cases in NUMBERS.items()
        if cases
    }
    texts = {
        stream: [written(stream, STRINGS, make(size)) for make in cases for size in SIZES]
        for stream, cases in TEXTS.items()
    }
    time_all([block for group in (numbers, texts) for blocks in group.values() for block in blocks], rounds)
    costs: dict[StreamId, Cost] = {}
    for stream, blocks in numbers.items():
        costs[stream] = numbers_cost(stream, blocks, costs)
    for stream, blocks in texts.items():
        costs[stream] = texts_cost(stream, blocks, costs)
    print("DECODE_COST: dict[StreamId, tuple[float, float, float]] = {")
    for stream in NUMBERS:
        cost = costs[stream]
        print(
            f"    StreamId.{stream.name}: ({round(cost.stream, -2):.0f}, {cost.value:.2f}, {cost.byte:.2f}),"
        )
    print("}")


if __name__ == "__main__":
    main()
