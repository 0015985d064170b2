"""The command line: ``python -m benchmarks.formats --help``."""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import pstats
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from textwrap import fill
from time import perf_counter
from typing import Any

from vego_tools.bench import machine

QUICK_ROWS = 5000
SECONDS = 0.3


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    from benchmarks.formats.rows import GROUPS, PROFILED

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.formats", description="lance_fmt beside Parquet, Lance and Vortex"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows, one round")
    parser.add_argument(
        "--only", action="append", choices=list(GROUPS), metavar="ROW", help=", ".join(GROUPS)
    )
    parser.add_argument(
        "--engine", action="append", metavar="NAME", help="only these (default: all installed)"
    )
    parser.add_argument("--rows", type=int, help="rows of the made-up table (default 200,000)")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--profile", choices=PROFILED, metavar="ROW", help="our side of a row under cProfile")
    parser.add_argument("--lines", type=int, default=40, help="of the profile (default 40)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().parents[1] / "results",
        help="folder for the JSON",
    )
    options = parser.parse_args(arguments)
    options.only = options.only or ([options.profile] if options.profile else list(GROUPS))
    options.rows = options.rows or (QUICK_ROWS if options.quick else 200_000)
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def quiet_threads() -> None:
    """One thread for libraries that can be told."""
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "LANCE_CPU_THREADS", "LANCE_IO_THREADS"):
        os.environ[name] = "1"
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def installed(wanted: Sequence[str] | None) -> tuple[list[Any], dict[str, str], dict[str, str]]:
    """Engines, their versions, and who is left out and why."""
    from vego_tools.bench.formats.engines import all_engines

    engines, versions, skipped = [], {}, {}
    for engine in all_engines():
        if wanted and engine.name not in wanted:
            continue
        try:
            versions[engine.package] = engine.version()
            engines.append(engine)
        except ModuleNotFoundError as error:
            skipped[engine.name] = str(error)
    return engines, versions, skipped


def profile(comparison: Any, row: str, lines: int) -> None:
    """Our engine alone on the row; what comes before the timed calls has warmed everything up."""
    comparison.watch = watch = cProfile.Profile()
    comparison.run(row)
    pstats.Stats(watch).sort_stats("cumulative").print_stats(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, keep; 1 where our own engine was wrong."""
    pinned = machine.pin(1)
    quiet_threads()
    from benchmarks.formats import report
    from benchmarks.formats.rows import Comparison

    options = parse(arguments)
    started = perf_counter()

    def say(line: str) -> None:
        print(f"[{perf_counter() - started:4.0f} s] {line}", file=sys.stderr, flush=True)

    engines, versions, skipped = installed(["lance_fmt"] if options.profile else options.engine)
    results: list[report.Result] = []
    with tempfile.TemporaryDirectory(prefix="formats-bench-") as folder:
        comparison = Comparison(
            engines,
            Path(folder),
            rows=options.rows,
            repeats=options.rounds,
            seconds=SECONDS / (6 if options.quick else 1),
            say=say,
        )
        gc.freeze()  # else each collection between rounds goes through all that was imported
        if options.profile:
            profile(comparison, options.profile, options.lines)
            return 0
        for row in options.only:
            found = comparison.run(row)
            results += found
            print("\n\n".join(report.table(one) for one in found), end="\n\n", flush=True)
            say(f"{row} done")
    described = {
        "when": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine.describe() | {"pinned": pinned},
        "versions": versions,
        "skipped": skipped,
        "rows": options.rows,
        "rounds": options.rounds,
        "seconds": perf_counter() - started,
        "results": [one.to_json() for one in results],
    }
    print(heading(described), report.summary(results), sep="\n\n")
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"formats-{datetime.now():%Y-%m-%dT%H%M%S}.json"
    target.write_text(json.dumps(described, indent=1))
    print(f"\n{described['seconds']:.0f} s; every round is in {target}")
    return int(any(name.startswith(report.OURS) for one in results for name in one.wrong))


def heading(described: dict[str, Any]) -> str:
    """What was measured on what."""
    host = described["machine"]
    lines = [
        f"{described['rows']:,} rows x 8 columns; best of {described['rounds']} interleaved rounds; one core "
        f"(pinned to {host['pinned']}) of {host['processor']}; Python {host['python']}; load {host['load']}",
        "  ".join(f"{name} {number}" for name, number in described["versions"].items()),
        *(f"{name} left out: {reason}" for name, reason in described["skipped"].items()),
    ]
    return "\n".join(fill(line, 110) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
