"""Filtered search beside other databases, at every selectivity and correlation: ``python -m benchmarks.filtered``.

Each database holds the same rows with the same columns, answers through its own Python API, one query at a time, in one
process on one core; the engines take turns, round by round, and the best round's median counts. Recall is counted by
distance against an exhaustive search of the matching rows. Two columns are made up, so that the share of matches is
exact: ``bucket`` is random, and ``far`` is a row's rank by distance from the queries of one topic, so that a filter on
it keeps what is far from them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from benchmarks.shared import default_source
from vego_tools.bench import machine
from vego_tools.bench.data import TOLERANCE, Dataset, K, kth_distance, mask, prepare
from vego_tools.bench.engines.base import Database, Filter, Rows, load_engine

PEERS = {"zvec": 0.7, "zvec-int8": 0.7, "chroma": 0.1, "lancedb": 0.1}  # and the ratio of medians aimed at
SHARES = (0.001, 0.01, 0.1, 0.5)
TOPIC = 50  # queries that are asked about one topic
SECONDS = 2.0


@dataclass(frozen=True)
class Case:
    """One row: comparisons that must all hold, and the numbers of the queries asked."""

    label: str
    where: tuple[Filter, ...]
    queries: np.ndarray


def with_ranks(dataset: Dataset) -> tuple[Rows, np.ndarray]:
    """The rows with `bucket` and `far`, both 0 .. n - 1, and the queries of the topic that `far` is about."""
    rows, queries = dataset.rows, dataset.queries
    count = len(rows.ids)
    unit = rows.vectors / np.maximum(np.linalg.norm(rows.vectors, axis=1, keepdims=True), 1e-30)
    topic = np.argsort(-(queries @ queries[0]))[:TOPIC]
    order = np.argsort(-(unit @ queries[topic].mean(axis=0)), kind="stable")
    far = np.empty(count, np.int64)
    far[order] = np.arange(count)
    bucket = np.random.default_rng(3).permutation(count)
    columns = {"section": rows.metadata["section"], "size": rows.metadata["size"]}
    columns |= {"bucket": bucket.tolist(), "far": far.tolist()}
    return replace(rows, metadata=columns, indexed=tuple(columns)), topic


def cases(rows: Rows, topic: np.ndarray, queries: int) -> list[Case]:
    """What is asked."""
    count, everyone = len(rows.ids), np.arange(queries)
    sections, numbers = np.unique(np.asarray(rows.metadata["section"]), return_counts=True)
    section = str(sections[np.argmax(numbers)])
    half = int(np.median(np.asarray(rows.metadata["size"])))
    found = [
        Case(f"random {share:.1%}", (Filter("bucket", ">=", int(count * (1 - share))),), everyone)
        for share in SHARES
    ]
    found += [
        Case(f"far from it {share:.1%}", (Filter("far", ">=", int(count * (1 - share))),), topic)
        for share in SHARES
    ]
    both = (Filter("section", "==", section), Filter("size", ">=", half))
    return [
        *found,
        Case("section", both[:1], everyone),
        Case("section and size", both, everyone),
        Case("size", both[1:], everyone),
    ]


def translated(engine: Database, where: Sequence[Filter]) -> Any:
    """All of them, in the engine's own language."""
    parts = [engine.translate(one) for one in where]
    if len(parts) == 1:
        return parts[0]
    if engine.name == "vego":
        first, second = parts
        return first & second
    return {"$and": parts} if engine.name == "chroma" else " and ".join(parts)


class Bench:
    """The databases that are installed, built once in a folder that may be kept."""

    def __init__(self, names: Sequence[str], rows: Rows, queries: np.ndarray, folder: Path) -> None:
        self.rows, self.queries, self.engines = rows, queries, dict[str, Database]()
        self.unit = rows.vectors / np.maximum(np.linalg.norm(rows.vectors, axis=1, keepdims=True), 1e-30)
        self.sure = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-30)
        for name in names:
            with suppress(ImportError):
                engine: Database = load_engine(name, 1)
                path = folder / name
                if not path.exists():
                    engine.build(path, rows)
                    engine.close()
                engine.open(path)
                self.engines[name] = engine
                print(f"{name} is ready", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Release them."""
        for engine in self.engines.values():
            engine.close()

    def recall(self, matching: np.ndarray, limits: np.ndarray, asked: np.ndarray, answers: Any) -> float:
        """Mean recall; a row that does not match is an error."""
        expected, total = min(K, int(matching.sum())), 0.0
        for number, limit, ids in zip(asked, limits, answers, strict=True):
            found = np.unique(np.array([int(one) for one in ids], np.int64))
            if not matching[found].all():
                raise ValueError(f"query {number}: a result does not match the filter")
            near = 1 - self.unit[found] @ self.sure[number] <= limit + TOLERANCE
            total += min(1.0, int(near.sum()) / expected)
        return total / len(answers)

    def measure(self, case: Case, rounds: int) -> dict[str, Any]:
        """Median and 99th percentile in ms of each engine's best round, its recall, and the ratios."""
        matching = np.logical_and.reduce([mask(self.rows, one) for one in case.where])
        limits = kth_distance(self.rows.vectors, self.queries[case.queries], matching)
        wheres = {name: translated(engine, case.where) for name, engine in self.engines.items()}
        best: dict[str, dict[str, float]] = {}
        for _ in range(rounds):
            for name, engine in self.engines.items():
                times, answers = self._round(engine, wheres[name], case.queries)
                asked = case.queries[: len(answers)]
                recall = self.recall(matching, limits[: len(answers)], asked, answers)
                p50, p99 = np.percentile(times, (50, 99)) / 1e6
                if name not in best or p50 < best[name]["p50"]:
                    best[name] = {"p50": float(p50), "p99": float(p99), "recall": recall}
        return {"label": case.label, "matches": int(matching.sum()), "engines": best}

    def _round(self, engine: Database, where: Any, asked: np.ndarray) -> tuple[list[int], list[list[str]]]:
        times: list[int] = []
        answers: list[list[str]] = []
        for number in asked[:5]:
            engine.search(self.queries[number], K, where)
        for number in asked:
            start = perf_counter_ns()
            ids, _ = engine.search(self.queries[number], K, where)
            times.append(perf_counter_ns() - start)
            answers.append(ids)
            if sum(times) > SECONDS * 1e9 and len(times) >= 20:
                break
        return times, answers


def line(result: dict[str, Any]) -> str:
    """One row of the table: our median and recall, and our median over each peer's with its recall."""
    engines = result["engines"]
    own = engines["vego"]
    text = f"{result['label']:<19}{result['matches']:>7,}{own['p50']:>8.3f}{own['p99']:>8.3f}{own['recall']:>7.3f}"
    for name, target in PEERS.items():
        if name not in engines:
            text += f"{'-':>17}"
            continue
        one = engines[name]
        ratio = own["p50"] / one["p50"]
        text += f"{ratio:>9.2f}{' ' if ratio <= target else '!'}({one['recall']:.3f})"
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, measure, print; 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="benchmarks.filtered", description=__doc__)
    parser.add_argument("--data", default=default_source(), help="as for benchmarks.run")
    parser.add_argument("--rows", type=int, help="use only so many rows")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", action="append", choices=["vego", *PEERS], dest="engines")
    parser.add_argument("--only", help="rows whose label has this in it")
    parser.add_argument("--folder", type=Path, help="where databases are kept, and found again")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    options = parser.parse_args(arguments)
    machine.pin(1)
    dataset = prepare(options.data, options.rows, options.queries)
    rows, topic = with_ranks(dataset)
    names = options.engines or ["vego", *PEERS]
    results = []
    with tempfile.TemporaryDirectory(prefix="vego-filtered-") as folder:
        bench = Bench(names, rows, dataset.queries, options.folder or Path(folder))
        print(
            "filter             matches  p50 ms     p99 recall   our p50 over theirs (their recall): ", end=""
        )
        print(", ".join(PEERS))
        for case in cases(rows, topic, len(dataset.queries)):
            if options.only is None or options.only in case.label:
                results.append(bench.measure(case, options.rounds))
                print(line(results[-1]), flush=True)
        bench.close()
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
