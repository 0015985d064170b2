"""The tour of `vego demo`: read a file, build a collection, ask it real questions, open it again.

Every number printed was measured just then, on this machine.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

import lance_fmt
import vego
from vego_tools.demo.place import prepare, sign
from vego_tools.demo.sample import DIMENSION, PACKAGES, QUERIES
from vego_tools.terminal import Style, byte_size, duration, file_tree, printable, shorten, table, wrapped
from vego_tools.warmup import warmup

COLLECTION = "packages"
BY_MEANING = [
    "store and access your passwords safely",
    "tool to take pictures and videos from your webcam",
    "Real-time strategy game of ancient warfare",
]
FILTERED = [
    ("GTK+ chessboard program", 'section == "games"'),
    ("virtual sticky-notes for your desktop", 'section != "x11" and installed_kib < 2000'),
]
K = 10
Result = TypeVar("Result")
Vector = NDArray[np.float32]

NOTEWORTHY = 0.5  # seconds of compiling that get a line of their own
ROUNDS = 5  # over all queries, for the timings


class Questions:
    """The held-out queries: texts and vectors, float32 (m, d)."""

    def __init__(self) -> None:
        with lance_fmt.open(QUERIES) as file:
            columns = file.read(["text", "vector"])
        self.vectors = np.asarray(columns["vector"].to_numpy(), np.float32)
        self._rows = {str(text): row for row, text in enumerate(columns["text"].to_pylist())}

    def vector(self, text: str) -> Vector:
        """The vector of one of the texts."""
        found: Vector = self.vectors[self._rows[text]]
        return found


def tour(directory: Path) -> None:
    """Give the tour in `directory`; raises InvalidArgumentError where something else lies there."""
    style = Style.of_stdout()
    prepare(directory)
    show(style.bold("Vego demo: 5,000 Debian packages and their text embeddings"))
    _compile(style)
    columns = _read_sample(style)
    with vego.open(directory, dimension=DIMENSION, metric="cosine") as database:
        sign(directory)
        packages = database.collection(COLLECTION)
        _build(packages, columns, style)
        questions = Questions()
        _ask(packages, questions, style)
        _ask_with_filters(packages, questions, style)
        _get(packages, style)
        _measure(packages, questions, style)
    _reopen(directory, questions, style)
    _farewell(directory, style)


def show(*lines: str) -> None:
    """Print lines, at once: the progress bar goes to another stream and must not overtake them."""
    for line in lines:
        print(line)
    print(end="", flush=True)


def _heading(style: Style, text: str) -> None:
    show("", style.bold(text))


def _read_sample(style: Style) -> lance_fmt.Table:
    _heading(style, "A file in Vego's columnar format")
    started = time.perf_counter()
    with lance_fmt.open(PACKAGES) as file:
        opened = time.perf_counter() - started
        columns = file.read()
        read = time.perf_counter() - started - opened
        schema = ", ".join(f"{field.name} {field.type}" for field in file.schema)
        show(f"  {PACKAGES.name}: {file.num_rows:,} rows, {len(file.schema)} columns, {_size(PACKAGES)}")
    show(*wrapped(schema, then="  "))
    show(f"  opened in {duration(opened)}, all columns read and decoded in {duration(read)}")
    return columns


def _compile(style: Style) -> None:
    _heading(style, "Kernels")
    show("  Inner loops are compiled for this processor once, in some seconds, and then kept in a cache.")
    started = time.perf_counter()
    for what, seconds in warmup():
        if seconds > NOTEWORTHY:
            show(style.dim(f"    {what:<36} {duration(seconds):>8}"))
    show(f"  ready in {duration(time.perf_counter() - started)}")


def _build(packages: vego.Collection, columns: lance_fmt.Table, style: Style) -> None:
    _heading(style, "A collection")
    names = [name for name in columns if name not in ("id", "vector")]
    started = time.perf_counter()
    packages.insert_batch(
        ids=columns["id"].to_pylist(),
        vectors=columns["vector"].to_numpy(),
        metadata={name: columns[name].to_pylist() for name in names},
        progress=True,
    )
    packages.build_index()
    seconds = time.perf_counter() - started
    show(
        f"  {len(packages):,} documents are on the disk (fsync) and indexed (HNSW, cosine)",
        f"  in {duration(seconds)}: {len(packages) / seconds:,.0f} documents a second",
    )


def _ask(packages: vego.Collection, questions: Questions, style: Style) -> None:
    _heading(style, "Search by meaning")
    show("  The questions are descriptions of other packages; none of these words need occur in an answer.")
    for text in BY_MEANING:
        _answer(packages, questions, text, None, style)


def _ask_with_filters(packages: vego.Collection, questions: Questions, style: Style) -> None:
    _heading(style, "Search among the documents that pass a filter")
    show("  The first filter on a key reads that column; the table below has the times after that.")
    for text, condition in FILTERED:
        _answer(packages, questions, text, condition, style)


def _answer(
    packages: vego.Collection, questions: Questions, text: str, condition: str | None, style: Style
) -> None:
    vector = questions.vector(text)
    hits, seconds = _timed(lambda: packages.search(vector, 5, filter=condition))
    where = "" if condition is None else f" where {condition}"
    show("", f'  "{text}"{where}   {style.dim(duration(seconds))}')
    rows = []
    for position, hit in enumerate(hits):
        found = hit.metadata
        size = byte_size(1024 * found["installed_kib"])
        rows.append([f"{position + 1}", f"{hit.score:.3f}", hit.id, found["section"], size, found["title"]])
    show(
        *table(
            ["", "score", "package", "section", "installed", "title"], rows, right="score installed", indent=4
        )
    )


def _get(packages: vego.Collection, style: Style) -> None:
    _heading(style, "A document by its id")
    document, seconds = _timed(lambda: packages.get("passwordsafe"))
    if document is None:  # the sample has it; tests see to that
        return
    show(f'  packages.get("passwordsafe")   {style.dim(duration(seconds))}')
    for key, value in document.metadata.items():
        text = ", ".join(value) if isinstance(value, list) else value
        show(f"    {key:<14} {shorten(printable(str(text)), 80)}")
    first = np.array2string(np.asarray(document.vector)[:5], precision=4)
    show(f"    {'vector':<14} {first} ... of {DIMENSION}")


def _measure(packages: vego.Collection, questions: Questions, style: Style) -> None:
    _heading(style, f"Speed and accuracy, over {len(questions.vectors)} questions, {K} answers each")
    exact = [set(packages.search(vector, K, exact=True).ids) for vector in questions.vectors]
    found = [set(packages.search(vector, K).ids) for vector in questions.vectors]
    agreement = sum(len(a & b) for a, b in zip(exact, found, strict=True)) / sum(map(len, exact))
    games = 'section == "games"'
    ways: list[tuple[str, Callable[[Vector], object]]] = [
        ("graph", lambda vector: packages.search(vector, K)),
        ("exact scan", lambda vector: packages.search(vector, K, exact=True)),
        (f"filter {games}", lambda vector: packages.search(vector, K, filter=games)),
        ("answers with their documents", lambda vector: packages.search(vector, K).documents()),
    ]
    rows = []
    for name, search in ways:
        times = np.array([_seconds(search, vector) for vector in questions.vectors for _ in range(ROUNDS)])
        middle, slow = np.percentile(times, [50, 99])
        rows.append([name, duration(middle), duration(slow), f"{1 / times.mean():,.0f}"])
    many = np.tile(questions.vectors, (5 * ROUNDS, 1))
    _, seconds = _timed(lambda: packages.search_batch(many, K))
    rows.append(
        [
            f"graph, {len(many):,} in one call",
            duration(seconds / len(many)),
            "-",
            f"{len(many) / seconds:,.0f}",
        ]
    )
    show(*table(["one query", "median", "p99", "queries/s"], rows, right="median p99 queries/s"))
    show(f"  The graph finds {agreement:.1%} of what an exact scan finds (recall@{K}).")


def _reopen(directory: Path, questions: Questions, style: Style) -> None:
    _heading(style, "Closed and opened again")
    started = time.perf_counter()
    with vego.open(directory, read_only=True) as database:
        best = database.collection(COLLECTION).search(questions.vector(BY_MEANING[0]), 1)[0].id
    show(f"  first answer ({best}) {duration(time.perf_counter() - started)} after vego.open")


def _farewell(directory: Path, style: Style) -> None:
    _heading(style, "The files")
    show(*file_tree(directory))
    segment = next(iter(sorted((directory / "collections" / COLLECTION / "data").glob("*.lfmt"))), PACKAGES)
    _heading(style, "What to try next")
    show(
        f"  vego stats {shlex.quote(str(directory))}",
        f"  vego inspect {shlex.quote(str(segment))}",
        "",
        "  import vego",
        f"  packages = vego.open({str(directory)!r}).collection({COLLECTION!r})",
        "  query = packages.get('passwordsafe').vector",
        "  packages.search(query, k=5, filter='section == \"utils\" and n_depends < 10')",
    )


def _timed(call: Callable[[], Result]) -> tuple[Result, float]:
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def _seconds(search: Callable[[Vector], object], vector: Vector) -> float:
    started = time.perf_counter()
    search(vector)
    return time.perf_counter() - started


def _size(path: Path) -> str:
    return byte_size(path.stat().st_size)
