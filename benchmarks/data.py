"""The data set, its exact answers, and how recall is counted.

A data set is a folder with ``vectors_f16.npy`` (n, d), ``queries_f32.npy`` (m, d) and ``meta.jsonl.xz`` (n
objects); ``gt_cosine.npy`` (m, >= k), where present and where all rows are used, must agree with the truth
computed here. Recall is counted by distance, so that duplicates and ties do not decide it: a result counts
if its true cosine distance is at most that of the k-th true neighbour plus 1e-5, and no row counts twice.
"""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lance_fmt
from benchmarks.engines.base import Filter, Rows

K = 10
TOLERANCE = 1e-5
SEED = 20240917
DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "debian-packages"
SAMPLE = Path(__file__).resolve().parents[1] / "tools" / "demo" / "packages.lfmt"
COLUMNS = (
    "package",
    "source",
    "version",
    "section",
    "priority",
    "architecture",
    "maintainer",
    "title",
    "size",
    "installed_kib",
    "n_depends",
)
Loaded = tuple[str, np.ndarray, np.ndarray, dict[str, list[Any]]]  # name, vectors, queries, metadata
SELECTIVITIES = {"1 %": 0.01, "26 %": 0.26}


@dataclass(frozen=True)
class Dataset:
    """Rows, queries ``(m, d)`` float32, the filters, and every query's k-th true distance under each filter.

    ``limits`` is keyed as ``filters`` is, with ``""`` for no filter; infinite where fewer than k rows match.
    """

    name: str
    rows: Rows
    queries: np.ndarray
    filters: dict[str, Filter]
    limits: dict[str, np.ndarray]

    def matching(self, label: str) -> np.ndarray:
        """Row mask of the filter called ``label``."""
        return mask(self.rows, self.filters[label])

    def save(self, folder: Path) -> None:
        """Write it for the worker processes."""
        np.save(folder / "vectors.npy", self.rows.vectors)
        np.save(folder / "queries.npy", self.queries)
        np.savez(folder / "limits.npz", **{f"limit{key}": value for key, value in self.limits.items()})
        described = {
            "name": self.name,
            "metadata": self.rows.metadata,
            "filters": {key: vars(value) for key, value in self.filters.items()},
        }
        (folder / "dataset.json").write_text(json.dumps(described))

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read what ``save`` wrote."""
        described = json.loads((folder / "dataset.json").read_text())
        vectors = np.load(folder / "vectors.npy")
        with np.load(folder / "limits.npz") as limits:
            return cls(
                name=described["name"],
                rows=Rows([str(i) for i in range(len(vectors))], vectors, described["metadata"]),
                queries=np.load(folder / "queries.npy"),
                filters={key: Filter(**value) for key, value in described["filters"].items()},
                limits={key.removeprefix("limit"): limits[key] for key in limits.files},
            )


def mask(rows: Rows, where: Filter) -> np.ndarray:
    """Which rows match, bool ``(n,)``."""
    values = np.asarray(rows.metadata[where.column])
    return values == where.value if where.operator == "==" else values >= where.value


def default_source() -> str:
    """The shared data where it is, else the sample the demo ships."""
    return str(DEFAULT_FOLDER) if DEFAULT_FOLDER.exists() else "sample"


def prepare(source: str, limit: int | None = None, queries: int | None = None) -> Dataset:
    """The data of ``source`` (a folder, "sample" or "synthetic"), its first ``limit`` rows."""
    truth = None
    if source == "synthetic":
        name, vectors, probes, metadata = synthetic(limit or 30_000, queries or 500)
    elif source == "sample":
        name, vectors, probes, metadata = _sample()
    else:
        name, vectors, probes, metadata = _folder(Path(source))
        exact = Path(source) / "gt_cosine.npy"
        truth = np.load(exact)[:queries, K - 1] if limit is None and exact.exists() else None
    vectors, probes = vectors[:limit], probes[:queries]
    metadata = {column: values[:limit] for column, values in metadata.items()}
    rows = Rows([str(i) for i in range(len(vectors))], vectors, metadata)
    filters = choose_filters(rows)
    limits = {"": kth_distance(vectors, probes, np.ones(len(vectors), bool))}
    limits |= {label: kth_distance(vectors, probes, mask(rows, where)) for label, where in filters.items()}
    if truth is not None and not np.allclose(1 - truth, limits[""], atol=1e-5):
        raise ValueError(f"{source}: gt_cosine.npy does not agree with vectors_f16.npy and queries_f32.npy")
    return Dataset(name, rows, probes, filters, limits)


def _folder(folder: Path) -> Loaded:
    vectors = np.load(folder / "vectors_f16.npy").astype(np.float32)
    with lzma.open(folder / "meta.jsonl.xz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    metadata = {column: [record[column] for record in records] for column in COLUMNS}
    return folder.name, vectors, np.load(folder / "queries_f32.npy").astype(np.float32), metadata


def _sample() -> Loaded:
    """The packages the demo ships, every sixteenth held out as a query."""
    with lance_fmt.open(SAMPLE) as file:
        table = file.read(["vector", *(column for column in COLUMNS if column in file.schema)])
    held_out = np.arange(table.num_rows) % 16 == 15
    vectors = table["vector"].to_numpy().astype(np.float32)
    metadata = {
        column: [value for value, out in zip(values.to_pylist(), held_out, strict=True) if not out]
        for column, values in table.items()
        if column != "vector"
    }
    return "debian-sample", vectors[~held_out], vectors[held_out], metadata


def synthetic(
    count: int, queries: int, dimension: int = 96
) -> tuple[str, np.ndarray, np.ndarray, dict[str, list[Any]]]:
    """Seeded Gaussian clusters with the columns of the real data: for machines that do not have it."""
    random = np.random.default_rng(SEED)
    centres = random.standard_normal((max(8, count // 200), dimension))
    picked = random.integers(0, len(centres), count + queries)
    points = (centres[picked] + 0.7 * random.standard_normal((count + queries, dimension))).astype(np.float32)
    metadata: dict[str, list[Any]] = {
        column: [f"{column} {i}" for i in range(count)] for column in COLUMNS[:8]
    }
    metadata["section"] = [f"s{value}" for value in random.geometric(0.08, count)]
    metadata |= {column: random.integers(0, 1_000_000, count).tolist() for column in COLUMNS[8:]}
    return "synthetic", points[:count], points[count:], metadata


def choose_filters(rows: Rows) -> dict[str, Filter]:
    """A string equality that keeps about 1 % of the rows and an integer range that keeps about 26 %."""
    count = len(rows.ids)
    shares = Counter(rows.metadata["section"])
    section = min(shares, key=lambda value: (abs(shares[value] / count - SELECTIVITIES["1 %"]), value))
    threshold = int(np.quantile(np.asarray(rows.metadata["size"]), 1 - SELECTIVITIES["26 %"]))
    return {"1 %": Filter("section", "==", section), "26 %": Filter("size", ">=", threshold)}


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)


def kth_distance(vectors: np.ndarray, queries: np.ndarray, matching: np.ndarray) -> np.ndarray:
    """Cosine distance of every query's k-th nearest matching row, exhaustively; inf where fewer match."""
    candidates = _unit(vectors[matching])
    if len(candidates) < K:
        return np.full(len(queries), np.inf)
    distances = 1 - _unit(queries) @ candidates.T
    return np.partition(distances, K - 1, axis=1)[:, K - 1]


class Judge:
    """Counts recall@k of answers, from row numbers alone: an engine's own distances are not trusted.

    ``expected`` is how many results a query must have: k, or all rows that match if they are fewer.
    """

    def __init__(self, dataset: Dataset, label: str = "") -> None:
        self._vectors = _unit(dataset.rows.vectors)
        self._queries = _unit(dataset.queries)
        self._limits = dataset.limits[label]
        self._matching = dataset.matching(label) if label else None
        self.expected = min(K, int(self._matching.sum())) if self._matching is not None else K

    def recall(self, answers: Sequence[Sequence[int]] | np.ndarray) -> float:
        """Mean recall over the first ``len(answers)`` queries; a row the filter excludes is an error."""
        total = 0.0
        for number, answer in enumerate(answers):
            rows = np.unique([row for row in answer if row >= 0]).astype(np.int64)
            if self._matching is not None and not self._matching[rows].all():
                raise ValueError(f"query {number}: a result does not match the filter")
            near = 1 - self._vectors[rows] @ self._queries[number] <= self._limits[number] + TOLERANCE
            total += min(1.0, int(near.sum()) / self.expected)
        return total / len(answers)
