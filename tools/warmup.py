"""Runs every kernel once on tiny data, so that numba compiles it and keeps the machine code."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lance_fmt
import vego
from vego_tools.warmup_processes import default_jobs, shared_out

Step = tuple[str, float]  # what it did, and the seconds it took

ROWS = 2_100  # two batches of the graph's construction, and enough matches for every search strategy
DIMENSION = 16
FILTERED = {  # the strategy, as `explain` names it -> filter and ef that it answers so
    "gather": ("number < 9", None),
    "codes": ("number < 600", None),
    "graph past": (f"number < {ROWS - 50}", 1),
}


def warmup(jobs: int | None = None) -> Iterator[Step]:
    """Do all steps, in `jobs` processes (None: one a processor); each step as it is done.

    A step that had nothing to compile takes milliseconds. Data lies in temporary directories. Raises WarmupError where
    one of several processes fails; in one, what the step raises.
    """
    jobs = min(default_jobs() if jobs is None else jobs, len(PARTS))
    if jobs > 1:
        yield from shared_out(list(PARTS), jobs)
        return
    yield from _timed("loading the compiler", load_compiler)
    for part in PARTS:
        yield from steps_of(part)


def steps_of(part: str) -> Iterator[Step]:
    """Do one of PARTS."""
    with tempfile.TemporaryDirectory(prefix="vego-warmup-") as directory:
        yield from PARTS[part](Path(directory) / "db")


def load_compiler() -> None:
    """What the first kernel waits for, even if its machine code is there."""
    import numba  # noqa: F401 - only its cost matters here


def _data() -> tuple[np.ndarray[Any, Any], dict[str, list[Any]]]:
    vectors = np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype(np.float32)
    return vectors, {"number": list(range(ROWS)), "text": [f"{row % 7} and more" for row in range(ROWS)]}


def _graph(path: Path) -> Iterator[Step]:
    with vego.open(path, dimension=DIMENSION, durability="none") as database:
        yield from _graph_steps(database)
    yield from _timed("opening again", lambda: _reopen(path))


def _graph_steps(database: vego.Database) -> Iterator[Step]:
    vectors, columns = _data()
    query, queries = vectors[0], vectors[:3]
    ids = [f"row-{row}" for row in range(ROWS)]
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
    yield from _timed("reading documents", lambda: documents.get_batch(ids[:3]))


def _of_metric(metric: str, path: Path) -> Iterator[Step]:
    """What kernels are compiled for anew where codes are of another kind."""
    vectors, columns = _data()
    rows = np.packbits(vectors > 0, axis=1) if metric == "hamming" else vectors

    def build_and_search() -> None:
        with vego.open(path, dimension=DIMENSION, durability="none") as database:
            documents = database.collection(metric, metric=metric)
            documents.insert_batch(vectors=rows, metadata=columns)
            documents.search_batch(rows[:3], 5)
            documents.search(rows[0], 5, exact=True)
            for text, ef in FILTERED.values():
                documents.search(rows[0], 1, filter=text, ef=ef)

    yield from _timed(f"graphs under {metric}", build_and_search)


def _of_kind(kind: str, metric: str, path: Path) -> Iterator[Step]:
    def build_and_search() -> None:
        vectors, _ = _data()
        rows = vectors > 0 if metric == "hamming" else vectors
        with vego.open(path, dimension=DIMENSION, durability="none") as database:
            documents = database.collection(kind, metric=metric, index=kind)
            documents.insert_batch(vectors=rows)
            documents.search(rows[0], 5)

    yield from _timed(f"index {kind}", build_and_search)


def _codes_on_axes() -> None:
    """What only a collection of thousands of rows needs."""
    from vego.index.kernels.distance import encode_reduced

    codes, bias = np.empty((1, 64), np.uint8), np.empty(1, np.int32)
    encode_reduced(np.ones((1, 64), np.float32), np.ones(1, np.float32), np.float32(1), codes, bias)


def _columns(what: str) -> list[np.ndarray[Any, Any] | list[str]]:
    """Values of every kind that a kernel is compiled for."""
    numbers = np.arange(ROWS) % 100 + np.arange(ROWS) // 100
    match what:
        case "integers":
            halves = np.arange(ROWS) // 2  # in a dictionary, codes of two bytes
            return [*(numbers.astype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)), halves]
        case "floats":
            return [(numbers / 4).astype(f"f{size}") for size in (2, 4, 8)]
        case "text":
            return [[f"{row % 50} and more, größer" for row in range(ROWS)]]
    return [numbers % 50 < 25]


def _encodings(what: str, _: Path) -> Iterator[Step]:
    yield from _timed(f"encoding and decoding {what}", lambda: _every_encoding(_columns(what)))


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


def _reopen(path: Path) -> None:
    with vego.open(path, read_only=True) as database:
        database.collection("warmup").search(np.ones(DIMENSION, np.float32), 1, filter="text == '1 and more'")


def _timed(what: str, step: Callable[[], object]) -> Iterator[Step]:
    started = time.perf_counter()
    step()
    yield what, time.perf_counter() - started


# Kernels are shared between parts, and processes that begin together compile those twice: what has least in common
# stands side by side. Of the kinds of index these have all kernels.
PARTS: dict[str, Callable[[Path], Iterator[Step]]] = {
    "graph": _graph,
    "integers": partial(_encodings, "integers"),
    "ivf_pq": partial(_of_kind, "ivf_pq", "cosine"),
    "hamming": partial(_of_metric, "hamming"),
    "l1": partial(_of_metric, "l1"),
    "ivf": partial(_of_kind, "ivf", "cosine"),
    "disk": partial(_of_kind, "disk", "cosine"),
    "ivf_sq8": partial(_of_kind, "ivf_sq8", "cosine"),
    "text": partial(_encodings, "text"),
    "lsh": partial(_of_kind, "lsh", "hamming"),
    "floats": partial(_encodings, "floats"),
    "booleans": partial(_encodings, "booleans"),
}
