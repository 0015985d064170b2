"""The exact scan against the limits of the machine: `python -m benchmarks.scans`.

One core. `bandwidth` is the rate at which the same core sums the same float32 array; a scan for one query can be no
faster. `naive` is what the formula says, compiled: one multiplication and addition after the other, in order;
`distances` is as many by the kernel of Vego, `scan` a search, which keeps the k nearest. Tasks take turns, round by
round, and each counts with its best round; ratios are within the run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numba
import numpy as np

from lance_fmt.kernels.decorator import distance_kernel
from vego.index import IvfIndex, Metric, exact_search
from vego.index.kernels.scoring import SQUARES, row_address, row_sum
from vego_tools.bench import machine

K = 10
QUERIES = 32


@numba.njit
def naive(vectors: np.ndarray, query: np.ndarray, out: np.ndarray) -> None:
    """Squared distances in float32, in the order of the formula."""
    for row in range(vectors.shape[0]):
        total = np.float32(0)
        for place in range(vectors.shape[1]):
            difference = vectors[row, place] - query[place]
            total += difference * difference
        out[row] = total


@distance_kernel
def distances(vectors: np.ndarray, query: np.ndarray, out: np.ndarray) -> None:
    """The same, as Vego sums them."""
    for row in range(vectors.shape[0]):
        out[row] = row_sum(SQUARES, None, row_address(vectors, np.uint32(row)), query)


@numba.njit(fastmath={"reassoc", "contract"})
def read_all(vectors: np.ndarray) -> np.float32:
    """Every value once, added in any order, which is less than any distance can do."""
    flat = vectors.reshape(-1)
    total = np.float32(0)
    for place in range(np.uint64(flat.shape[0])):
        total += flat[place]
    return total


def best(tasks: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Seconds of the best round of each; one round more comes first, for compiling and mapping."""
    seconds = dict.fromkeys(tasks, float("inf"))
    for number in range(rounds + 1):
        for name, task in tasks.items():
            start = perf_counter()
            task()
            taken = perf_counter() - start
            if number:
                seconds[name] = min(seconds[name], taken)
    return seconds


def tasks_of_faiss(vectors: np.ndarray, queries: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Its exact scans, where it is installed."""
    try:
        import faiss
    except ImportError:
        print("faiss is not installed: pip install 'vego[bench]'")
        return {}
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatL2(vectors.shape[1])
    flat.add(vectors)
    return {
        "faiss, one query": lambda: flat.search(queries[:1], K),
        "faiss, a batch": lambda: flat.search(queries, K),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scans", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    machine.pin(1)
    rng = np.random.default_rng(1)
    # On a surface of 24 dimensions, as embeddings are: codes must have something to find.
    surface = rng.standard_normal((24, options.dimension), dtype=np.float32)
    vectors = rng.standard_normal((options.rows, 24), dtype=np.float32) @ surface
    queries = rng.standard_normal((QUERIES, 24), dtype=np.float32) @ surface
    codes = IvfIndex(Metric.L2, options.dimension, "sq8", 1)
    codes.extend(vectors, None, options.rows, threads=1)
    out = np.empty(options.rows, np.float32)
    small = vectors[: (1 << 20) // vectors[0].nbytes]  # stays in the cache: the arithmetic alone

    tasks: dict[str, Callable[[], Any]] = {
        "bandwidth": lambda: read_all(vectors),
        "scan, one query": lambda: exact_search(Metric.L2, vectors, None, queries[:1], K),
        "scan, a batch": lambda: exact_search(Metric.L2, vectors, None, queries, K),
        "codes, one query": lambda: codes.search(vectors, None, queries[0], K),
        "codes, a batch": lambda: codes.search_batch(vectors, None, queries, K),
        "scan in cache": lambda: exact_search(Metric.L2, small, None, queries, K),
        "distances in cache": lambda: [distances(small, query, out[: len(small)]) for query in queries],
        "naive in cache": lambda: [naive(small, query, out[: len(small)]) for query in queries],
    }
    tasks |= tasks_of_faiss(vectors, queries)
    seconds = best(tasks, options.rounds)

    exact = exact_search(Metric.L2, vectors, None, queries, K)[0]
    found = codes.search_batch(vectors, None, queries, K)[0]
    recall = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(exact, found, strict=True)])
    print(
        f"{options.rows:,} x {options.dimension} float32, {QUERIES} queries in a batch, k = {K}; "
        f"{machine.describe()['processor']}"
    )
    for name, taken in seconds.items():
        data = small if "in cache" in name else vectors
        passes = 1 if "one" in name or name == "bandwidth" else QUERIES
        print(f"{name:<20}{taken * 1e3:>10.2f} ms{data.nbytes * passes / taken / 1e9:>9.1f} GB/s of float32")
    print(f"recall@{K} of the codes {recall:.3f}")

    def ratio(what: str, better: str, worse: str, target: str) -> None:
        if better in seconds and worse in seconds:
            print(f"{what:<48}{seconds[worse] / seconds[better]:>7.2f} x   {target}")

    ratio("scan of float32 / memory bandwidth", "scan, one query", "bandwidth", ">= 0.8")
    ratio("codes / faiss flat, one query", "codes, one query", "faiss, one query", ">= 2")
    ratio("codes / faiss flat, a batch", "codes, a batch", "faiss, a batch", ">= 2")
    ratio("scan of float32 / faiss flat, one query", "scan, one query", "faiss, one query", "")
    ratio("scan of float32 / faiss flat, a batch", "scan, a batch", "faiss, a batch", "")
    ratio("distances / naive loop, in cache", "distances in cache", "naive in cache", ">= 5")


if __name__ == "__main__":
    main()
