"""Speed and memory of `vego convert` beside DuckDB's own copy: `python -m benchmarks.convert --help`.

Each conversion runs in a process of its own, so that its peak memory is its own, on one processor and then on two;
ours and DuckDB's are timed in turn, start of the process and all, and the best of the runs counts. `--check DIR`
converts every Parquet file of a folder to `.lfmt` and back instead, and compares schemas, metadata and values.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

_DUCKDB = """
import duckdb, sys
duckdb.sql(f"COPY (SELECT * FROM '{sys.argv[1]}') TO '{sys.argv[2]}' (FORMAT parquet)")
"""
# Runs a command on so many processors and prints the seconds of them it used, and its peak memory in KiB.
_WATCHED = """
import os, resource, subprocess, sys
processors = sorted(os.sched_getaffinity(0))[: int(sys.argv[1])]
os.sched_setaffinity(0, processors)
done = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(done.returncode)
"""


class Run(NamedTuple):
    """What a process took: seconds by the clock, seconds of processors, peak resident memory in MB."""

    wall: float
    cpu: float
    memory: float


def run(command: list[str], processors: int, modules: Path) -> Run:
    """A process that may use so many processors (DuckDB and `vego convert` take as many threads).

    `modules` is a folder to keep compiled modules in.
    """
    # As installed packages do, from compiled modules: compiling them again is not what is measured.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    watched = [sys.executable, "-c", _WATCHED, str(processors), *command]
    done = subprocess.run(
        watched,
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"PYTHONPYCACHEPREFIX": str(modules)},
    )
    cpu, memory = map(float, done.stdout.split())
    return Run(time.perf_counter() - started, cpu, memory * 1024 / 1e6)


def converting(source: Path, destination: Path) -> list[str]:
    """The command of a conversion."""
    return [
        sys.executable,
        "-m",
        "vego.cli",
        "convert",
        str(source),
        str(destination),
        "--overwrite",
        "--no-progress",
    ]


def make_table(path: Path, rows: int) -> None:
    """Something like an order table: numbers, times, words, text and a few nulls."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    words = np.array(["deposits", "furiously", "express", "ideas", "sleep", "quickly", "final", "accounts"])
    writer = None
    for first in range(0, rows, 100_000):
        n = min(100_000, rows - first)
        table = pa.table({
            "order": np.arange(first, first + n) // 4, "part": rng.integers(0, 200_000, n), "line": np.arange(n) % 7,
            "price": rng.integers(90_000, 10_000_000, n) / 100, "discount": rng.integers(0, 11, n) / 100,
            "flag": pa.array(rng.choice(["A", "N", "R"], n)),
            "shipped": pa.array(rng.integers(8000, 10_500, n).astype("M8[D]")),
            "mode": pa.array(rng.choice(["AIR", "RAIL", "SHIP", "TRUCK", "MAIL"], n), mask=rng.random(n) < 0.01),
            "comment": pa.array([" ".join(row) for row in rng.choice(words, (n, 4))]),
        })  # fmt: skip
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def speed(source: Path, room: Path, runs: int, processors: int) -> dict[str, float]:
    """Parquet to `.lfmt`, and DuckDB's Parquet to Parquet, in turn; the best of each."""
    commands = {
        "to .lfmt": converting(source, room / "a.lfmt"),
        "DuckDB's copy": [sys.executable, "-c", _DUCKDB, str(source), str(room / "b.parquet")],
    }
    done: dict[str, list[Run]] = {what: [] for what in commands}
    for command in commands.values():  # compiles modules and kernels
        run(command, processors, room / "modules")
    for _ in range(runs):
        for what, command in commands.items():
            done[what].append(run(command, processors, room / "modules"))
    found = {}
    for what, each in done.items():
        found[f"{what}, s"] = min(one.wall for one in each)
        found[f"{what}, s of processors"] = min(one.cpu for one in each)
    ours, theirs = done.values()
    found["speed, DuckDB is 1"] = min(one.wall for one in theirs) / min(one.wall for one in ours)
    found["the same by processor time"] = min(one.cpu for one in theirs) / min(one.cpu for one in ours)
    found["peak memory to .lfmt, MB"] = max(one.memory for one in ours)
    return found


def measure(source: Path, room: Path, runs: int, back: bool) -> dict[str, Any]:
    """Speed on one processor and, where there are, on two; sizes; with `back`, the way back too."""
    found: dict[str, Any] = {}
    for processors in (1, 2)[: len(os.sched_getaffinity(0))]:
        found[f"processors: {processors}"] = speed(source, room, runs, processors)
    names = {"source": source, ".lfmt": room / "a.lfmt", "DuckDB's Parquet": room / "b.parquet"}
    found |= {f"{what}, MB": path.stat().st_size / 1e6 for what, path in names.items()}
    if back:
        one = run(converting(room / "a.lfmt", room / "c.parquet"), 2, room / "modules")
        found |= {"back to Parquet, s": one.wall, "peak memory back, MB": one.memory}
    return found


def check(folder: Path, room: Path) -> int:
    """How many Parquet files of a folder do not come back the same; prints each."""
    import pyarrow.parquet as pq

    from vego_tools.convert import convert as convert_file

    wrong = 0
    for path in sorted(folder.rglob("*.parquet")):
        first = convert_file(path, room / "a.lfmt", overwrite=True, check=True)
        second = convert_file(room / "a.lfmt", room / "b.parquet", overwrite=True, check=True)
        before, after = pq.read_table(path), pq.read_table(room / "b.parquet")
        schema = before.schema.equals(after.schema, check_metadata=True)
        values = before.num_rows == after.num_rows == first.checked == second.checked
        wrong += not (schema and values)
        verdict = (
            "equal" if schema and values else f"DIFFERENT (schema equal: {schema}, rows equal: {values})"
        )
        print(f"{path.name}: {first.rows:,} rows, {first.columns:,} columns, {first.source_bytes:,} bytes of Parquet, "
              f"{first.destination_bytes:,} of .lfmt: {verdict}")  # fmt: skip
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="a Parquet file (default: one is generated)")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the generated table")
    parser.add_argument("--runs", type=int, default=3, help="of each, of which the best counts")
    parser.add_argument("--back", action="store_true", help="convert back to Parquet, too")
    parser.add_argument("--check", type=Path, metavar="DIR", help="convert all files of a folder and back")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        if options.check:
            return 1 if check(options.check, room) else 0
        source = options.source or room / "source.parquet"
        if not options.source:
            make_table(source, options.rows)
        found = measure(source, room, options.runs, options.back)
        print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
