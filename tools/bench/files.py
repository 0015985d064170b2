"""File formats beside each other: every format writes and reads one table in a process of its own, round by round."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lance_fmt import FormatError, Table
from vego.errors import InvalidArgumentError
from vego_tools.bench.pool import Pool
from vego_tools.bench.report import Column, Measure, Result, Rounds, best_of
from vego_tools.bench.run import Plan
from vego_tools.terminal import printable

if TYPE_CHECKING:
    import pyarrow as pa

ENGINES = (
    "lance_fmt",
    "lance_fmt-small",
    "parquet-snappy",
    "parquet-zstd",
    "lance",
    "vortex",
    "vortex-compact",
)
OURS = ("lance_fmt", "lance_fmt-small")
KEPT = 1000  # rows of a range of the key, or a hundredth of all
RANGES = 64
Sizes = dict[str, dict[str, Any]]  # engine -> what became of writing its file
TAKEN = {"take 1 row": 1, "take 100 rows": 100}
MEGABYTES = Column("MB", "mega_bytes", ",.2f")


def _measure(name: str, title: str, unit: str = "ms", form: str = ",.3f", key: str = "p50_ms") -> Measure:
    columns = (MEGABYTES,) if key != MEGABYTES.key else ()
    return Measure(name, title, key, unit, form, False, columns, OURS)


MEASURES = {
    measure.name: measure
    for measure in (
        _measure("file size", "Size of the file", "MB", ",.2f", MEGABYTES.key),
        _measure("write", "Write the table to a file"),
        _measure("read", "Open the file, read all columns into arrays"),
        _measure("take 1 row", "One random row, all columns, file open"),
        _measure("take 100 rows", "100 random rows, all columns, file open"),
        _measure("scan", "A range of a key, two columns out, file open"),
    )
}
WORKLOADS = {
    "file-size": ("file size",),
    "file-write": ("write",),
    "file-read": ("read",),
    "file-take": tuple(TAKEN),
    "file-scan": ("scan",),
}


@dataclass
class Choice:
    """The route of each engine for one measure, and why some have none."""

    routes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class FileRun:
    """One comparison in a temporary folder; `name` is what the table is called."""

    def __init__(
        self, plan: Plan, table: pa.Table, name: str, folder: Path, say: Callable[[str], None]
    ) -> None:
        self.plan, self.name, self.say = plan, name, say
        self.shape = [table.num_rows, table.num_columns]
        self.scan = choose_range(table)
        _save(table, folder)
        (folder / "scan.json").write_text(json.dumps(self.scan))
        self.pool = Pool("vego_tools.bench.file_worker", folder, plan.cores, say)

    def run(self) -> list[Result]:
        """The results of the plan's workloads, in their order."""
        engines = [one for one in ENGINES if one in self.plan.engines]
        self.pool.start(engines)
        try:
            sizes: Sizes = {}
            for name in self.pool.names(engines):
                answer = self.pool.ask(name, "build")
                if answer is not None:
                    sizes[name] = answer
                    self.say(f"{name}: wrote {answer['mega_bytes']:,.2f} MB")
            names = [one for workload in self.plan.workloads for one in WORKLOADS[workload]]
            chosen = {name: self._choose(name, sizes) for name in names}
            rounds: dict[str, Rounds] = {name: {} for name in names}
            for number in range(self.plan.rounds):  # all measures in each: one's rounds are far apart
                for name, choice in chosen.items():
                    self._round(name, choice, rounds[name])
                self.say(f"files: round {number + 1} of {self.plan.rounds} done")
            return [self._result(MEASURES[name], sizes, chosen[name], rounds[name]) for name in names]
        finally:
            self.pool.stop(engines)

    def _choose(self, measure: str, sizes: Sizes) -> Choice:
        choice = Choice()
        if measure == "file size":
            return choice
        if measure == "scan" and self.scan is None:
            choice.notes.append("no column of numbers without nulls to select a range of")
            return choice
        for name in self.pool.names(sizes):
            answer = self.pool.ask(name, "choose", measure=measure, seconds=self.plan.seconds / 10)
            if answer is not None and answer["route"]:
                choice.routes[name] = answer["route"]
            elif answer is not None:
                choice.notes.append(f"{name}: {printable(answer['why'])[:120]}")
        return choice

    def _round(self, measure: str, choice: Choice, rounds: Rounds) -> None:
        for name in self.pool.names(choice.routes):
            answer = self.pool.ask(name, "time", measure=measure, seconds=self.plan.seconds / 4)
            if answer is not None:
                rounds.setdefault(name, []).append(answer)

    def _result(self, measure: Measure, sizes: Sizes, choice: Choice, rounds: Rounds) -> Result:
        if measure.key == MEGABYTES.key:
            return Result(measure, sizes, {name: [one] for name, one in sizes.items()})
        figures = {
            name: one | sizes[name] | {"route": choice.routes[name]} for name, one in best_of(rounds).items()
        }
        return Result(measure, figures, rounds, note="; ".join(choice.notes))


def choose_range(table: pa.Table) -> dict[str, Any] | None:
    """The column that ranges are taken of, the columns read, and the ranges [low, high); None where there is none."""
    import pyarrow as pa

    for key in table.column_names:
        column = table[key]
        integer, floating = pa.types.is_signed_integer(column.type), pa.types.is_floating(column.type)
        if column.null_count or not (integer or floating) or not key.isidentifier():
            continue
        values = np.sort(column.to_numpy())
        keep = max(1, min(KEPT, len(values) // 100))
        if len(values) <= keep or not np.isfinite(values).all() or values[0] == values[-1]:
            continue
        starts = np.random.default_rng(1).integers(0, len(values) - keep, RANGES).tolist()
        ranges = [(values[one].item(), values[one + keep].item()) for one in starts]
        other = [name for name in table.column_names if name != key and not _is_wide(table[name].type)]
        return {
            "key": key,
            "columns": [key, *other[1:2]],
            "ranges": [one for one in ranges if one[0] < one[1]] or [(values[0].item(), values[-1].item())],
        }
    return None


def _is_wide(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_nested(kind))


def _save(table: pa.Table, folder: Path) -> None:
    """For the workers, which map it."""
    from pyarrow import OSFile, ipc

    with OSFile(str(folder / "source.arrow"), "wb") as sink, ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def load(source: str, rows: int | None, dimension: int) -> tuple[str, pa.Table, list[str]]:
    """What the table is called, the table, and what was left out of it.

    `source` is "generated" or the path of an .lfmt or .parquet file. Columns of types that this format lacks are left
    out. Raises InvalidArgumentError where pyarrow is missing, or the file is of another kind.
    """
    try:
        import pyarrow.parquet as pq

        from vego_tools.bench.formats.catalogue import catalogue, plain
    except ModuleNotFoundError as error:
        raise InvalidArgumentError(
            f"files are compared through Arrow ({error}): pip install 'vego[arrow]'"
        ) from None
    if source == "generated":
        return "catalogue", catalogue(rows or 100_000, dimension), []
    path = Path(source)
    if path.suffix == ".lfmt":
        import lance_fmt

        with lance_fmt.open(path) as file:
            table = file.read(rows=slice(0, rows)).to_arrow()
    elif path.suffix == ".parquet":
        table = pq.read_table(path).slice(0, rows)
    else:
        raise InvalidArgumentError(f"{source}: file workloads take .lfmt and .parquet files, or `generated`")
    if not table.num_rows or not table.num_columns:
        raise InvalidArgumentError(
            f"{source}: {table.num_rows} rows of {table.num_columns} columns, nothing to measure"
        )
    table = plain(table)
    kept = [name for name in table.column_names if _fits(table.select([name]))]
    lost = [f"{name} ({table[name].type})" for name in table.column_names if name not in kept]
    if not kept:
        raise InvalidArgumentError(f"{source}: no column can be written as .lfmt: {', '.join(lost)}")
    return path.name, table.select(kept), lost


def _fits(table: pa.Table) -> bool:
    try:
        Table.from_arrow(table)
    except FormatError:
        return False
    return True
