"""Speed and memory of `vego convert` beside DuckDB's own copy: `python -m benchmarks.convert --help`.

Each conversion runs in a process of its own, so that its peak memory is its own; the two are timed in turn, and the
best of the runs counts. `--check DIR` converts every Parquet file of a folder to `.lfmt` and back instead, and
compares schemas, metadata and values.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_DUCKDB = """
import duckdb, sys
duckdb.sql(f"COPY (FROM '{sys.argv[1]}') TO '{sys.argv[2]}' (FORMAT parquet)")
"""


def peak(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident memory in MB of a process."""
    started = time.perf_counter()
    measured = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
    )
    measured += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
    done = subprocess.run(
        [sys.executable, "-c", measured, *command], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - started, int(done.stdout) / 1000


def convert(source: Path, destination: Path, *options: str) -> tuple[float, float]:
    command = [
        sys.executable,
        "-m",
        "vego.cli",
        "convert",
        str(source),
        str(destination),
        "--overwrite",
        *options,
    ]
    return peak(command)


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


def speed(source: Path, room: Path, runs: int, back: bool) -> dict[str, float]:
    ours, theirs, memory = [], [], []
    for _ in range(runs):
        seconds, used = convert(source, room / "a.lfmt")
        ours.append(seconds)
        memory.append(used)
        theirs.append(peak([sys.executable, "-c", _DUCKDB, str(source), str(room / "b.parquet")])[0])
    found = {
        "to .lfmt, s": min(ours),
        "DuckDB Parquet to Parquet, s": min(theirs),
        "speed, DuckDB is 1": min(theirs) / min(ours),
        "peak memory to .lfmt, MB": max(memory),
        "source, MB": source.stat().st_size / 1e6,
        ".lfmt, MB": (room / "a.lfmt").stat().st_size / 1e6,
        "DuckDB's Parquet, MB": (room / "b.parquet").stat().st_size / 1e6,
    }
    if back:
        found["back to Parquet, s"], found["peak memory back, MB"] = convert(
            room / "a.lfmt", room / "c.parquet"
        )
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
    parser.add_argument("--runs", type=int, default=3)
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
        print(json.dumps(speed(source, room, options.runs, options.back), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
