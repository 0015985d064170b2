"""Thousands of versions, and several processes: `python -m benchmarks.many_versions --help`.

First what opening, listing and committing versions cost where there are ten and where there are thousands. Then commits
a second of processes that share a collection, each inserting four documents a call, and how fairly they get their
turns: the fewest and the most commits of one process. Of times, the best of the rounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

import vego
from vego.store import LocalStore
from vego.table.commit import commit
from vego.table.manifest import load_latest

WRITER = """
import sys, time
import numpy as np
import vego
path, number, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with vego.open(path, shared=True, dimension=8, index="flat", retain_versions=2) as db:
    docs, turn = db.collection("c"), 0
    docs.insert(id=f"first {number}", vector=np.ones(8))
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        docs.insert_batch(ids=[f"{number}-{turn}-{n}" for n in range(4)], vectors=np.ones((4, 8), np.float32))
        turn += 1
    print(turn, flush=True)
"""


def with_versions(folder: Path, count: int) -> Path:
    """A database whose one collection has so many versions."""
    with vego.open(folder, dimension=8, index="flat", retain_versions=1_000_000) as db:
        db.collection("c").insert_batch(
            ids=[str(row) for row in range(2_000)], vectors=np.ones((2_000, 8), np.float32)
        )
    store = LocalStore(folder)
    manifest = load_latest(store, "c")
    assert manifest is not None
    while manifest.version < count:
        manifest = commit(store, "c", manifest, [])
    store.close()
    return folder


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """The best of `rounds` times."""
    best = float("inf")
    for _ in range(rounds):
        start = perf_counter()
        work()
        best = min(best, perf_counter() - start)
    return best * 1e3


def costs(folder: Path, count: int, rounds: int) -> list[tuple[str, float, str]]:
    """What is done with versions, its milliseconds, and what the project holds itself to."""

    def opened() -> None:
        with vego.open(folder, read_only=True) as db:
            assert len(db.collection("c"))

    def inserted() -> None:
        docs.insert(vector=np.ones(8))
        docs.flush()

    with vego.open(folder) as db:
        docs = db.collection("c")
        middle = docs.versions()[count // 2].time
        return [
            ("docs.at(version)", milliseconds(lambda: docs.at(count // 2), rounds), "< 5 ms"),
            ("docs.at(timestamp=)", milliseconds(lambda: docs.at(timestamp=middle), rounds), ""),
            ("docs.versions()", milliseconds(docs.versions, rounds), ""),
            ("insert and flush: a commit", milliseconds(inserted, rounds), "as with 10"),
            ("vego.open, read_only", milliseconds(opened, rounds), ""),
        ]


def commits(folder: Path, processes: int, seconds: float) -> list[int]:
    """How many commits each of so many processes made."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(number), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    lines = []
    for send in (False, True):
        for process in running:
            assert process.stdin is not None
            if send:
                process.stdin.write("\n")
                process.stdin.flush()
        for process in running:
            assert process.stdout is not None
            lines.append(process.stdout.readline())
    for process in running:
        process.communicate()
    return sorted(map(int, lines[processes:]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.many_versions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--directory", type=Path, help="where to write (default: that of temporary files)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="that the processes write")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        room = Path(folder)
        few = costs(with_versions(room / "few", 10), 10, options.rounds)
        many = costs(with_versions(room / "many", options.versions), options.versions, options.rounds)
        print(f"{'milliseconds':<34}{'10 versions':>14}{f'{options.versions:,}':>14}   target")
        for (name, low, _), (_, high, target) in zip(few, many, strict=True):
            print(f"{name:<34}{low:>14.2f}{high:>14.2f}   {target}")
        print(f"\n{'commits a second':<34}{'all':>14}{'fewest':>14}{'most':>14}", flush=True)
        for processes in (1, 2, 4, 8):
            made = commits(room / f"shared {processes}", processes, options.seconds)
            rates = [count / options.seconds for count in (sum(made), made[0], made[-1])]
            print(f"{f'{processes} processes':<34}" + "".join(f"{rate:>14.1f}" for rate in rates), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
