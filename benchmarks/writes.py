"""Durable writes beside SQLite: `python -m benchmarks.writes --help`.

Documents of 128 dimensions with four metadata keys. SQLite (journal_mode=WAL, synchronous=FULL) writes the same as one
row of id, blob and JSON. Each task is run in turn by both, round after round, in a new directory on the same disk; the
best round of each counts, and ratios are within the run. Give `--directory` on the disk to be measured: in memory
there is nothing to sync.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import perf_counter

import numpy as np

import vego

WIDTH = 128
BATCH = 1_000
WAL_BYTES = 64 << 20


@dataclass(frozen=True)
class Row:
    """One line of the table: a rate, what SQLite does in its place, and what the project holds itself to."""

    name: str
    rate: float
    peer: float | None
    target: str

    def text(self) -> str:
        ratio = "" if self.peer is None else f"{self.rate / self.peer:6.2f} x"
        other = "" if self.peer is None else f"{self.peer:,.0f}"
        return f"{self.name:<34}{self.rate:>12,.0f}{other:>12}{ratio:>10}   {self.target}"


class Documents:
    """The same documents for everyone."""

    def __init__(self, count: int) -> None:
        self.vectors = np.random.default_rng(1).standard_normal((count, WIDTH)).astype(np.float32)

    def id(self, number: int) -> str:
        return f"document-{number:07}"

    def metadata(self, number: int) -> dict[str, object]:
        return {"title": f"title of {number}", "year": 1990 + number % 30, "price": number / 8, "tag": "abc"}


@contextmanager
def collection(room: Path, *, index: str = "flat", durability: str = "sync") -> Iterator[vego.Collection]:
    """An empty collection whose log is open already."""
    folder = Path(tempfile.mkdtemp(dir=room))
    with vego.open(folder, dimension=WIDTH, index=index, durability=durability) as db:
        docs = db.collection("c")
        docs.insert(id="first", vector=np.ones(WIDTH, np.float32))
        yield docs
    shutil.rmtree(folder)


@contextmanager
def table(room: Path) -> Iterator[sqlite3.Connection]:
    """An empty table whose log is open already."""
    folder = Path(tempfile.mkdtemp(dir=room))
    connection = sqlite3.connect(folder / "db", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table documents (id text primary key, vector blob, metadata text)")
    connection.execute("insert into documents values ('first', '', '')")
    yield connection
    connection.close()
    shutil.rmtree(folder)


def seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def singles(room: Path, documents: Documents, count: int, threads: int = 1) -> float:
    """Documents a second that `threads` threads insert, one a call."""

    def work(first: int) -> None:
        for number in range(first, first + count // threads):
            docs.insert(
                id=documents.id(number),
                vector=documents.vectors[number],
                metadata=documents.metadata(number),
            )

    with collection(room) as docs:
        workers = [Thread(target=work, args=(n * (count // threads),)) for n in range(threads)]

        def all_of_them() -> None:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()

        time = seconds((lambda: work(0)) if threads == 1 else all_of_them)
        assert len(docs) == 1 + count // threads * threads
    return count // threads * threads / time


def sqlite_row(documents: Documents, number: int) -> tuple[str, bytes, str]:
    vector = documents.vectors[number].tobytes()
    return documents.id(number), vector, json.dumps(documents.metadata(number))


def sqlite_singles(room: Path, documents: Documents, count: int) -> float:
    with table(room) as connection:

        def work() -> None:
            for number in range(count):
                connection.execute("insert into documents values (?, ?, ?)", sqlite_row(documents, number))

        return count / seconds(work)


def batches(room: Path, documents: Documents, count: int, index: str, *, columns: bool) -> float:
    """Documents a second in batches, as columns or as a list of documents."""
    with collection(room, index=index) as docs:

        def work() -> None:
            for first in range(0, count, BATCH):
                numbers = range(first, first + BATCH)
                ids, rows = list(map(documents.id, numbers)), list(map(documents.metadata, numbers))
                vectors = documents.vectors[first : first + BATCH]
                if columns:
                    metadata = {key: [row[key] for row in rows] for key in rows[0]}
                    docs.insert_batch(ids=ids, vectors=vectors, metadata=metadata)
                else:
                    docs.insert_batch(list(map(vego.Document, ids, vectors, rows)))

        time = seconds(work)
        assert len(docs) == count + 1
    return count / time


def sqlite_batches(room: Path, documents: Documents, count: int) -> float:
    with table(room) as connection:

        def work() -> None:
            for first in range(0, count, BATCH):
                rows = [sqlite_row(documents, number) for number in range(first, first + BATCH)]
                connection.execute("begin")
                connection.executemany("insert into documents values (?, ?, ?)", rows)
                connection.execute("commit")

        return count / seconds(work)


def recovery(room: Path, documents: Documents, rows: int) -> float:
    """MB a second at which a log of WAL_BYTES that nobody closed is read back, written by batches of `rows`."""
    folder = Path(tempfile.mkdtemp(dir=room))
    with vego.open(
        folder / "db", dimension=WIDTH, index="flat", durability="none", flush_bytes=1 << 30
    ) as db:
        docs = db.collection("c")
        log = written = 0
        while log < WAL_BYTES:
            for _ in range(max(1, BATCH // rows)):
                numbers = [(written + n) % len(documents.vectors) for n in range(rows)]
                ids = [f"{written + n}" for n in range(rows)]
                metadata = [documents.metadata(number) for number in numbers]
                docs.upsert_batch(list(map(vego.Document, ids, documents.vectors[numbers], metadata)))
                written += rows
            log = sum(file.stat().st_size for file in (folder / "db/collections/c/wal").iterdir())
        shutil.copytree(folder / "db", folder / "killed")  # as after a kill: not sealed

    def work() -> None:
        with vego.open(folder / "killed", read_only=True) as killed:
            assert len(killed.collection("c")) == written

    time = seconds(work)
    shutil.rmtree(folder)
    return log / 1e6 / time


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.writes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, help="where to write (default: that of temporary files)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--singles", type=int, default=2_000, help="documents inserted one a call")
    parser.add_argument("--documents", type=int, default=20_000, help="documents inserted in batches")
    options = parser.parse_args(arguments)
    documents = Documents(max(options.documents, options.singles, BATCH))
    one, many = options.singles, options.documents // BATCH * BATCH
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        room = Path(folder)

        def best(*tasks: Callable[[], float]) -> list[float]:
            return [
                max(rates)
                for rates in zip(*([t() for t in tasks] for _ in range(options.rounds)), strict=True)
            ]

        print(f"{'documents a second':<34}{'Vego':>12}{'SQLite':>12}{'ratio':>10}   target")
        alone, together, peer = best(
            lambda: singles(room, documents, one),
            lambda: singles(room, documents, one, threads=8),
            lambda: sqlite_singles(room, documents, one),
        )
        print(Row("one a call, one thread", alone, peer, ">= 1 x").text())
        print(Row("one a call, 8 threads", together, peer, ">= 3 x one thread of SQLite").text(), flush=True)
        columns, listed, graph, peer = best(
            lambda: batches(room, documents, many, "flat", columns=True),
            lambda: batches(room, documents, many, "flat", columns=False),
            lambda: batches(room, documents, many, "hnsw", columns=True),
            lambda: sqlite_batches(room, documents, many),
        )
        print(Row("1,000 a call, columns", columns, peer, "> 50,000/s").text())
        print(Row("1,000 a call, Documents", listed, peer, "> 50,000/s").text())
        print(Row("1,000 a call, columns, HNSW", graph, peer, "").text(), flush=True)
        print(f"\n{'MB of log a second':<34}")
        for rows in (1, BATCH):
            (rate,) = best(lambda rows=rows: recovery(room, documents, rows))
            text = f"recovery, batches of {rows:,}"
            print(Row(text, rate, None, f"> {WAL_BYTES / 1e6:.0f}: 64 MB in a second").text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
