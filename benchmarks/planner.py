"""Scan or walk? Measures what `vego/index/kernels/filter_costs.py` claims: ``python -m benchmarks.planner``.

For masks of random rows and for masks that keep what is far from one point, prints the median time of a scan of the
accepted rows' codes, of walks past the others and through the accepted, with the nodes each scored for a candidate held
and its recall, and what the index does by itself with its time and recall. The last line has the constants: nanoseconds
of a scanned row and of a scored node, and PAST_NODES (nodes x share) and THROUGH_NODES.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from benchmarks.shared import default_source
from vego.index import HnswIndex, Metric, exact_search
from vego.index.kernels import filter_costs
from vego.table.vectors import Vectors
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
        self.known = Vectors.of(vectors, self.norms)
        self.index = HnswIndex(Metric.COSINE, vectors.shape[1])
        self.index.extend(vectors, self.norms, len(vectors))

    def scan(self, accept: np.ndarray, number: int) -> None:
        """Scan the accepted rows."""
        rows = np.flatnonzero(accept).astype(np.uint32)
        self.index.scan_codes(self.vectors, self.norms, self.queries[number], K, RERANK, rows)

    def walk(self, accept: np.ndarray, number: int, through: bool) -> tuple[np.ndarray, int]:
        """One walk, at any cost: distances (k,) and scored nodes."""
        from vego.index.kernels import hnsw_filtered

        search = self.index._search(self.known, EF, RERANK)
        s, rows, accepted = search.snapshot, len(accept), int(accept.sum())
        code = np.empty((1, s.codes.shape[1]), np.int8)
        query = np.ascontiguousarray(self.queries[number])
        inverse = hnsw_filtered.encode_query(1, query, s.frame, s.inverse_step, code[0])
        entry = hnsw_filtered.descend(
            s.codes, s.bias, s.upper, s.upper_start, s.rows, code, s.entry, s.top, 0
        )
        arguments = s.codes, s.bias, s.links, s.rows, code, np.uint32(entry)
        stamps, width = np.zeros(rows + 1, np.uint8), s.links.shape[1]
        if through:
            seeds = np.empty(hnsw_filtered.SEEDS, np.int64)
            seeds = seeds[: hnsw_filtered.sample_accepted(accept, rows, accepted, seeds)]
            best = np.empty(int(EF * widened(accept)), np.int64)
            hops, fresh = np.empty(width, np.uint32), np.empty(2 * width + hnsw_filtered.SEEDS, np.uint32)
            count, scored = hnsw_filtered.walk_through(
                *arguments, seeds, accept, 1 << 40, stamps, np.uint8(1), hops, fresh, best, width
            )
        else:
            pool, best = np.empty(rows, np.int64), np.empty(EF, np.int64)
            keys = np.empty(width + 1, np.int64)
            count, scored = hnsw_filtered.walk_past(
                *arguments, accept, rows, stamps, np.uint8(1), pool, keys, best
            )
        slots, distances = np.empty(K, np.int64), np.empty(K, np.float32)
        exact, order = np.empty(RERANK, np.float32), np.empty(RERANK, np.int64)
        hnsw_filtered.rerank_pool(
            1, search.vectors, search.inverse_norms, query, np.float32(inverse), 0.0, best, min(count, RERANK),
            slots, distances, exact, order,
        )  # fmt: skip
        return distances, scored

    def line(self, share: float, kind: str, accept: np.ndarray, count: int) -> tuple[str, list[float]]:
        """A line of the table, and what the five constants are by it."""
        accepted, rows = int(accept.sum()), len(accept)
        scan = timed(lambda number: self.scan(accept, number), count)
        _, truth = exact_search(
            Metric.COSINE, self.vectors, self.norms, self.queries[:count], K, accept=accept
        )
        limits = truth[:, -1:] + 1e-5
        text, figures = f"{share:6.0%}  {kind:<7}{scan:8.0f}", [1000 * scan / accepted]
        for through in (False, True):
            walk = timed(lambda number, through=through: self.walk(accept, number, through), count)
            found = [self.walk(accept, number, through) for number in range(count)]
            nodes = statistics.mean(scored for _, scored in found)
            recall = float((np.stack([one for one, _ in found]) <= limits).mean())
            text += f"{walk:9.0f}{nodes / EF:7.0f}{recall:7.3f}"
            scale = 1 / widened(accept) if through else accepted / rows
            figures += [1000 * walk / nodes, nodes / EF * scale]

        def own(number: int) -> np.ndarray:
            query = np.ascontiguousarray(self.queries[number])
            found = np.full(K, np.inf, np.float32)
            near = self.index.search(self.vectors, self.norms, query, K, EF, RERANK, accept)[1]
            found[: len(near)] = near
            return found

        taken = timed(own, count)
        recall = float((np.stack([own(number) for number in range(count)]) <= limits).mean())
        return f"{text}{taken:9.0f}{recall:7.3f}", figures


def widened(accept: np.ndarray) -> float:
    """How many times as many candidates a walk through accepted nodes holds."""
    return float(1 + filter_costs.WIDEN / accept.mean())


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
    print(f"{len(vectors):,} x {vectors.shape[1]}, ef={EF}; times in us")
    print(" share  mask       scan     past nodes/ef    through nodes/ef  chosen by itself")
    figures = []
    for share in SHARES:
        for kind, accept in (
            ("random", rng.random(len(vectors)) < share),
            ("far", near <= np.quantile(near, share)),
        ):
            text, measured = bench.line(share, kind, accept, len(dataset.queries))
            if kind == "random":
                figures.append(measured)
            print(text, flush=True)
    row, past, past_nodes, through, through_nodes = map(statistics.median, zip(*figures, strict=True))
    print(
        f"a scanned row {row:.0f} ns, a node {past:.0f} past and {through:.0f} through; "
        f"PAST_NODES {past_nodes:.0f}, THROUGH_NODES {through_nodes:.0f}"
    )
    return 0


if __name__ == "__main__":
    machine.pin(1)
    raise SystemExit(main())
