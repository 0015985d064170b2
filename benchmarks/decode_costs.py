"""What does decoding cost? Measures `DECODE_COST` of `lance_fmt.encodings.select`: `python -m benchmarks.decode_costs`.

For each encoding: nanoseconds for a stream, for a value, and for a byte of a string, in the form of that table. They
are fitted by least squares to the fastest of many reads of blocks of different sizes; what the streams inside a
stream cost by the lines above its own is taken off first. Values of PLAIN, SNAPPY and ZSTD count for each of their
bytes, as the table does. Run it a few times on an idle machine and keep the smallest figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from lance_fmt.constants import StreamId
from lance_fmt.encodings import ENCODINGS
from lance_fmt.encodings.protocol import STRINGS, Kind, Recipe, Sample, Strings, Values, kind_of
from lance_fmt.encodings.streams import PageReader, PageWriter, SharedViews
from lance_fmt.wire import Cursor

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


def fastest(call: Callable[[], object], seconds: float) -> float:
    """Nanoseconds of the fastest of the calls that fit into a time, of which there are ten at least."""
    best, calls = float("inf"), 0
    stop = perf_counter_ns() + seconds * 1e9
    while calls < 10 or perf_counter_ns() < stop:
        start = perf_counter_ns()
        call()
        best = min(best, perf_counter_ns() - start)
        calls += 1
    return best


def measured(
    stream: StreamId, kind: Kind, values: Values, costs: dict[StreamId, Cost], seconds: float
) -> tuple[int, int, float]:
    """Values, bytes of strings, and nanoseconds that the outer stream takes by itself."""
    recipe = ENCODINGS[stream].fixed(Sample([values], [values]), kind, Typical())
    writer = PageWriter(trace=[])
    writer.write(values, kind, recipe)  # what the blocks of a page share is written, and read, only once
    assert writer.trace is not None
    writer.trace.clear()
    data = writer.write(values, kind, recipe)
    *inner, (written, _, count, text) = writer.trace
    assert written is stream, f"{written.name} was written for {stream.name}"
    views = SharedViews([memoryview(slot) for slot in writer.shared.slots], path="block", base=0)
    time = fastest(lambda: PageReader(views).read(Cursor(data), count, kind), seconds)
    for name, child, number, size in inner:
        cost = costs[name]
        scale = child.dtype.itemsize if name in BY_BYTES else 1
        time -= cost.stream + cost.value * number * scale + cost.byte * size
    return count, text, time


def fitted(rows: list[tuple[float, float]]) -> tuple[float, float]:
    """Intercept and slope of (size, time) by least squares, neither negative."""
    sizes, times = np.array(rows).T
    spread = sizes - sizes.mean()
    slope = max(0.0, float(spread @ times / (spread @ spread)))
    return max(0.0, float(times.mean() - slope * sizes.mean())), slope


def numbers_cost(stream: StreamId, costs: dict[StreamId, Cost], seconds: float) -> Cost:
    """The first two figures."""
    rows = []
    for code, make in NUMBERS[stream]:
        kind = kind_of(code)
        scale = kind.dtype.itemsize if stream in BY_BYTES else 1
        for size in SIZES:
            count, _, time = measured(stream, kind, make(size), costs, seconds)
            rows.append((float(count * scale), time))
    return Cost(*fitted(rows))


def texts_cost(stream: StreamId, costs: dict[StreamId, Cost], seconds: float) -> Cost:
    """All three figures of an encoding of strings; the first two are those of numbers where it takes both."""
    rows = [measured(stream, STRINGS, make(size), costs, seconds) for make in TEXTS[stream] for size in SIZES]
    if stream is not StreamId.FSST:
        known = costs[stream]
        left = [(float(text), time - known.stream - known.value * count) for count, text, time in rows]
        return Cost(known.stream, known.value, fitted(left)[1])
    table: Any = np.array([(1.0, count, text, time) for count, text, time in rows])
    found = np.linalg.lstsq(table[:, :3], table[:, 3], rcond=None)[0]
    return Cost(*(max(0.0, float(figure)) for figure in found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.05, help="time to read each block for")
    seconds = parser.parse_args().seconds
    costs: dict[StreamId, Cost] = {}
    for stream in NUMBERS:
        if NUMBERS[stream]:
            costs[stream] = numbers_cost(stream, costs, seconds)
    for stream in TEXTS:
        costs[stream] = texts_cost(stream, costs, seconds)
    print("DECODE_COST: dict[StreamId, tuple[float, float, float]] = {")
    for stream in NUMBERS:
        cost = costs[stream]
        print(
            f"    StreamId.{stream.name}: ({round(cost.stream, -2):.0f}, {cost.value:.2f}, {cost.byte:.2f}),"
        )
    print("}")


if __name__ == "__main__":
    main()
