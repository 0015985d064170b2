"""One comparison from what was asked for to what is printed, kept as JSON and drawn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import fill
from time import perf_counter
from typing import Any

from vego.errors import InvalidArgumentError
from vego_tools.bench import compare as comparison
from vego_tools.bench import files, machine, report, run
from vego_tools.bench.data import SEED, prepare
from vego_tools.bench.report import MEASURES, Result
from vego_tools.terminal import WIDTH

GENERATED_ROWS = 10_000
WORKLOADS = {
    "load": "rows/s from columns in memory to a durable database, index built",
    "batch": "queries/s of batch search at recall 0.95 and 0.99",
    "search": "latency of one search at a time, with its recall",
    "filter": "the same under filters that keep about 1 % and 26 % of the rows",
    "get": "latency of one whole document by id",
    "start": "a new process to its first answer",
    "file-size": "bytes of a table as a file",
    "file-write": "writing a table to a file",
    "file-read": "reading all columns of a file",
    "file-take": "1 and 100 random rows of an open file",
    "file-scan": "rows in a range of a key, two columns, of an open file",
}
GROUPS = {
    "all": tuple(WORKLOADS),
    "database": run.WORKLOADS,
    "files": tuple(files.WORKLOADS),
}
PEERS = {  # what can be asked for: the configurations of it that are measured
    "hnswlib": ("hnswlib",),
    "faiss": ("faiss", "faiss-sq8"),
    "chromadb": ("chroma",),
    "lancedb": ("lancedb",),
    "zvec": ("zvec", "zvec-int8"),
    "parquet": ("parquet-snappy", "parquet-zstd"),
    "lance": ("lance",),
    "vortex": ("vortex", "vortex-compact"),
}
OURS = ("vego", "vego-index", "lance_fmt", "lance_fmt-small")


@dataclass(frozen=True)
class Request:
    """What to measure; `data` is a file, "sample" or "generated", `rows` its first rows."""

    workloads: tuple[str, ...] = GROUPS["all"]
    data: str = "generated"
    rows: int | None = None
    dimension: int = 128
    queries: int = 200
    peers: tuple[str, ...] = tuple(PEERS)
    rounds: int = 3
    cores: int = 1
    seconds: float = 1.0

    def plan(self, workloads: Sequence[str]) -> run.Plan:
        """The part of it that concerns these workloads."""
        engines = OURS + tuple(one for peer in self.peers for one in PEERS[peer])
        asked = tuple(one for one in workloads if one in self.workloads)
        return run.Plan(asked, engines, self.rounds, self.cores, self.seconds)


def workloads_of(names: Sequence[str]) -> tuple[str, ...]:
    """The workloads named, groups taken apart, in their own order; all for no name. Raises InvalidArgumentError."""
    unknown = [name for name in names if name not in WORKLOADS and name not in GROUPS]
    if unknown:
        raise InvalidArgumentError(
            f"no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}, and the groups {', '.join(GROUPS)}"
        )
    wanted = {one for name in names or ["all"] for one in GROUPS.get(name, (name,))}
    return tuple(one for one in WORKLOADS if one in wanted)


def peers_of(text: str | None) -> tuple[str, ...]:
    """The peers named, separated by commas; all for None, nobody for "none". Raises InvalidArgumentError."""
    if text is None:
        return tuple(PEERS)
    names = [name.strip() for name in text.split(",") if name.strip() not in ("", "none")]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise InvalidArgumentError(f"no peer {unknown[0]!r}; there are {', '.join(PEERS)}, and none")
    return tuple(dict.fromkeys(names))


def compare(request: Request, say: Callable[[str], None]) -> dict[str, Any]:
    """Run it: the whole run, as it goes into JSON. `say` gets lines of progress.

    Raises InvalidArgumentError for data that cannot be measured. Peers that fail are left out, with their reasons.
    """
    started = perf_counter()
    results: list[Result] = []
    with (
        machine.pinned(request.cores) as pinned,
        tempfile.TemporaryDirectory(prefix="vego-bench-") as folder,
    ):
        described: dict[str, Any] = {
            "vego_bench": 1,
            "when": datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": machine.describe() | {"pinned": pinned},
            "versions": {},
            "skipped": {},
            "dataset": {},
            "seed": SEED,
            "rounds": request.rounds,
            "cores": request.cores,
        }
        for part, which in ((_databases, run.WORKLOADS), (_files, files.WORKLOADS)):
            plan = request.plan(tuple(which))
            if plan.workloads:
                own = Path(folder) / part.__name__
                own.mkdir()
                results += part(request, plan, own, say, described)
    described["seconds"] = perf_counter() - started
    described["results"] = [result.to_json() for result in results]
    return described


def load(path: Path) -> dict[str, Any]:
    """A kept result that can be shown. Raises InvalidArgumentError where it is none."""
    described = comparison.load(path)
    try:
        text(described)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidArgumentError(
            f"{path}: a result of a comparison that cannot be shown: {type(error).__name__} {error}"
        ) from None
    return described


def results_of(described: dict[str, Any]) -> list[Result]:
    """The results of a run; those of measures that there are not any more are left out."""
    known = MEASURES | files.MEASURES
    return [
        Result.from_json(one, known[one["measure"]])
        for one in described["results"]
        if one["measure"] in known
    ]


def text(described: dict[str, Any]) -> str:
    """The run for people."""
    heading = "\n".join(fill(line, WIDTH) for line in report.heading(described))
    return "\n\n".join([heading, *(report.table(result) for result in results_of(described))])


def _databases(
    request: Request, plan: run.Plan, folder: Path, say: Callable[[str], None], described: dict[str, Any]
) -> list[Result]:
    rows = request.rows or (GENERATED_ROWS if request.data == "generated" else None)
    dataset = prepare(request.data, rows, request.queries, request.dimension)
    one = run.Run(plan, dataset, folder, say)
    described["dataset"]["vectors"] = [dataset.name, *dataset.rows.vectors.shape]
    described["queries"] = len(dataset.queries)
    described["recall_floor"] = run.FLOOR
    try:
        return one.run()
    finally:
        _note(one.pool.versions, one.pool.skipped, described)


def _files(
    request: Request, plan: run.Plan, folder: Path, say: Callable[[str], None], described: dict[str, Any]
) -> list[Result]:
    source = request.data
    if source == "sample":
        from vego_tools.demo.sample import PACKAGES

        source = str(PACKAGES)
    name, table, lost = files.load(source, request.rows or None, request.dimension)
    if lost:
        say(f"{name}: without {', '.join(lost)}, which .lfmt cannot hold")
    one = files.FileRun(plan, table, name, folder, say)
    described["dataset"]["table"] = [name, *one.shape]
    try:
        return one.run()
    finally:
        _note(one.pool.versions, one.pool.skipped, described)


def _note(versions: dict[str, str], skipped: dict[str, str], described: dict[str, Any]) -> None:
    described["versions"] |= versions
    described["skipped"] |= skipped
