"""Runs every kernel once on a tiny database, so that numba compiles it and keeps the machine code."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import lance_fmt
import vego

ROWS = 2_100  # two batches of the graph's construction, and enough matches for every search strategy
DIMENSION = 16
FILTERED = {  # the strategy, as `explain` names it -> filter and ef that it answers so
    "gather": ("number < 9", None),
    "codes": ("number < 600", None),
    "graph past": (f"number < {ROWS - 50}", 1),
}


def warmup() -> Iterator[tuple[str, float]]:
    """Do one step after the other; what each did, and the seconds it took.

    A step that had nothing to compile takes milliseconds. The database lies in a temporary directory.
    """
    with tempfile.TemporaryDirectory(prefix="vego-warmup-") as directory:
        yield from _timed("loading the compiler", _load_compiler)
        with vego.open(Path(directory) / "db", dimension=DIMENSION, durability="none") as database:
            yield from _steps(database)
            yield from _timed("inverted lists", lambda: _inverted_lists(database))
            yield from _timed("hash tables", lambda: _hash_tables(database))
        yield from _timed("opening again", lambda: _reopen(Path(directory) / "db"))
    for what, columns in _columns().items():
        yield from _timed(f"encoding and decoding {what}", lambda columns=columns: _every_encoding(columns))


def _steps(database: vego.Database) -> Iterator[tuple[str, float]]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ROWS, DIMENSION)).astype(np.float32)
    query, queries = vectors[0], vectors[:3]
    ids = [f"row-{row}" for row in range(ROWS)]
    columns: dict[str, list[Any]] = {
        "number": list(range(ROWS)),
        "text": [f"{row % 7} and more" for row in range(ROWS)],
    }
    documents = database.collection("warmup")
    yield from _timed(
        "writing columns, building a graph",
        lambda: documents.insert_batch(ids=ids, vectors=vectors, metadata=columns),
    )
    yield from _timed("searching", lambda: (documents.search(query, 5), documents.search_batch(queries, 5)))
    yield from _timed("searching exactly", lambda: documents.search(query, 5, exact=True))
    yield from _timed(
        "searching with filters",
        lambda: [documents.search(query, 1, filter=text, ef=ef) for text, ef in FILTERED.values()],
    )
    yield from _timed("putting codes on axes", _codes_on_axes)
    for metric, rows in (("l1", vectors), ("hamming", np.packbits(vectors > 0, axis=1))):
        yield from _timed(
            f"graphs under {metric}",
            lambda metric=metric, rows=rows: _of_metric(database, metric, rows, columns),
        )
    yield from _timed("reading documents", lambda: documents.get_batch(ids[:3]))


def _of_metric(
    database: vego.Database, metric: str, vectors: np.ndarray[Any, Any], columns: dict[str, list[Any]]
) -> None:
    """What kernels are compiled for anew where codes are of another kind."""
    documents = database.collection(metric, metric=metric)
    documents.insert_batch(vectors=vectors, metadata=columns)
    documents.search_batch(vectors[:3], 5)
    documents.search(vectors[0], 5, exact=True)
    for text, ef in FILTERED.values():
        documents.search(vectors[0], 1, filter=text, ef=ef)


def _hash_tables(database: vego.Database) -> None:
    bits = np.random.default_rng(0).random((ROWS, DIMENSION)) < 0.5
    documents = database.collection("lsh", metric="hamming", index="lsh")
    documents.insert_batch(vectors=bits)
    documents.search(bits[0], 5)


def _codes_on_axes() -> None:
    """What only a collection of thousands of rows needs."""
    from vego.index.kernels.distance import encode_reduced

    codes, numbers = np.empty((1, 64), np.uint8), np.empty((2, 1), np.int32)
    encode_reduced(
        np.ones((1, 64), np.float32), np.ones(1, np.float32), np.float32(1), codes, numbers[0], numbers[1]
    )


def _inverted_lists(database: vego.Database) -> None:
    """Build and search the kinds of which no other has all kernels."""
    vectors = np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype(np.float32)
    for kind in ("ivf", "ivf_sq8", "ivf_pq", "disk"):
        documents = database.collection(kind, index=kind)
        documents.insert_batch(vectors=vectors)
        documents.search(vectors[0], 5)


def _columns() -> dict[str, list[np.ndarray[Any, Any] | list[str]]]:
    """Values of every kind that a kernel is compiled for."""
    numbers = np.arange(ROWS) % 100 + np.arange(ROWS) // 100
    return {
        "integers": [
            *(numbers.astype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)),
            np.arange(ROWS) // 2,  # in a dictionary, codes of two bytes
        ],
        "floats": [(numbers / 4).astype(f"f{size}") for size in (2, 4, 8)],
        "text": [[f"{row % 50} and more, größer" for row in range(ROWS)]],
        "booleans": [numbers % 50 < 25],
    }


def _every_encoding(columns: list[np.ndarray[Any, Any] | list[str]]) -> None:
    """Write each column by each encoding that can, with a row index and Bloom filters, and ask for rows."""
    for values in columns:
        table = lance_fmt.Table.of({"x": values})
        indexes: list[str] = [] if table["x"].type.id is lance_fmt.TypeId.BOOL else ["x"]
        for name in lance_fmt.encodings_for(table["x"].type):
            if name == "constant":
                continue
            sink = io.BytesIO()
            lance_fmt.write(sink, table, encodings={"x": name}, row_index=indexes, bloom=indexes)
            with lance_fmt.open(sink.getvalue()) as file:
                some = file.row(7)["x"]
                file.read(filter=lance_fmt.field("x") >= some)
                file.read(filter=lance_fmt.field("x").isin([some]))
                file.take([0, 5])
            with lance_fmt.open(sink.getvalue()) as file:
                file.read()


def _load_compiler() -> None:
    import numba  # noqa: F401 - only its cost matters here


def _reopen(path: Path) -> None:
    with vego.open(path, read_only=True) as database:
        database.collection("warmup").search(np.ones(DIMENSION, np.float32), 1, filter="text == '1 and more'")


def _timed(what: str, step: Callable[[], object]) -> Iterator[tuple[str, float]]:
    started = time.perf_counter()
    step()
    yield what, time.perf_counter() - started
