"""Partitions beside the same collection without: `python -m benchmarks.partitions --help`.

One collection is partitioned by `part`, its twin is not; both hold the same documents of 32 dimensions with the keys
`part` and `n`, exact search (`index="flat"`). One partition has as many documents as all others together. Timed are the
first search with a filter after opening (its columns are read then), the same again, and removing the large partition:
by `drop_partition`, and in the twin by deleting its ids. Rounds alternate between the two, each on fresh copies; the
best of each counts.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np

import vego
from vego.index.indexed_rows import IndexedRows

WIDTH = 32
PARTS = 10
OPTIONS: dict[str, Any] = {"background": False, "durability": "sync"}
FILTERS = {
    "one partition": "part == 3",
    "part of one": "part == 3 and n < 1000",
    "none": "part == 99 and n < 1000",
}


def filled(path: Path, rows: int, key: str | None) -> list[str]:
    """A collection of `rows` documents in partition 0 and as many in the others; the ids of partition 0."""
    rng = np.random.default_rng(3)
    gone: list[str] = []
    with vego.open(path, dimension=WIDTH, index="flat", metric="l2", **OPTIONS) as db:
        docs = db.collection("c", partition_by=key)
        for part in range(PARTS + 1):
            count = rows if part == 0 else rows // PARTS
            ids = [f"{part}-{row}" for row in range(count)]
            gone += ids if part == 0 else []
            docs.insert_batch(
                ids=ids,
                vectors=rng.standard_normal((count, WIDTH)).astype(np.float32),
                metadata={"part": np.full(count, part), "n": np.arange(count)},
            )
    return gone


def timed(action: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = perf_counter()
    action()
    return (perf_counter() - start) * 1e3


def round_of(path: Path, gone: list[str], room: Path, partitioned: bool) -> dict[str, float]:
    """Each task once, on a copy of the collection."""
    copy = Path(tempfile.mkdtemp(dir=room)) / "db"
    shutil.copytree(path, copy)
    found: dict[str, float] = {}
    query = np.zeros(WIDTH, np.float32)
    with vego.open(copy, **OPTIONS) as db:
        docs = db.collection("c")
        docs.search(query)
        for name, text in FILTERS.items():
            found[f"search, {name}, first"] = timed(lambda text=text: docs.search(query, filter=text))
            found[f"search, {name}, again"] = min(
                timed(lambda text=text: docs.search(query, filter=text)) for _ in range(5)
            )

        def delete() -> None:
            docs.delete_batch(gone)
            docs.flush()  # until then the deletes are in the log alone

        # Compaction takes the dead rows out in either; it is not what is measured.
        with patch.object(IndexedRows, "_segments_to_merge", return_value=False):
            found["remove the large partition"] = timed(
                (lambda: docs.drop_partition(0)) if partitioned else delete
            )
    shutil.rmtree(copy.parent)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="documents of the large partition (1,000,000)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        room = Path(folder)
        gone = filled(room / "with", options.rows, "part")
        filled(room / "without", options.rows, None)
        best: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for place, name in enumerate(("with", "without")):
                for task, time in round_of(room / name, gone, room, name == "with").items():
                    both = best.setdefault(task, [np.inf, np.inf])
                    both[place] = min(both[place], time)
    print(f"{options.rows:,} documents in the large partition, as many in {PARTS} others; milliseconds")
    print(f"{'':<36}{'partitions':>12}{'without':>12}{'ratio':>9}")
    for task, (ours, theirs) in best.items():
        print(f"{task:<36}{ours:>12.2f}{theirs:>12.2f}{theirs / ours:>8.1f}x")


if __name__ == "__main__":
    main()
