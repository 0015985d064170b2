"""How long DuckDB takes for the queries of TPC-H, by where the tables are.

    python -m benchmarks.tpch                    # scale factor 1, made by tpchgen-cli in a temporary folder
    python -m benchmarks.tpch --data FOLDER      # Parquet files of the tables; --scale must say how many

Each query runs once to warm up, then by turns over each kind of table; the best of the runs counts. All answers
are compared.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.tpch.data import TABLES, make_files, make_parquet, queries, same


def connections(parquet: Path, files: Path, threads: int | None, decoding: int | None) -> dict[str, Any]:
    """A DuckDB connection for each kind of table, with the same number of threads."""
    import duckdb

    from lance_fmt.interop.duckdb import register

    found = {}
    for kind in ("native", "parquet", "lfmt"):
        connection = duckdb.connect()
        if threads is not None:
            connection.execute(f"set threads = {threads}")
        for name in TABLES:
            source = str(parquet / f"{name}.parquet").replace("'", "''")
            if kind == "lfmt":
                register(connection, name, files / f"{name}.lfmt", threads=decoding)
            else:
                what = "table" if kind == "native" else "view"
                connection.execute(f"create {what} {name} as select * from '{source}'")
        found[kind] = connection
    return found


def measure(
    found: dict[str, Any], scale: float, runs: int, wanted: list[int] | None
) -> dict[int, dict[str, float]]:
    """Seconds of each query by kind of table; raises AssertionError where answers differ."""
    results: dict[int, dict[str, float]] = {}
    for number, sql in queries(scale).items():
        if wanted and number not in wanted:
            continue
        answers = {kind: connection.execute(sql).fetchall() for kind, connection in found.items()}
        for kind, answer in answers.items():
            assert same(answers["native"], answer), f"Q{number} differs over {kind}"
        best = dict.fromkeys(found, math.inf)
        for _ in range(runs):
            for kind, connection in found.items():
                start = time.perf_counter()
                connection.execute(sql).fetchall()
                best[kind] = min(best[kind], time.perf_counter() - start)
        results[number] = best
        shown = "  ".join(f"{kind} {seconds * 1000:7.1f} ms" for kind, seconds in best.items())
        print(f"Q{number:<3} {shown}", flush=True)
    return results


def mean_ratio(results: dict[int, dict[str, float]], kind: str) -> float:
    """Speed over lfmt in units of that over `kind`: the geometric mean of all queries."""
    logs = [math.log(seconds[kind] / seconds["lfmt"]) for seconds in results.values()]
    return math.exp(sum(logs) / len(logs))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tpch", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the tables as Parquet files")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of DuckDB, for all kinds of tables")
    parser.add_argument("--decoding", type=int, help="threads that decode ahead (default: one a processor)")
    parser.add_argument("--level", default="balanced", help="of the files: speed, balanced, small")
    parser.add_argument("--queries", type=int, nargs="+", help="numbers of queries; without, all")
    parser.add_argument("--json", type=Path, help="where to write the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        parquet, files = options.data or Path(temporary) / "parquet", Path(temporary) / "files"
        if options.data is None:
            make_parquet(parquet, options.scale)
        start = time.perf_counter()
        make_files(parquet, files, options.level)
        print(f"written in {time.perf_counter() - start:.1f} s")
        for folder in (parquet, files):
            size = sum(path.stat().st_size for path in folder.iterdir())
            print(f"{folder.name}: {size / 1e6:.1f} MB")
        found = connections(parquet, files, options.threads, options.decoding)
        results = measure(found, options.scale, options.runs, options.queries)
        for kind in ("native", "parquet"):
            print(f"geometric mean of speeds: {mean_ratio(results, kind):.2f} x {kind}")
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
