"""The data sets, their exact answers, and how recall is counted.

A result counts if its true distance is at most that of the k-th true neighbour (plus a hundred-thousandth), and no
row counts twice: duplicates and ties so decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.shared import DATA
from vego_tools.bench.data import SEED, sample

K = 10
TOLERANCE = 1e-5
BLOCK_BYTES = 1 << 28  # of the distances computed at a time
NAMES = ("debian-packages", "mnist-784", "generated")
GENERATED_ROWS = 1_000_000
DIMENSION = 128


@dataclass(frozen=True)
class Dataset:
    """Vectors (n, d), queries (m, d), both float32, and each query's distance (m,) to its k-th nearest row.

    Distances are squared and, under cosine, those of the normalised vectors.
    """

    name: str
    metric: str
    vectors: np.ndarray
    queries: np.ndarray
    limits: np.ndarray

    def save(self, folder: Path) -> None:
        """Write it for the processes of the peers."""
        for field in ("vectors", "queries", "limits"):
            np.save(folder / f"{field}.npy", getattr(self, field))

    @classmethod
    def load(cls, folder: Path, name: str, metric: str) -> Dataset:
        """What `save` wrote, the vectors in memory."""
        arrays = {field: np.load(folder / f"{field}.npy") for field in ("vectors", "queries", "limits")}
        return cls(name, metric, **arrays)

    def recall(self, rows: np.ndarray) -> float:
        """Recall of answers (m, k) of row numbers, -1 where there is none."""
        total = 0
        for number, answer in enumerate(rows):
            found = np.unique(answer[answer >= 0])
            near = _scaled(self.vectors[found], self.metric) - _scaled(
                self.queries[number][None], self.metric
            )
            limit = self.limits[number]
            total += int((np.einsum("ij,ij->i", near, near) <= limit + TOLERANCE * (1 + limit)).sum())
        return total / (len(rows) * K)


def prepare(name: str, rows: int | None, queries: int | None) -> Dataset:
    """The data set of that name, its first `rows` and `queries`, with the exact answers to them."""
    metric, vectors, asked = _read(name, rows)
    vectors = np.ascontiguousarray(vectors[:rows], np.float32)
    asked = np.ascontiguousarray(asked[:queries], np.float32)
    return Dataset(name, metric, vectors, asked, limits(vectors, asked, metric))


def _read(name: str, rows: int | None) -> tuple[str, np.ndarray, np.ndarray]:
    if name == "debian-packages":
        folder = DATA / name
        if folder.exists():
            return "cosine", np.load(folder / "vectors_f16.npy"), np.load(folder / "queries_f32.npy")
        return "cosine", *sample()[1:3]
    if name == "mnist-784":
        with np.load(DATA / name / "mnist.npz") as file:
            return "l2", file["base"], file["queries"]
    return "l2", *generated(rows or GENERATED_ROWS)


def available() -> list[str]:
    """The data sets that this machine has."""
    return [name for name in NAMES if name != "mnist-784" or (DATA / name).exists()]


def generated(rows: int, queries: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Rows and queries of 128 dimensions on a curved surface of 16, in clusters of unlike size, with some noise."""
    random = np.random.default_rng(SEED)
    count, latent = rows + queries, 16
    centres = random.standard_normal((200, latent), dtype=np.float32)
    share = random.pareto(1.5, 200) + 0.1
    picked = random.choice(200, count, p=share / share.sum())
    inner = centres[picked] + 0.6 * random.standard_normal((count, latent), dtype=np.float32)
    first = random.standard_normal((latent, 64), dtype=np.float32) / np.float32(latent**0.5)
    second = random.standard_normal((64, DIMENSION), dtype=np.float32) / np.float32(8)
    points = np.tanh(np.float32(1.5) * inner @ first) @ second
    points += np.float32(0.05) * random.standard_normal((count, DIMENSION), dtype=np.float32)
    return points[:rows], points[rows:]


def _scaled(rows: np.ndarray, metric: str) -> np.ndarray:
    rows = rows.astype(np.float64)
    return (
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30) if metric == "cosine" else rows
    )


def limits(vectors: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    """Candidates by float32 products, their distances in float64: (m,), the k-th smallest."""
    asked = _scaled(queries, metric)
    scale = np.ones(len(vectors), np.float32)
    if metric == "cosine":
        scale = 1 / np.maximum(np.linalg.norm(vectors, axis=1), np.float32(1e-30))
    squares = np.einsum("ij,ij->i", vectors, vectors) * scale * scale
    limits = np.empty(len(queries))
    step = max(1, BLOCK_BYTES // (4 * len(vectors)))
    for first in range(0, len(queries), step):
        block = asked[first : first + step].astype(np.float32)
        distances = squares - 2 * (block @ vectors.T) * scale
        picks = np.argpartition(distances, min(4 * K, len(vectors) - 1), axis=1)[:, : 4 * K]
        for number, rows in enumerate(picks, first):
            near = _scaled(vectors[rows], metric) - asked[number]
            limits[number] = np.sort(np.einsum("ij,ij->i", near, near))[K - 1]
    return limits
