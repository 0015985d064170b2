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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lance_fmt
from vego.errors import InvalidArgumentError
from vego_tools.bench.engines.base import Filter, Rows
from vego_tools.demo.sample import PACKAGES

K = 10
TOLERANCE = 1e-5
SEED = 20240917
DIMENSION = 96
LEAST_ROWS = 200
MOST_COLUMNS = 12
RESERVED = ("id", "vector")  # what databases call these themselves
PLAIN_TYPES = ("string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float32", "float64")
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
        limits: dict[str, Any] = {f"limit{key}": value for key, value in self.limits.items()}
        np.savez(folder / "limits.npz", **limits)
        described = {
            "name": self.name,
            "metadata": self.rows.metadata,
            "indexed": self.rows.indexed,
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
                rows=Rows(
                    [str(i) for i in range(len(vectors))],
                    vectors,
                    described["metadata"],
                    tuple(described["indexed"]),
                ),
                queries=np.load(folder / "queries.npy"),
                filters={key: Filter(**value) for key, value in described["filters"].items()},
                limits={key.removeprefix("limit"): limits[key] for key in limits.files},
            )


def mask(rows: Rows, where: Filter) -> np.ndarray:
    """Which rows match, bool ``(n,)``."""
    values = np.asarray(rows.metadata[where.column])
    return values == where.value if where.operator == "==" else values >= where.value


def prepare(
    source: str, limit: int | None = None, queries: int | None = None, dimension: int = DIMENSION
) -> Dataset:
    """The data of ``source`` (a file, a folder, "sample" or "generated"), its first ``limit`` rows.

    ``dimension`` is that of generated vectors. Raises InvalidArgumentError where the source cannot be searched.
    """
    truth = None
    if source == "generated":
        name, vectors, probes, metadata = generated(limit or 30_000, queries or 500, dimension)
    elif source == "sample":
        name, vectors, probes, metadata = sample()
    elif Path(source).is_dir():
        name, vectors, probes, metadata = _folder(Path(source))
        exact = Path(source) / "gt_cosine.npy"
        truth = np.load(exact)[:queries, K - 1] if limit is None and exact.exists() else None
    else:
        name, vectors, probes, metadata = from_file(Path(source))
    vectors, probes = vectors[:limit], probes[:queries]
    metadata = {column: values[:limit] for column, values in metadata.items()}
    filters = choose_filters(metadata, len(vectors))
    indexed = tuple(where.column for where in filters.values())
    rows = Rows([str(i) for i in range(len(vectors))], vectors, metadata, indexed)
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


def sample() -> Loaded:
    """The packages the demo ships, every sixteenth held out as a query."""
    with lance_fmt.open(PACKAGES) as file:
        table = file.read(["vector", *(column for column in COLUMNS if column in file.schema.names)])
    vectors = table["vector"].to_numpy().astype(np.float32)
    metadata = {column: values.to_pylist() for column, values in table.items() if column != "vector"}
    return ("debian-sample", *hold_out(vectors, metadata))


def hold_out(
    vectors: np.ndarray, metadata: dict[str, list[Any]]
) -> tuple[np.ndarray, np.ndarray, dict[str, list[Any]]]:
    """Every sixteenth row becomes a query; what is left, the queries, and the metadata of what is left."""
    held_out = np.arange(len(vectors)) % 16 == 15
    kept = np.flatnonzero(~held_out).tolist()
    return (
        vectors[~held_out],
        vectors[held_out],
        {key: [one[i] for i in kept] for key, one in metadata.items()},
    )


def from_file(path: Path) -> Loaded:
    """The vectors of an .npy, .lfmt or .parquet file, with its plain columns as metadata.

    Rows whose vector is null, zero or not finite are left out; generated columns stand in where there are none.
    """
    vectors, columns = _columns_of(path)
    norms = np.linalg.norm(vectors, axis=1)
    kept = np.isfinite(norms) & (norms > 0)
    if kept.sum() < LEAST_ROWS:
        raise InvalidArgumentError(
            f"{path}: {int(kept.sum())} rows with a vector, need at least {LEAST_ROWS} to measure a search"
        )
    places = np.flatnonzero(kept).tolist()
    metadata = {
        name: [values[i] for i in places] for name, values in columns.items() if len(values) == len(vectors)
    }
    vectors = vectors[kept]
    if not {type(values[0]) for values in metadata.values()} & {str, int}:
        metadata = made_metadata(np.random.default_rng(SEED), len(vectors))
    return (path.name, *hold_out(vectors, metadata))


def _columns_of(path: Path) -> tuple[np.ndarray, dict[str, list[Any]]]:
    """Float32 vectors (n, d) of a file, and those of its columns that every database can hold."""
    if path.suffix == ".npy":
        try:
            vectors = np.load(path)
        except (ValueError, EOFError) as error:
            raise InvalidArgumentError(f"{path}: not an array that can be read: {error}") from None
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
            raise InvalidArgumentError(
                f"{path}: an array of shape {vectors.shape} and {vectors.dtype}, need (n, d) numbers"
            )
        return vectors.astype(np.float32), {}
    table = read_table(path)
    found = next((name for name, column in table.items() if _is_vectors(column.type)), None)
    if found is None:
        raise InvalidArgumentError(
            f"{path}: no column of vectors (lists of floats, all of one length) among {', '.join(table)}"
        )
    others = {
        name: values.to_pylist()
        for name, values in table.items()
        if name.isidentifier()
        and name not in RESERVED
        and str(values.type) in PLAIN_TYPES
        and not values.null_count
    }
    return _matrix(path, found, table[found]), dict(list(others.items())[:MOST_COLUMNS])


def _is_vectors(kind: lance_fmt.DataType) -> bool:
    return kind.is_vector or (kind.is_list and kind.element.is_float)


def _matrix(path: Path, name: str, column: lance_fmt.Column) -> np.ndarray:
    """Float32 (n, d); NaN where a row has no vector."""
    if column.type.is_vector and not column.null_count:
        return column.to_numpy().astype(np.float32)
    values = column.to_pylist()
    lengths = {len(one) for one in values if one is not None}
    if len(lengths) != 1:
        raise InvalidArgumentError(f"{path}: column {name!r} has lists of {len(lengths)} lengths, need one")
    nothing = np.full(lengths.pop(), np.nan)
    return np.array([nothing if one is None else one for one in values], np.float32)


def read_table(path: Path) -> lance_fmt.Table:
    """All of an .lfmt or .parquet file. Raises InvalidArgumentError for another kind of file."""
    if path.suffix == ".lfmt":
        with lance_fmt.open(path) as file:
            return file.read()
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet as pq
        except ModuleNotFoundError as error:
            raise InvalidArgumentError(f"{path}: {error}; pip install 'vego[arrow]'") from None
        return lance_fmt.Table.from_arrow(pq.read_table(path))
    raise InvalidArgumentError(
        f"{path}: data comes from .lfmt, .parquet and .npy files; `vego convert` makes one"
    )


def generated(count: int, queries: int, dimension: int = DIMENSION) -> Loaded:
    """Seeded Gaussian clusters with the columns of a catalogue: for machines that have no data of their own."""
    random = np.random.default_rng(SEED)
    centres = random.standard_normal((max(8, count // 200), dimension))
    picked = random.integers(0, len(centres), count + queries)
    points = (centres[picked] + 0.7 * random.standard_normal((count + queries, dimension))).astype(np.float32)
    return "generated", points[:count], points[count:], made_metadata(random, count)


def made_metadata(random: np.random.Generator, count: int) -> dict[str, list[Any]]:
    """Eight columns of text, of which "section" has few values, and three of numbers."""
    metadata: dict[str, list[Any]] = {
        column: [f"{column} {i}" for i in range(count)] for column in COLUMNS[:8]
    }
    metadata["section"] = [f"s{value}" for value in random.geometric(0.08, count)]
    return metadata | {column: random.integers(0, 1_000_000, count).tolist() for column in COLUMNS[8:]}


def choose_filters(metadata: Mapping[str, list[Any]], count: int) -> dict[str, Filter]:
    """An equality that keeps about 1 % of the rows and a range that keeps about 26 %, as near as the columns allow."""
    texts = [name for name, values in metadata.items() if isinstance(values[0], str)]
    numbers = [name for name, values in metadata.items() if isinstance(values[0], int | float)]
    filters = {}
    chosen = min(
        (
            (abs(kept / count - SELECTIVITIES["1 %"]), name, value)
            for name in (["section"] if "section" in texts else texts or numbers)
            for value, kept in Counter(metadata[name]).items()
        ),
        default=None,
    )
    if chosen is not None:
        filters["1 %"] = Filter(chosen[1], "==", chosen[2])
    if numbers:
        name = "size" if "size" in numbers else numbers[0]
        values = np.asarray(metadata[name])
        bound = np.quantile(values, 1 - SELECTIVITIES["26 %"], method="nearest").item()
        filters["26 %"] = Filter(name, ">=", bound)
    return filters


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30))


def kth_distance(vectors: np.ndarray, queries: np.ndarray, matching: np.ndarray) -> np.ndarray:
    """Cosine distance of every query's k-th nearest matching row, exhaustively; inf where fewer match."""
    candidates = _unit(vectors[matching])
    if len(candidates) < K:
        return np.full(len(queries), np.inf)
    distances = 1 - _unit(queries) @ candidates.T
    return np.asarray(np.partition(distances, K - 1, axis=1)[:, K - 1])


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
