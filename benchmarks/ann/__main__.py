"""The command line: ``python -m benchmarks.ann --help``."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.ann import report
from benchmarks.ann.data import NAMES, Dataset, available, prepare
from benchmarks.ann.peers.base import PEERS
from benchmarks.ann.worker import serve
from vego_tools.bench import machine

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
ANSWER_SECONDS = 3600
QUICK_ROWS, QUICK_QUERIES = 3000, 50


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ann",
        description="vector indexes beside each other: recall against queries/s",
    )
    parser.add_argument(
        "--quick", action="store_true", help="3,000 rows, 50 queries, one round, to see that it works"
    )
    parser.add_argument("--data", action="append", choices=NAMES, help="default: all there are")
    parser.add_argument(
        "--peer", action="append", choices=list(PEERS), dest="peers", help="default: all installed"
    )
    parser.add_argument("--rows", type=int, help="only the first ROWS rows (generated: so many)")
    parser.add_argument("--queries", type=int, help="only the first QUERIES queries")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument(
        "--cores", type=int, default=1, help="processors, and threads of every peer (default 1)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().parents[1] / "results",
        help="folder for the JSON and the picture",
    )
    options = parser.parse_args(arguments)
    options.data = options.data or (["generated"] if options.quick else available())
    options.peers = options.peers or list(PEERS)
    options.rows = options.rows or (QUICK_ROWS if options.quick else None)
    options.queries = options.queries or (QUICK_QUERIES if options.quick else None)
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Processes:
    """One process per peer; those that fail are closed and their reasons kept."""

    def __init__(self, folder: Path, data: Dataset, names: Sequence[str], cores: list[int]) -> None:
        self.parameters: dict[str, Any] = {}
        self.skipped: dict[str, str] = {}
        self._open: dict[str, tuple[Connection, Any]] = {}
        context = multiprocessing.get_context("spawn")
        for name in names:
            here, there = context.Pipe()
            arguments = (there, folder, (data.name, data.metric), name, cores)
            process = context.Process(target=serve, args=arguments, daemon=True)
            process.start()
            there.close()
            self._open[name] = here, process
            answer = self._answer(name)
            if answer is not None:
                self.parameters[name] = answer

    @property
    def names(self) -> list[str]:
        return list(self._open)

    def ask(self, name: str, what: str) -> Any:
        """The answer of one peer, None where it failed."""
        with suppress(BrokenPipeError):  # a process that has ended says so when it is to answer
            self._open[name][0].send(what)
        return self._answer(name)

    def _answer(self, name: str) -> Any:
        connection, _ = self._open[name]
        try:
            if not connection.poll(ANSWER_SECONDS):
                kind, value = "error", f"no answer within {ANSWER_SECONDS} s"
            else:
                kind, value = connection.recv()
        except (EOFError, ConnectionResetError):
            kind, value = "error", "its process ended"
        if kind != "error":
            return value
        say(f"{name} is left out: {value}")
        self.skipped[name] = value
        self._close(name)
        return None

    def _close(self, name: str) -> None:
        connection, process = self._open.pop(name)
        connection.close()
        process.join(5)
        if process.is_alive():
            process.terminate()

    def close(self) -> None:
        for name in self.names:
            self._close(name)


def measure(data: Dataset, options: argparse.Namespace, pinned: list[int]) -> dict[str, Any]:
    """Build every peer, then time all of them round after round."""
    with tempfile.TemporaryDirectory(prefix="vego-ann-") as folder:
        data.save(Path(folder))
        processes = Processes(Path(folder), data, options.peers, pinned)
        try:
            builds = {}
            for name in processes.names:
                built = processes.ask(name, "build")
                if built is not None:
                    builds[name] = built
                    say(f"{data.name}: {name} built in {built['seconds']:.1f} s")
            rounds: dict[str, list[Any]] = {name: [] for name in builds}
            for number in range(options.rounds):
                for name in processes.names:
                    points = processes.ask(name, "round")
                    if points is not None:
                        rounds[name].append(points)
                say(f"{data.name}: round {number + 1} of {options.rounds}")
        finally:
            processes.close()
    found = report.figures({name: each for name, each in rounds.items() if each})
    for name, one in found.items():
        one |= {"build": builds[name], "parameters": processes.parameters[name], "rounds": rounds[name]}
    return {
        "dataset": data.name,
        "metric": data.metric,
        "rows": len(data.vectors),
        "dimension": data.vectors.shape[1],
        "queries": len(data.queries),
        "rounds": options.rounds,
        "pinned": pinned,
        "peers": found,
        "skipped": processes.skipped,
    }


def versions() -> dict[str, str]:
    """Of the libraries that are installed."""
    found = {}
    for package in ("vego", "numpy", "numba", "hnswlib", "faiss-cpu", "usearch", "pyvsag", "scann"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, keep; 0 whatever the figures are, 1 where Vego itself gave none."""
    options = parse(arguments)
    for name in THREADS:
        os.environ[name] = str(options.cores)
    started = perf_counter()
    with machine.pinned(options.cores) as pinned:
        described = []
        for name in options.data:
            described.append(measure(prepare(name, options.rows, options.queries), options, list(pinned)))
            print(report.table(described[-1]), end="\n\n", flush=True)
    when = f"{datetime.now():%Y-%m-%dT%H%M%S}"
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"ann-{when}.json"
    whole = {"machine": machine.describe(), "versions": versions(), "seconds": perf_counter() - started}
    target.write_text(json.dumps(whole | {"datasets": described}, indent=1))
    print(f"every round is in {target}")
    try:
        report.picture(described, target.with_suffix(".png"))
        print(f"picture: {target.with_suffix('.png')}")
    except ImportError:
        print("no picture: matplotlib is not installed (pip install 'vego[plot]')")
    return int(any("vego" not in one["peers"] for one in described if "vego" in options.peers))


if __name__ == "__main__":
    sys.exit(main())
