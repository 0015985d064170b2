"""The comparison: ``python -m benchmarks.run`` (``--quick`` for two thousand rows; ``--help`` for the rest).

Runs all that ``vego bench`` runs on databases, on the project's own data, and holds Vego to targets. Prints a table
with ratios; keeps every round in ``benchmarks/results/<date>.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from textwrap import fill
from time import perf_counter
from typing import Any

from benchmarks.shared import default_source
from vego_tools.bench import machine, report
from vego_tools.bench.data import SEED, prepare
from vego_tools.bench.engines.base import ENGINES
from vego_tools.bench.run import FLOOR, WORKLOADS, Plan, Run

WIDTH = 100
PEERS = ("zvec", "zvec-int8", "chroma", "lancedb")
FILTERED = {"zvec": 1 / 0.7, "zvec-int8": 1.0, "chroma": 10.0, "lancedb": 10.0}
TARGETS = {  # measure -> the least ratio to each peer that the project holds itself to
    "batch-0.95": {"hnswlib": 1.0, "faiss": 1.0, "faiss-sq8": 1.0},
    "batch-0.99": {"hnswlib": 1.0, "faiss": 1.0, "faiss-sq8": 1.0},
    "search": dict.fromkeys(PEERS, 1.0) | {"zvec": 2.0},
    "filter 1 %": FILTERED,
    "filter 26 %": FILTERED,
    "get": dict.fromkeys(PEERS, 1.0),
    "load": dict.fromkeys(PEERS, 1.0),
    "start": {"lancedb": 1.0, "chroma": 1.0},
}


def held(result: report.Result) -> report.Result:
    """The result with the targets of its measure."""
    return replace(result, measure=replace(result.measure, targets=TARGETS[result.measure.name]))


def to_json(run: Run, results: Sequence[report.Result], pinned: Sequence[int]) -> dict[str, Any]:
    """The whole run."""
    return {
        "when": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine.describe() | {"pinned": list(pinned)},
        "versions": run.pool.versions,
        "skipped": run.pool.skipped,
        "dataset": {"vectors": [run.dataset.name, *run.dataset.rows.vectors.shape]},
        "queries": len(run.dataset.queries),
        "seed": SEED,
        "rounds": run.plan.rounds,
        "cores": run.plan.cores,
        "recall_floor": FLOOR,
        "filters": {label: str(where) for label, where in run.dataset.filters.items()},
        "results": [result.to_json() for result in results],
    }


def summary(described: dict[str, Any], results: Sequence[report.Result]) -> str:
    """Heading, who was left out, and tables."""
    heading = "\n".join(fill(line, WIDTH) for line in report.heading(described))
    return "\n\n".join([heading, *(report.table(result) for result in results)])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 rows, 100 queries, one round")
    parser.add_argument(
        "--only", action="append", choices=WORKLOADS, metavar="NAME", help=f"of {', '.join(WORKLOADS)}"
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
        "--data", help="data folder, 'sample' or 'generated' (default: the shared data, else the sample)"
    )
    parser.add_argument("--rows", type=int, help="only the first ROWS rows")
    parser.add_argument("--queries", type=int, help="only the first QUERIES queries")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--cores", type=int, default=1, help="processors, and threads per engine (default 1)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder for the JSON"
    )
    options = parser.parse_args(arguments)
    options.only = options.only or list(WORKLOADS)
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
    started = perf_counter()

    def say(line: str) -> None:
        print(f"[{perf_counter() - started:4.0f} s] {line}", file=sys.stderr, flush=True)

    plan = Plan(tuple(options.only), tuple(options.engines), options.rounds, options.cores)
    with tempfile.TemporaryDirectory(prefix="vego-bench-") as folder:
        run = Run(plan, prepare(options.data, options.rows, options.queries), Path(folder), say)
        results = [held(result) for result in run.run()]
        described = to_json(run, results, pinned) | {"seconds": perf_counter() - started}
    print(summary(described, results))
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"{datetime.now():%Y-%m-%dT%H%M%S}.json"
    target.write_text(json.dumps(described, indent=1))
    print(f"\n{described['seconds']:.0f} s; every round is in {target}")
    return int(any(name.startswith("vego") for name in described["skipped"]))


if __name__ == "__main__":
    sys.exit(main())
