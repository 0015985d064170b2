"""Databases and indexes beside each other: builds every engine in a process of its own, then measures round by round.

Rounds are interleaved, A B A B, so that a slow minute of the machine falls on all alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from vego_tools.bench import report
from vego_tools.bench.data import Dataset
from vego_tools.bench.engines.base import DATABASES, ENGINES, INDEXES
from vego_tools.bench.measure import rate_at
from vego_tools.bench.pool import Pool, environment
from vego_tools.terminal import printable

FLOOR = 0.96
CURVE_ENGINES = ("vego", *INDEXES)
WORKLOADS = ("load", "batch", "search", "filter", "get", "start")
LOAD_ROUNDS = 2
ROUND_SECONDS = 4.0  # a slow engine answers fewer queries, no engine holds a round up
START_SECONDS = 120


@dataclass(frozen=True)
class Plan:
    """What is run: workloads, engines (Vego's among them), rounds, processors, and seconds of an engine in a round."""

    workloads: tuple[str, ...] = WORKLOADS
    engines: tuple[str, ...] = tuple(ENGINES)
    rounds: int = 3
    cores: int = 1
    seconds: float = ROUND_SECONDS


class Run:
    """One comparison in a temporary folder."""

    def __init__(self, plan: Plan, dataset: Dataset, folder: Path, say: Callable[[str], None]) -> None:
        self.plan, self.dataset, self.folder, self.say = plan, dataset, folder, say
        dataset.save(folder)
        self.pool = Pool("vego_tools.bench.worker", folder, plan.cores, say)
        self.results: list[report.Result] = []
        self.paths: dict[str, Path] = {}

    def run(self) -> list[report.Result]:
        """Everything asked for, in an order that lets one build serve all."""
        try:
            self._run(self.plan.workloads)
        finally:
            self.pool.stop(list(ENGINES))
        return self.results

    def _run(self, wanted: Sequence[str]) -> None:
        databases = [one for one in DATABASES if one in self.plan.engines]
        if set(wanted) == {"batch"}:
            databases = [one for one in databases if one == "vego"]
        indexes = [one for one in INDEXES if one in self.plan.engines and "batch" in wanted]
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
        repeats = min(LOAD_ROUNDS, self.plan.rounds) if "load" in self.plan.workloads else 1
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
        if "load" in self.plan.workloads:
            kept = {name: figures[name] for name in databases if name in figures}
            self.results.append(
                report.Result(report.MEASURES["load"], kept, {name: rounds[name] for name in kept})
            )
        return {name: one["seconds"] for name, one in figures.items()}

    def _batch(self, build_seconds: dict[str, float]) -> None:
        rounds = self._rounds("batch", CURVE_ENGINES, "curve")
        figures = report.curve_figures(rounds, build_seconds)
        for name in ("batch-0.95", "batch-0.99"):
            measure = report.MEASURES[name]
            rates = {
                engine: [{measure.key: rate_at(one["points"], report.RECALLS[name])} for one in many]
                for engine, many in rounds.items()
            }
            self.results.append(report.Result(measure, figures, rates))

    def _search(self, name: str, label: str) -> None:
        efforts: dict[str, int] = {}
        for engine in self.pool.names(DATABASES):
            tuned = self.pool.ask(engine, "tune", label=label, floor=FLOOR, seconds=self.plan.seconds / 2)
            if tuned is not None:
                efforts[engine] = int(tuned["effort"])
        arguments = {one: {"label": label, "effort": effort} for one, effort in efforts.items()}
        rounds = self._rounds(name, list(efforts), "search", arguments, seconds=self.plan.seconds)
        figures = report.best_of(rounds)
        for engine, effort in efforts.items():
            if engine in figures:
                figures[engine]["effort"] = effort
        note = ""
        if label:
            share = self.dataset.matching(label).mean()
            note = f"filter: {printable(str(self.dataset.filters[label]))}, keeps {share:.1%} of the rows"
        self.results.append(report.Result(report.MEASURES[name], figures, rounds, FLOOR, note))

    def _get(self) -> None:
        rounds = self._rounds("get", DATABASES, "get", seconds=self.plan.seconds)
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
        for number in range(self.plan.rounds):
            for engine in self.pool.names(engines):
                answer = self.pool.ask(engine, task, **((own or {}).get(engine, {})), **arguments)
                if answer is not None:
                    rounds.setdefault(engine, []).append(answer)
            self.say(f"{name}: round {number + 1} of {self.plan.rounds} done")
        return {engine: many for engine, many in rounds.items() if engine not in self.pool.skipped}

    def _start(self, engines: Sequence[str]) -> None:
        query = self.folder / "query.npy"
        np.save(query, self.dataset.queries[0])
        rounds: report.Rounds = {name: [] for name in engines}
        for number in range(self.plan.rounds + 1):
            for name in list(rounds):
                answer = self._first_answer(name, query)
                if answer is None:
                    del rounds[name]
                elif number:  # the first fills the caches
                    rounds[name].append(answer)
        self.say("start done")
        self.results.append(report.Result(report.MEASURES["start"], report.best_of(rounds), rounds))

    def _first_answer(self, name: str, query: Path) -> dict[str, Any] | None:
        command = [
            sys.executable,
            "-m",
            "vego_tools.bench.first_answer",
            name,
            str(self.paths[name]),
            str(query),
        ]
        begun = perf_counter()
        try:
            done = subprocess.run(  # noqa: S603 - our own module, under this interpreter
                command,
                capture_output=True,
                text=True,
                env=environment(self.plan.cores),
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
