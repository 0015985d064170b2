"""The comparison: ``python -m benchmarks.run`` (``--quick`` for two thousand rows; ``--help`` for the rest).

Builds every engine in a process of its own, then measures round by round, A B A B, so that a slow minute of
the machine falls on all alike. Prints a table with ratios; keeps every round in
``benchmarks/results/<date>.json``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from textwrap import fill
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import machine, report
from benchmarks.data import SEED, Dataset, default_source, prepare
from benchmarks.engines.base import DATABASES, ENGINES, INDEXES
from benchmarks.pool import Pool, environment

FLOOR = 0.96
WIDTH = 100
CURVE_ENGINES = ("vego", *INDEXES)
MEASURES = ("load", "batch", "search", "filter", "get", "start")
LOAD_ROUNDS = 2
ROUND_SECONDS = 4.0  # a slow engine answers fewer queries, no engine holds a round up
TUNE_SECONDS = 2.0
START_SECONDS = 120


class Run:
    """One comparison in a temporary folder."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.started = perf_counter()
        self.dataset: Dataset = prepare(options.data, options.rows, options.queries)
        self.dataset.save(folder)
        self.pool = Pool(folder, options.cores, self.say)
        self.results: list[report.Result] = []
        self.paths: dict[str, Path] = {}

    def say(self, line: str) -> None:
        """Progress, apart from the table."""
        print(f"[{perf_counter() - self.started:4.0f} s] {line}", file=sys.stderr, flush=True)

    def run(self) -> None:
        """Everything asked for, in an order that lets one build serve all."""
        wanted = self.options.only
        databases = [one for one in DATABASES if one in self.options.engines]
        if set(wanted) == {"batch"}:
            databases = [one for one in databases if one == "vego"]
        indexes = [one for one in INDEXES if one in self.options.engines and "batch" in wanted]
        self.pool.start([*databases, *indexes])
        seconds = self._load(databases, indexes)
        if "batch" in wanted:
            self._batch(seconds)
            self.pool.stop(indexes)
        if "search" in wanted:
            self._search("search", "")
        if "filter" in wanted:
            for label in self.dataset.filters:
                self._search(f"filter {label}", label)
        if "get" in wanted:
            self._get()
        for name in self.pool.names(databases):
            self.pool.ask(name, "close")
        self.pool.stop(databases)
        if "start" in wanted:
            self._start([one for one in databases if one in self.paths and one not in self.pool.skipped])

    def _load(self, databases: Sequence[str], indexes: Sequence[str]) -> dict[str, float]:
        rounds: report.Rounds = {}
        repeats = min(LOAD_ROUNDS, self.options.rounds) if "load" in self.options.only else 1
        for number in range(repeats):
            for name in self.pool.names([*databases, *(indexes if number == 0 else ())]):
                path = self.folder / f"{name}-{number}"
                answer = self.pool.ask(name, "build", path=str(path))
                if answer is None:
                    continue
                self.paths[name] = path
                rounds.setdefault(name, []).append({**answer, "mega_bytes": answer["bytes"] / 1e6})
                self.say(f"{name}: built, {answer['rows_per_s']:,.0f} rows/s")
        figures = report.best_of(rounds, ("rows_per_s",))
        if "load" in self.options.only:
            kept = {name: figures[name] for name in databases if name in figures}
            self.results.append(
                report.Result(report.MEASURES["load"], kept, {name: rounds[name] for name in kept})
            )
        return {name: one["seconds"] for name, one in figures.items()}

    def _batch(self, build_seconds: dict[str, float]) -> None:
        rounds = self._rounds("batch", CURVE_ENGINES, "curve")
        figures = report.curve_figures(rounds, build_seconds)
        self.results.append(report.Result(report.MEASURES["batch-0.95"], figures, rounds))
        self.results.append(report.Result(report.MEASURES["batch-0.99"], figures, {}))

    def _search(self, name: str, label: str) -> None:
        efforts: dict[str, int] = {}
        for engine in self.pool.names(DATABASES):
            tuned = self.pool.ask(engine, "tune", label=label, floor=FLOOR, seconds=TUNE_SECONDS)
            if tuned is not None:
                efforts[engine] = int(tuned["effort"])
        arguments = {one: {"label": label, "effort": effort} for one, effort in efforts.items()}
        rounds = self._rounds(name, list(efforts), "search", arguments, seconds=ROUND_SECONDS)
        figures = report.best_of(rounds)
        for engine, effort in efforts.items():
            if engine in figures:
                figures[engine]["effort"] = effort
        note = ""
        if label:
            share = self.dataset.matching(label).mean()
            note = f"filter: {self.dataset.filters[label]}, keeps {share:.1%} of the rows"
        self.results.append(report.Result(report.MEASURES[name], figures, rounds, FLOOR, note))

    def _get(self) -> None:
        rounds = self._rounds("get", DATABASES, "get", seconds=ROUND_SECONDS)
        self.results.append(report.Result(report.MEASURES["get"], report.best_of(rounds), rounds))

    def _rounds(
        self,
        name: str,
        engines: Sequence[str],
        task: str,
        own: dict[str, dict[str, Any]] | None = None,
        **arguments: Any,
    ) -> report.Rounds:
        rounds: report.Rounds = {}
        for number in range(self.options.rounds):
            for engine in self.pool.names(engines):
                answer = self.pool.ask(engine, task, **((own or {}).get(engine, {})), **arguments)
                if answer is not None:
                    rounds.setdefault(engine, []).append(answer)
            self.say(f"{name}: round {number + 1} of {self.options.rounds} done")
        return {engine: many for engine, many in rounds.items() if engine not in self.pool.skipped}

    def _start(self, engines: Sequence[str]) -> None:
        query = self.folder / "query.npy"
        np.save(query, self.dataset.queries[0])
        rounds: report.Rounds = {name: [] for name in engines}
        for number in range(self.options.rounds + 1):
            for name in list(rounds):
                answer = self._first_answer(name, query)
                if answer is None:
                    del rounds[name]
                elif number:  # the first fills the caches
                    rounds[name].append(answer)
        self.say("start done")
        self.results.append(report.Result(report.MEASURES["start"], report.best_of(rounds), rounds))

    def _first_answer(self, name: str, query: Path) -> dict[str, Any] | None:
        command = [sys.executable, "-m", "benchmarks.first_answer", name, str(self.paths[name]), str(query)]
        begun = perf_counter()
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                env=environment(self.options.cores),
                check=True,
                timeout=START_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            self.pool.skip(name, f"start: {error.stderr.strip().splitlines()[-1:]}")
            return None
        except subprocess.TimeoutExpired:
            self.pool.skip(name, f"start: no answer within {START_SECONDS} s")
            return None
        answer: dict[str, Any] = json.loads(done.stdout)
        return {**answer, "process_s": perf_counter() - begun}

    def to_json(self, pinned: Sequence[int]) -> dict[str, Any]:
        """The whole run."""
        return {
            "when": datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": machine.describe() | {"pinned": list(pinned)},
            "versions": self.pool.versions,
            "skipped": self.pool.skipped,
            "dataset": {"name": self.dataset.name, "shape": list(self.dataset.rows.vectors.shape)},
            "queries": len(self.dataset.queries),
            "seed": SEED,
            "rounds": self.options.rounds,
            "cores": self.options.cores,
            "recall_floor": FLOOR,
            "filters": {label: str(where) for label, where in self.dataset.filters.items()},
            "seconds": perf_counter() - self.started,
            "results": [result.to_json() for result in self.results],
        }


def summary(described: dict[str, Any], results: Sequence[report.Result]) -> str:
    """Heading, tables, and who was left out."""
    host = described["machine"]
    rows, dimension = described["dataset"]["shape"]
    heading = [
        f"{described['dataset']['name']}: {rows:,} x {dimension}, cosine, "
        f"{described['queries']} queries, k=10; recall counted by distance",
        f"{host['processor']}, {host['cores']} cores, {described['cores']} used (pinned to {host['pinned']});"
        f" Python {host['python']}; load average {host['load']}",
        "  ".join(f"{name} {number}" for name, number in described["versions"].items()),
        f"best of {described['rounds']} interleaved rounds; 'vego is 2 x': twice as good as its engine",
    ]
    if host["load"] and host["load"][0] > described["cores"] + 1:
        heading.append("others are using this machine: p99 and narrow ratios are not to be trusted")
    left_out = [fill(f"{name} left out: {reason}", WIDTH) for name, reason in described["skipped"].items()]
    return "\n\n".join(
        [
            "\n".join(fill(line, WIDTH) for line in heading),
            *(report.table(result) for result in results),
            *left_out,
        ]
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 rows, 100 queries, one round")
    parser.add_argument(
        "--only", action="append", choices=MEASURES, metavar="NAME", help=f"of {', '.join(MEASURES)}"
    )
    parser.add_argument(
        "--engine",
        action="append",
        choices=list(ENGINES),
        metavar="NAME",
        dest="engines",
        help=f"of {', '.join(ENGINES)}",
    )
    parser.add_argument(
        "--data", help="data folder, 'sample' or 'synthetic' (default: the shared data, else the sample)"
    )
    parser.add_argument("--rows", type=int, help="only the first ROWS rows")
    parser.add_argument("--queries", type=int, help="only the first QUERIES queries")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--cores", type=int, default=1, help="processors, and threads per engine (default 1)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder for the JSON"
    )
    options = parser.parse_args(arguments)
    options.only = options.only or list(MEASURES)
    options.engines = options.engines or list(ENGINES)
    options.rows = options.rows or (2000 if options.quick else None)
    options.queries = options.queries or (100 if options.quick else None)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.data = options.data or default_source()
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, keep; 0 whatever the figures are, 1 where Vego itself gave none."""
    options = parse(arguments)
    pinned = machine.pin(options.cores)
    with tempfile.TemporaryDirectory(prefix="vego-bench-") as folder:
        run = Run(options, Path(folder))
        run.run()
        described = run.to_json(pinned)
    print(summary(described, run.results))
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"{datetime.now():%Y-%m-%dT%H%M%S}.json"
    target.write_text(json.dumps(described, indent=1))
    print(f"\n{described['seconds']:.0f} s; every round is in {target}")
    return int(any(name.startswith("vego") for name in described["skipped"]))


if __name__ == "__main__":
    sys.exit(main())
