"""Vectors of bits under Hamming beside faiss, in the same run on one core: `python -m benchmarks.binary`.

Each row is one index at one setting: queries a second of processor time at the recall it reaches, and how that
compares with the peer of the row. A round takes each batch of queries through every engine in turn, and a batch counts
with its best round, as the machine may be shared. Recall is counted by distance: a result counts where it is no
farther than the tenth true neighbour. `--json FILE` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from benchmarks.shared import DATA
from vego.index import HnswIndex, LshIndex, Metric, exact_search
from vego_tools.bench import machine

K = 10
BATCH = 20
EFFORTS = (32, 64, 128, 256)
BUCKETS = (1, 10, 40, 160)
Search = Callable[[np.ndarray], np.ndarray]  # packed queries -> distances (m, K)


@dataclass(frozen=True)
class Data:
    """Packed rows and queries, and the distance of the k-th true neighbour of each query (m, 1)."""

    name: str
    rows: np.ndarray
    queries: np.ndarray
    limit: np.ndarray

    @property
    def dimension(self) -> int:
        """Bits of a row."""
        return 8 * int(self.rows.shape[1])

    def recall(self, distances: np.ndarray) -> float:
        """The share of results that are near enough."""
        return float((distances <= self.limit).mean())


def load(name: str, folder: Path, queries: int, rows: int | None) -> Data:
    """The signs of real embeddings, or clustered bits of chance (256 of them, `rows` or 100,000)."""
    if name == "debian-packages":
        vectors = np.load(folder / name / "vectors_f16.npy")[:rows] > 0
        asked = np.load(folder / name / "queries_f32.npy")[:queries] > 0
    else:
        random = np.random.default_rng(0)
        count = rows or 100_000
        centres = random.random((count // 100 + 1, 256)) < 0.5
        picks = random.integers(0, len(centres), count + queries)
        bits = centres[picks] ^ (random.random((count + queries, 256)) < 0.2)
        vectors, asked = bits[:count], bits[count:]
    packed, wanted = np.packbits(vectors, axis=1), np.packbits(asked, axis=1)
    _, distances = exact_search(Metric.HAMMING, packed, None, wanted, K)
    return Data(name, packed, wanted, distances[:, -1:])


def vego_graph(data: Data) -> tuple[HnswIndex, float]:
    """A graph, and the seconds it took to build it."""
    HnswIndex(Metric.HAMMING, data.dimension).extend(data.rows, None, min(2_000, len(data.rows)), threads=1)
    index = HnswIndex(Metric.HAMMING, data.dimension)
    started = process_time()
    index.extend(data.rows, None, len(data.rows), threads=1)
    return index, process_time() - started


def vego_tables(data: Data) -> tuple[LshIndex, float]:
    """Hash tables, and the seconds it took to build them."""
    index = LshIndex(data.dimension)
    started = process_time()
    index.extend(data.rows, None, len(data.rows))
    return index, process_time() - started


def vego_search(data: Data, index: HnswIndex | LshIndex, ef: int) -> Search:
    """A walk, or a look at so many buckets of each table."""
    return lambda queries: index.search_batch(data.rows, None, queries, K, ef=ef, rerank=K)[1]


def faiss_index(data: Data, make: Callable[[Any], Any]) -> tuple[Any, float]:
    """An index of faiss, and the seconds it took to build it."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = make(faiss)
    started = process_time()
    index.add(data.rows)
    return index, process_time() - started


def faiss_search(index: Any, prepare: Callable[[Any], None] | None = None) -> Search:
    """A search, after setting how hard it is to look."""

    def search(queries: np.ndarray) -> np.ndarray:
        if prepare is not None:
            prepare(index)
        distances, labels = index.search(queries, K)
        found: np.ndarray = np.where(labels >= 0, distances, 1 << 30)
        return found

    return search


def cases(data: Data) -> tuple[dict[str, tuple[Search, str]], dict[str, float]]:
    """(search, its peer) of each row, and seconds to build each index."""
    found: dict[str, tuple[Search, str]] = {}
    seconds: dict[str, float] = {}
    flat, _ = faiss_index(data, lambda faiss: faiss.IndexBinaryFlat(data.dimension))
    found["faiss flat"] = (faiss_search(flat), "")
    scan = lambda queries: exact_search(Metric.HAMMING, data.rows, None, queries, K)[1]  # noqa: E731
    found["vego flat"] = (scan, "faiss flat")
    graph, seconds["faiss hnsw"] = faiss_index(data, lambda faiss: _faiss_graph(faiss, data.dimension))
    own, seconds["vego hnsw"] = vego_graph(data)
    for ef in EFFORTS:
        name = f"hnsw, ef {ef}"
        found[f"faiss {name}"] = (faiss_search(graph, lambda index, ef=ef: _set_ef(index, ef)), "")
        found[f"vego {name}"] = (vego_search(data, own, ef), f"faiss {name}")
    bits = max(8, int(np.log2(len(data.rows))))
    tables = data.dimension // bits
    hashes, seconds["faiss multi-hash"] = faiss_index(
        data, lambda faiss: faiss.IndexBinaryMultiHash(data.dimension, tables, bits)
    )
    own_tables, seconds["vego lsh"] = vego_tables(data)
    for ef in BUCKETS:
        found[f"vego lsh, {ef} buckets"] = (vego_search(data, own_tables, ef), "vego flat")
    for flips in (0, 1, 2):
        name = f"faiss multi-hash, {flips} flips"
        found[name] = (
            faiss_search(hashes, lambda index, flips=flips: setattr(index, "nflip", flips)),
            "vego flat",
        )
    return found, seconds


def _faiss_graph(faiss: Any, dimension: int) -> Any:
    index = faiss.IndexBinaryHNSW(dimension, 16)
    index.hnsw.efConstruction = 128
    return index


def _set_ef(index: Any, ef: int) -> None:
    index.hnsw.efSearch = ef


def measure(data: Data, rounds: int) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The figures of each row, and seconds to build."""
    found, seconds = cases(data)
    parts = [data.queries[low : low + BATCH] for low in range(0, len(data.queries), BATCH)]
    best = {name: [float("inf")] * len(parts) for name in found}
    recalls = {name: data.recall(search(data.queries)) for name, (search, _) in found.items()}
    for _ in range(rounds):
        for number, part in enumerate(parts):
            for name, (search, _) in found.items():
                started = process_time()
                search(part)
                best[name][number] = min(best[name][number], process_time() - started)
    speed = {name: len(data.queries) / sum(times) for name, times in best.items()}
    rows = []
    for name, (_, peer) in found.items():
        row: dict[str, Any] = {"name": name, "recall": recalls[name], "queries_per_second": speed[name]}
        if peer:
            row |= {"peer": peer, "ratio": speed[name] / speed[peer], "peer_recall": recalls[peer]}
        rows.append(row)
    return rows, seconds


def table(rows: Sequence[dict[str, Any]], seconds: dict[str, float]) -> list[str]:
    """The lines that show them."""
    lines = [f"{'':<28}{'recall@10':>10}{'queries/s':>11}{'ratio':>8}  peer"]
    for row in rows:
        peer = f"{row['ratio']:>7.2f}x  {row['peer']} at {row['peer_recall']:.4f}" if "peer" in row else ""
        lines.append(f"{row['name']:<28}{row['recall']:>10.4f}{row['queries_per_second']:>11,.0f}{peer}")
    built = ", ".join(f"{name} {took:.1f}" for name, took in seconds.items())
    return [*lines, f"seconds to build: {built}"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.binary", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA, help="where the data sets are")
    parser.add_argument(
        "--data", action="append", choices=("debian-packages", "clusters"), help="default: both"
    )
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rows", type=int, help="use only so many rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args(arguments)
    kept: list[dict[str, Any]] = []
    for name in options.data or ("debian-packages", "clusters"):
        data = load(name, options.folder, options.queries, options.rows)
        print(f"{name}: {len(data.rows):,} x {data.dimension} bits, {len(data.queries)} queries", flush=True)
        rows, seconds = measure(data, options.rounds)
        print("\n".join(table(rows, seconds)), flush=True)
        kept.append(
            {
                "data": name,
                "rows": len(data.rows),
                "bits": data.dimension,
                "seconds": seconds,
                "figures": rows,
            }
        )
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine.describe(), "runs": kept}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    machine.pin(1)
    raise SystemExit(main())
