"""Scan or walk? Measures what `WALK_COST` of `vego.index.hnsw.search` claims: `python -m benchmarks.planner`.

For masks of random rows and for masks that keep what is far from one point, prints the median time of a scan of the
accepted rows' codes and of a walk past the others, the recall of the walk, what a walk costs in scanned rows for each
candidate held and share accepted (the constant should be about its median), and what the planner picks.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from benchmarks.shared import default_source
from vego.index import HnswIndex, Metric, exact_search, scan_is_cheaper
from vego.index.hnsw.search import WALK_COST
from vego_tools.bench import machine
from vego_tools.bench.data import K, prepare

EF = 64
RERANK = 20
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


def timed(call: Callable[[int], object], count: int) -> float:
    """Median time of call(0), call(1), ... in microseconds."""
    times = []
    for number in range(count):
        start = perf_counter()
        call(number)
        times.append(perf_counter() - start)
    return statistics.median(times) * 1e6


class Bench:
    """One index, and both ways to search it under a mask."""

    def __init__(self, vectors: np.ndarray, queries: np.ndarray) -> None:
        self.vectors, self.queries = vectors, queries
        self.norms = (1 / np.linalg.norm(vectors, axis=1)).astype(np.float32)
        self.index = HnswIndex(Metric.COSINE, vectors.shape[1])
        self.index.extend(vectors, self.norms, len(vectors))

    def scan(self, accept: np.ndarray, number: int) -> None:
        """Scan the accepted rows."""
        rows = np.flatnonzero(accept).astype(np.uint32)
        self.index.scan_codes(self.vectors, self.norms, self.queries[number], K, RERANK, rows)

    def walk(self, accept: np.ndarray, number: int) -> np.ndarray:
        """Walk past the others, at any cost; distances (k,)."""
        slots, distances = np.empty((1, K), np.int64), np.empty((1, K), np.float32)
        search = self.index._search(self.vectors, self.norms, EF, RERANK)
        query = np.ascontiguousarray(self.queries[number : number + 1])
        search.walk_accepted(query, slots, distances, 1, accept, len(self.vectors))
        return distances[0]

    def line(self, share: float, kind: str, accept: np.ndarray, count: int) -> tuple[str, float]:
        """A line of the table, and the cost of the walk."""
        accepted, rows = int(accept.sum()), len(accept)
        scan = timed(lambda number: self.scan(accept, number), count)
        walk = timed(lambda number: self.walk(accept, number), count)
        _, truth = exact_search(
            Metric.COSINE, self.vectors, self.norms, self.queries[:count], K, accept=accept
        )
        found = np.stack([self.walk(accept, number) for number in range(count)])
        recall = float((found <= truth[:, -1:] + 1e-5).mean())
        cost = walk / (scan / accepted) / EF * (accepted / rows)
        picked = "scan" if scan_is_cheaper(accepted, rows, EF) else "walk"
        right = "" if picked == ("scan" if scan <= walk else "walk") else "  (the other was faster)"
        return f"{share:6.0%}  {kind:<7}{scan:9.0f}{walk:9.0f}{recall:9.3f}{cost:9.0f}  {picked}{right}", cost


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.planner", description=__doc__)
    parser.add_argument("--data", default=default_source(), help="as for benchmarks.run")
    parser.add_argument("--rows", type=int, help="use only so many rows")
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args(arguments)
    dataset = prepare(options.data, options.rows, options.queries)
    vectors = dataset.rows.vectors
    bench = Bench(vectors, dataset.queries)
    rng = np.random.default_rng(1)
    near = vectors @ vectors[len(vectors) // 2]
    print(f"{len(vectors):,} x {vectors.shape[1]}, ef={EF}, WALK_COST={WALK_COST}")
    print(" share  mask     scan us  walk us   recall     cost  picked")
    costs = []
    for share in SHARES:
        for kind, accept in (
            ("random", rng.random(len(vectors)) < share),
            ("far", near <= np.quantile(near, share)),
        ):
            text, cost = bench.line(share, kind, accept, len(dataset.queries))
            costs.append(cost)
            print(text, flush=True)
    print(f"median cost {statistics.median(costs):.0f}")
    return 0


if __name__ == "__main__":
    machine.pin(1)
    raise SystemExit(main())
