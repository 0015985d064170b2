"""A graph on the disk in bounded memory: `python -m benchmarks.disk_graph --help`.

One process makes vectors of a low intrinsic dimension and builds a collection with `index="disk"`. Then, for each
effort, and for filters that leave a share of the rows, chosen at random, the files are put out of the page cache, and a
process with `--memory` bytes a vector for itself and for cached pages together (a memory control group, where one can
be made; else nothing is limited, and the table says so) opens it and searches: queries it has not seen (cold), the same
ones again, and, in a process without a limit, those it has just seen (hot).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

K = 10
BLOCK = 4096  # bytes that the disk reads at the least
FILTERED_EF = 64
HEADINGS = "cold p50 / p99 ms | blocks read | again p50 / p99 ms | blocks read | hot p50 / p99 ms"
SHARES = (0.01, 0.1, 0.5)  # of the rows, that a filter leaves
EFS = (16, 32, 64, 128, 256)
CLUSTERS = 256
CHUNK = 1 << 18
RESULTS = Path(__file__).parent / "results"
GROUPS = Path("/sys/fs/cgroup")

Rows = npt.NDArray[np.float32]


def made_up(rows: int, dimension: int, intrinsic: int, seed: int, stream: int) -> Rows:
    """Vectors on a curved surface of `intrinsic` dimensions, in clusters that overlap, with a little noise.

    Another `stream` has other vectors of the same surface.
    """
    shape = np.random.default_rng(seed)
    centres = shape.standard_normal((CLUSTERS, intrinsic)).astype(np.float32)
    scale = (1 / np.sqrt(np.arange(1, intrinsic + 1))).astype(np.float32)
    turn = (shape.standard_normal((intrinsic, dimension)) * 0.4).astype(np.float32)
    rng = np.random.default_rng((seed, stream))
    out = np.empty((rows, dimension), np.float32)
    for first in range(0, rows, CHUNK):
        part = out[first : first + CHUNK]
        latent = centres[rng.integers(0, CLUSTERS, len(part))] * scale
        latent += rng.standard_normal(latent.shape, np.float32) * scale
        part[...] = np.tanh(latent @ turn)
        part += rng.standard_normal(part.shape, np.float32) * np.float32(0.05)
    return out


def of_status(name: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def read_bytes() -> int:
    """What this process had the disk read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def in_parts(rows: int) -> None:
    """Have indexes that begin in this process cut into parts of so many rows: a collection has no option for that."""
    from vego.index import DiskIndex, kinds

    class Parts(DiskIndex):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, part_rows=rows, **options)

    kinds.DiskIndex = Parts  # type: ignore[misc]


def build(options: argparse.Namespace) -> dict[str, Any]:
    """Write the collection, and the true neighbours of the queries."""
    import vego

    if options.parts > 1:
        in_parts(-(-options.rows // options.parts))
    folder = Path(options.directory)
    vectors = made_up(options.rows, options.dimension, options.intrinsic, options.seed, 1)
    queries = made_up(options.queries, options.dimension, options.intrinsic, options.seed, 2)
    ids = [str(number) for number in range(options.rows)]
    order = np.random.default_rng(options.seed).permutation(options.rows)
    filtered = made_up(
        len(SHARES) * (options.queries // len(EFS)), options.dimension, options.intrinsic, options.seed, 4
    )
    out: dict[str, Any] = {}
    with vego.open(folder / "db", dimension=options.dimension, metric="l2", background=False) as db:
        docs = db.collection("c", index="disk", m=options.m, retain_versions=2)
        seen = [(perf_counter(), of_status("RssAnon"))]  # the beginning, then after each batch of nodes
        docs.insert_batch(
            ids=ids,
            vectors=vectors,
            metadata={"order": order},
            progress=lambda *_: seen.append((perf_counter(), of_status("RssAnon"))),
        )
        docs.build_index()
        out["insert_s"], out["build_s"] = seen[1][0] - seen[0][0], perf_counter() - seen[1][0]
        out["build_bytes"] = max(size for _, size in seen) - seen[0][1]
        del vectors, ids
        start = perf_counter()
        _, truth = docs.search_batch(queries, k=K, exact=True)
        out["exact_ms"] = (perf_counter() - start) * 1e3 / len(queries)
        limits = [
            docs.search_batch(some, k=K, exact=True, filter=where)[1][:, -1]
            for where, some in zip(filters(options), np.split(filtered, len(SHARES)), strict=True)
        ]
        report = docs.index_report()
        out["memory"], out["curve"] = report.memory, report.curve
        out["usual_ef"] = report.ef
    np.savez(
        folder / "queries.npz",
        queries=queries, truth=truth[:, -1], filtered=filtered, limits=np.concatenate(limits),
    )  # fmt: skip
    out["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    out["file_bytes"] = {
        name: sum(path.stat().st_size for path in (folder / "db/collections/c" / name).iterdir())
        for name in ("data", "index")
    }
    return out


def filters(options: argparse.Namespace) -> list[str]:
    """A filter for each of SHARES."""
    return [f"order < {round(share * options.rows)}" for share in SHARES]


def twice(docs: Any, queries: Rows, limits: Rows, **how: Any) -> dict[str, float]:
    """Search for each query, and again: times in ms, blocks that the disk read for a query, recall@10 by distance."""
    found: dict[str, float] = {}
    for name in ("first", "again"):
        before, times, hits = read_bytes(), [], 0
        for query, limit in zip(queries, limits, strict=True):
            start = perf_counter()
            answer = docs.search(query, k=K, **how)
            times.append((perf_counter() - start) * 1e3)
            hits += sum(hit.distance <= limit * (1 + 1e-5) for hit in answer)
        found[f"{name}_p50_ms"], found[f"{name}_p99_ms"] = np.percentile(times, [50, 99]).tolist()
        found[f"{name}_blocks"] = (read_bytes() - before) / BLOCK / len(queries)
        found["recall"] = hits / (K * len(queries))
    return found


def search(options: argparse.Namespace) -> dict[str, Any]:
    """Open the collection, and search for the queries of a case, twice: one of EFS, or behind them of SHARES."""
    import vego

    folder = Path(options.directory)
    stored = np.load(folder / "queries.npz")
    filtered = options.case >= len(EFS)
    number = options.case - len(EFS) if filtered else options.case
    queries, limits = (
        stored[name] for name in (("filtered", "limits") if filtered else ("queries", "truth"))
    )
    some = np.split(queries, len(SHARES if filtered else EFS))[number]
    where = filters(options)[number] if filtered else None
    start = perf_counter()
    db = vego.open(folder / "db", read_only=True)
    docs = db.collection("c")
    out: dict[str, Any] = {"open_s": perf_counter() - start, "open_bytes": of_status("RssAnon")}
    how = {"ef": FILTERED_EF if filtered else EFS[number], "filter": where}
    # Kernels are loaded, and the columns of the filter read.
    docs.search(made_up(1, options.dimension, options.intrinsic, options.seed, 3)[0], k=K, **how)
    out |= twice(docs, some, np.split(limits, len(SHARES if filtered else EFS))[number], **how)
    plan = docs.explain(some[0], K, **how)
    out |= {"ef": how["ef"], "plan": plan.strategy, "share": SHARES[number] if filtered else 1.0}
    if not filtered:
        out["reads"] = float(np.mean([docs.explain(query, K, **how).visited for query in some[:50]]))
    out["end_bytes"], out["peak_bytes"] = of_status("RssAnon"), of_status("VmHWM")
    return out


class MemoryGroup:
    """A memory control group (version 1 or 2) with a limit in bytes; `path` is None where none can be made."""

    def __init__(self, limit: int) -> None:
        self.path: Path | None = None
        for parent, name in ((GROUPS / "memory", "memory.limit_in_bytes"), (GROUPS, "memory.max")):
            path = parent / f"disk-graph-{os.getpid()}"
            with suppress(OSError):
                path.mkdir()
                try:
                    (path / name).write_text(str(limit))
                    self.path = path
                    break
                except OSError:
                    path.rmdir()

    def enter(self) -> None:
        """Put this process into the group."""
        if self.path is not None:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self) -> int:
        """The most memory that was in use, cached pages among it, in bytes; 0 where that is not known."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            with suppress(OSError, TypeError):
                return int((self.path / name).read_text())  # type: ignore[operator]
        return 0

    def close(self) -> None:
        """Remove the group; its processes have ended."""
        if self.path is not None:
            self.path.rmdir()


def put_out(folder: Path) -> None:
    """Have the system forget what it has cached of the files below `folder`."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def child(task: str, options: argparse.Namespace, enter: Callable[[], None] | None = None) -> dict[str, Any]:
    """One task in a process of its own."""
    given = [f"--{name}={value}" for name, value in vars(options).items() if name not in ("task", "out")]
    command = [sys.executable, "-m", "benchmarks.disk_graph", *given, "--task", task]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, preexec_fn=enter)
    if done.returncode:
        killed = ": it was killed, as where memory is short; `--memory` is the limit in bytes a vector"
        raise SystemExit(f"{task} ended with {done.returncode}{killed if done.returncode == -9 else ''}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def mib(size: int) -> str:
    """Bytes for people."""
    return f"{size / (1 << 20):,.0f} MiB"


def table(outcome: dict[str, Any]) -> str:
    """What was measured, for people."""
    options, built, limited, free = (outcome[name] for name in ("options", "build", "limited", "unlimited"))
    rows, files = options["rows"], built["file_bytes"]
    most = {name: max(case[name] for case in limited) for name in ("open_bytes", "end_bytes", "open_s")}
    lines = [
        f"{rows:,} x {options['dimension']}, m={options['m']}, parts={options['parts']}: inserted in "
        f"{built['insert_s']:.0f} s, built in {built['build_s']:.0f} s ({rows / built['build_s']:,.0f} rows/s) in "
        f"{mib(built['build_bytes'])} beside the vectors made; the process took {mib(built['peak_bytes'])}",
        f"files: data {mib(files['data'])}, index {mib(files['index'])} ({files['index'] / rows:,.0f} bytes a row); "
        f"exact scan {built['exact_ms']:.0f} ms a query",
        f"memory: {outcome['group']}; private after opening "
        f"{mib(most['open_bytes'])}, at the end {mib(most['end_bytes'])}; opened in {most['open_s']:.1f} s",
        "",
        f"| ef | recall@10 | records | {HEADINGS} |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    filtered = ["", f"| filter leaves | plan, ef {FILTERED_EF} | recall@10 | {HEADINGS} |"]
    filtered += ["|---:|---|---:|---:|---:|---:|---:|---:|"]
    for cold, hot in zip(limited, free, strict=True):
        if "reads" in cold:
            lines.append(f"| {cold['ef']} | {cold['recall']:.3f} | {cold['reads']:.0f} | {times(cold, hot)}")
        else:
            start = f"| {cold['share']:.0%} | {cold['plan']} | {cold['recall']:.3f}"
            filtered.append(f"{start} | {times(cold, hot)}")
    return "\n".join(lines + filtered)


def times(cold: dict[str, float], hot: dict[str, float]) -> str:
    """The end of a line of a table."""
    first, again = (
        f"{cold[f'{name}_p50_ms']:.2f} / {cold[f'{name}_p99_ms']:.2f} | {cold[f'{name}_blocks']:.1f}"
        for name in ("first", "again")
    )
    return f"{first} | {again} | {hot['again_p50_ms']:.2f} / {hot['again_p99_ms']:.2f} |"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All of it."""
    folder = Path(options.directory)
    outcome: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": {
            name: value
            for name, value in vars(options).items()
            if name not in ("task", "case", "out", "directory")
        },
        "build": json.loads((folder / "built.json").read_text())
        if (folder / "built.json").exists()
        else child("build", options),
    }
    (folder / "built.json").write_text(json.dumps(outcome["build"]))
    limit = int(options.memory * options.rows)
    outcome["limited"], peaks = [], []
    for options.case in range(len(EFS) + len(SHARES)):
        put_out(folder)
        group = MemoryGroup(limit)
        try:
            outcome["limited"].append(child("search", options, group.enter))
            peaks.append(group.peak())
        finally:
            group.close()
    made = "not limited" if group.path is None else f"control group, at most {mib(max(peaks))}"
    outcome["group"] = f"limit {mib(limit)} ({made})"
    outcome["unlimited"] = []
    for options.case in range(len(EFS) + len(SHARES)):
        outcome["unlimited"].append(child("search", options))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(outcome, indent=1))
    return outcome


def main(arguments: list[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disk_graph", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=96)
    parser.add_argument("--intrinsic", type=int, default=16, help="dimensions the vectors really have")
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--parts", type=int, default=1, help="parts of the index")
    parser.add_argument(
        "--queries", type=int, default=1000, help="a fifth of them for each effort, and filter"
    )
    parser.add_argument("--memory", type=float, default=160, help="bytes a vector that searching may take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--directory",
        help="where to work, kept, and used again if it is there; else a temporary one",
    )
    parser.add_argument("--out", type=Path, help="the JSON file; default: in benchmarks/results")
    parser.add_argument("--case", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=["build", "search"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.task is not None:
        print(json.dumps({"build": build, "search": search}[options.task](options)))
        return
    kept = options.directory is not None
    options.directory = options.directory or tempfile.mkdtemp(prefix="vego-disk-graph-")
    Path(options.directory).mkdir(parents=True, exist_ok=True)
    options.out = options.out or RESULTS / f"disk-graph-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    try:
        print(table(measure(options)))
        print(f"\n{options.out}")
    finally:
        if not kept:
            shutil.rmtree(options.directory)


if __name__ == "__main__":
    main()
