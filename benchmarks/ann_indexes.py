"""Kinds of index beside those of faiss, at equal effort in the same run: `python -m benchmarks.ann_indexes`.

Each row is one kind at one setting: queries a second of processor time at the recall it reaches, and how that
compares with the peer of the row. A round takes each batch of queries through every engine in turn, and a batch counts
with its best round, as the machine may be shared. Recall is counted by distance, as in `benchmarks.run`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks.shared import DATA
from vego.index import IvfIndex, Metric, exact_search
from vego_tools.bench import machine

K = 10
BATCH = 20
Search = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Data:
    """Rows, queries, their metric, and the distance of the k-th true neighbour of each query."""

    name: str
    metric: Metric
    vectors: np.ndarray
    norms: np.ndarray
    queries: np.ndarray
    limit: np.ndarray

    def recall(self, slots: np.ndarray) -> float:
        """The share of results no further than the k-th true neighbour."""
        rows = self.vectors[np.maximum(slots, 0)]
        if self.metric is Metric.L2:
            distances = np.linalg.norm(rows - self.queries[:, None], axis=2)
        else:
            distances = 1 - np.einsum("nkd,nd->nk", rows, self.queries)
        return float(((distances <= self.limit * (1 + 1e-5) + 1e-5) & (slots >= 0)).mean())


def load(name: str, folder: Path, queries: int, rows: int | None) -> Data:
    """A data set of shared/data; cosine data come normalised, as faiss has no cosine."""
    if name == "debian-packages":
        metric = Metric.COSINE
        vectors = np.load(folder / name / "vectors_f16.npy").astype(np.float32)
        asked = np.load(folder / name / "queries_f32.npy")[:queries]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        asked = np.ascontiguousarray(asked / np.linalg.norm(asked, axis=1, keepdims=True), np.float32)
    else:
        metric = Metric.L2
        with np.load(folder / name / "mnist.npz") as file:
            vectors, asked = file["base"].astype(np.float32), file["queries"][:queries].astype(np.float32)
    vectors = np.ascontiguousarray(vectors[:rows])
    lengths = np.linalg.norm(vectors, axis=1)
    norms = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(np.float32)
    _, distances = exact_search(metric, vectors, norms, asked, K)
    return Data(name, metric, vectors, norms, asked, distances[:, -1:])


def vego_flat(data: Data) -> Search:
    """The exact scan in float32."""
    return lambda queries: exact_search(data.metric, data.vectors, data.norms, queries, K)[0]


def vego_lists(data: Data, code: str, lists: int) -> tuple[IvfIndex, float]:
    """Inverted lists, and the seconds it took to build them."""
    IvfIndex(data.metric, data.vectors.shape[1], code, lists).extend(
        data.vectors, data.norms, 1000, threads=1
    )
    index = IvfIndex(data.metric, data.vectors.shape[1], code, lists)
    started = process_time()
    index.extend(data.vectors, data.norms, len(data.vectors), threads=1)
    return index, process_time() - started


def vego_search(data: Data, index: IvfIndex, nprobe: int) -> Search:
    """A search of some lists."""
    return lambda queries: index.search_batch(data.vectors, data.norms, queries, K, nprobe=nprobe)[0]


@dataclass(frozen=True)
class Peer:
    """An index of faiss, and the one it refines or itself."""

    index: object
    base: object


def faiss_index(data: Data, factory: str, refine: bool) -> tuple[Peer, float]:
    """An index under L2, which orders as cosine does where rows have length 1; and seconds to build."""
    import faiss

    faiss.omp_set_num_threads(1)
    started = process_time()
    base = faiss.index_factory(data.vectors.shape[1], factory)
    index = faiss.IndexRefineFlat(base) if refine else base
    index.train(data.vectors)
    index.add(data.vectors)
    return Peer(index, base), process_time() - started


def faiss_search(peer: Peer, nprobe: int, factor: float) -> Search:
    """A search of some lists, `factor` k of the results refined."""

    def search(queries: np.ndarray) -> np.ndarray:
        if hasattr(peer.base, "nprobe"):
            peer.base.nprobe = nprobe
        if hasattr(peer.index, "k_factor"):
            peer.index.k_factor = factor
        return peer.index.search(queries, K)[1]

    return search


def cases(data: Data) -> tuple[dict[str, tuple[Search, str]], dict[str, float]]:
    """(search, its peer) of each row, and seconds to build each index."""
    groups = -(-data.vectors.shape[1] // 2)
    found: dict[str, tuple[Search, str]] = {"vego flat float32": (vego_flat(data), "faiss flat float32")}
    seconds: dict[str, float] = {}

    def peer(name: str, factory: str, refine: bool) -> Peer:
        index, seconds[name] = faiss_index(data, factory, refine)
        return index

    found["faiss flat float32"] = (faiss_search(peer("faiss flat float32", "Flat", False), 0, 0), "")
    scan = faiss_search(peer("faiss flat pq", f"PQ{groups}x4fs", True), 0, 3)
    eight = faiss_search(peer("faiss flat sq8", "SQ8", True), 0, 2)
    for code, search, name in (("pq", scan, "faiss flat pq"), ("sq8", eight, "faiss flat sq8")):
        found[name] = (search, "faiss flat float32")
        index, seconds[f"vego flat {code}"] = vego_lists(data, code, 1)
        found[f"vego flat {code}"] = (vego_search(data, index, 1), name)
    for code in ("rabitq", "f16", "bf16"):
        index, seconds[f"vego flat {code}"] = vego_lists(data, code, 1)
        found[f"vego flat {code}"] = (vego_search(data, index, 1), "faiss flat float32")
    index, seconds["vego ivf pq"] = vego_lists(data, "pq", 0)
    lists = index.lists
    other = peer("faiss ivf pq", f"IVF{lists},PQ{groups}x4fs", True)
    plain, seconds["vego ivf flat"] = vego_lists(data, "flat", 0)
    plain_peer = peer("faiss ivf flat", f"IVF{lists},Flat", False)
    for nprobe in (8, 16, 32, 64):
        found[f"vego ivf pq, {nprobe} lists"] = (
            vego_search(data, index, nprobe),
            f"faiss ivf pq, {nprobe} lists",
        )
        found[f"faiss ivf pq, {nprobe} lists"] = (faiss_search(other, nprobe, 3), "")
    found["vego ivf flat, 16 lists"] = (vego_search(data, plain, 16), "faiss ivf flat, 16 lists")
    found["faiss ivf flat, 16 lists"] = (faiss_search(plain_peer, 16, 0), "")
    return found, seconds


def measure(data: Data, rounds: int) -> list[str]:
    """The lines of a table."""
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
    lines = [f"{'':<26}{'recall@10':>10}{'queries/s':>11}{'ratio':>8}  peer"]
    for name, (_, peer) in found.items():
        ratio = f"{speed[name] / speed[peer]:>7.2f}x  {peer} at {recalls[peer]:.4f}" if peer else ""
        lines.append(f"{name:<26}{recalls[name]:>10.4f}{speed[name]:>11,.0f}{ratio}")
    built = ", ".join(f"{name} {took:.1f}" for name, took in seconds.items())
    return [*lines, f"seconds to build: {built}"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ann_indexes", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA, help="where the data sets are")
    parser.add_argument(
        "--data", action="append", choices=("debian-packages", "mnist-784"), help="default: both"
    )
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rows", type=int, help="use only so many rows")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    for name in options.data or ("debian-packages", "mnist-784"):
        data = load(name, options.folder, options.queries, options.rows)
        rows, dimension = data.vectors.shape
        print(f"{name}: {rows:,} x {dimension}, {data.metric.value}, {len(data.queries)} queries", flush=True)
        print("\n".join(measure(data, options.rounds)), flush=True)
    return 0


if __name__ == "__main__":
    machine.pin(1)
    raise SystemExit(main())
