"""What deletes leave of recall and speed: `python -m benchmarks.deletes`.

A graph of all rows loses some of them and is asked beside a graph built from what is left, at equal ef: recall by
distance, and queries/s of one core with rounds interleaved, of which the best counts. In the rows `again` the rows
deleted come back at the end, beside a graph built of the same rows in that order.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from benchmarks.ann.data import NAMES, Dataset, K, limits, prepare
from vego.index import HnswIndex, Metric
from vego_tools.bench import machine

EFS = (32, 64, 128, 256)


class Rows:
    """Vectors in the order in which an index has them, and which rows of the data set they are."""

    def __init__(self, data: Dataset, rows: np.ndarray) -> None:
        self.data = data
        self.metric = Metric.parse(data.metric)
        self.rows = rows
        self.vectors = np.ascontiguousarray(data.vectors[rows])
        lengths = np.maximum(np.linalg.norm(self.vectors, axis=1), 1e-30)
        self.norms = (1 / lengths).astype(np.float32) if data.metric == "cosine" else None

    def built(self) -> HnswIndex:
        """A graph of all."""
        index = HnswIndex(self.metric, self.vectors.shape[1])
        index.extend(self.vectors, self.norms, len(self.rows), threads=1)
        return index

    def search(self, index: HnswIndex, ef: int) -> np.ndarray:
        """Row numbers in the data set (m, k)."""
        slots, _ = index.search_batch(self.vectors, self.norms, self.data.queries, K, ef=ef)
        return self.rows[slots]


def left(data: Dataset, rows: np.ndarray) -> Dataset:
    """The data set with the distances to the k-th neighbours among `rows` alone."""
    return replace(data, limits=limits(data.vectors[rows], data.queries, data.metric))


def compare(
    name: str, data: Dataset, mended: tuple[Rows, HnswIndex], fresh: tuple[Rows, HnswIndex], rounds: int
) -> None:
    """Print recall and rate of both at each ef."""
    for ef in EFS:
        best = [float("inf"), float("inf")]
        recall = [0.0, 0.0]
        for number in range(rounds + 1):
            for place, (rows, index) in enumerate((mended, fresh)):
                start = perf_counter()
                found = rows.search(index, ef)
                if number:
                    best[place] = min(best[place], perf_counter() - start)
                else:
                    recall[place] = data.recall(found)
        print(
            f"{name:<22}{ef:>5}{recall[0]:>9.4f}{recall[1]:>9.4f}{(recall[0] - recall[1]) * 100:>+9.2f}"
            f"{best[1] / best[0]:>9.2f} x"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deletes", description=__doc__)
    parser.add_argument("--data", choices=NAMES, default="debian-packages")
    parser.add_argument("--rows", type=int, help="only the first ROWS rows")
    parser.add_argument("--queries", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    machine.pin(1)
    data = prepare(options.data, options.rows, options.queries)
    count = len(data.vectors)
    everything = Rows(data, np.arange(count))
    whole = everything.built()
    print(f"{data.name}: {count:,} x {data.vectors.shape[1]}, {data.metric}, {len(data.queries)} queries")
    print(f"{'deleted':<22}{'ef':>5}{'recall':>9}{'fresh':>9}{'points':>9}{'speed':>9}")
    for share in (0.3, 0.5):
        gone = np.random.default_rng(7).random(count) < share
        kept, back = np.flatnonzero(~gone), np.flatnonzero(gone)
        remaining = Rows(data, kept)
        mended = whole.without(gone, threads=1)
        compare(
            f"{share:.0%}",
            left(data, kept),
            (remaining, mended),
            (remaining, remaining.built()),
            options.rounds,
        )
        again = Rows(data, np.concatenate([kept, back]))
        mended.extend(again.vectors, again.norms, count, threads=1)
        compare(f"{share:.0%} and again", data, (again, mended), (again, again.built()), options.rounds)


if __name__ == "__main__":
    main()
