"""The rows of the comparison: what is timed, against which expected values, to which target."""

from __future__ import annotations

import cProfile
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.formats import data, timing
from benchmarks.formats.report import Measure, Result, Target
from vego_tools.bench.formats.catalogue import ROWS, catalogue, id_ranges, row_sets
from vego_tools.bench.formats.engines import Engine, Ours, Routes
from vego_tools.bench.formats.routes import Call, p50

ROOT = Path(__file__).resolve().parents[2]
FILTERED = ["id", "price"]
KEPT = 1000
VORTEX = ("vortex", "vortex-mmap")
REAL_PEERS = ("parquet-zstd", "vortex", "lance")
CHILD_SECONDS = 600
US, MS, S = 1e6, 1e3, 1.0

MEASURES = {
    one.name: one
    for one in (
        Measure("take1", "one random row, all columns, warm handle", "us", ",.1f", (Target(30),)),
        Measure("take100", "100 random rows, all columns, warm handle", "us", ",.1f", (Target(300),)),
        Measure("take1-first", "open, one random row, all columns", "us", ",.1f"),
        Measure("take100-first", "open, 100 random rows, all columns", "us", ",.1f"),
        Measure(
            "range", f"id in a range of {KEPT}, id and price out, warm handle", "us", ",.1f",
            (Target(150), Target(1.0, VORTEX)),
        ),
        Measure("readall", "open, all columns into arrays", "ms", ",.2f", (Target(0.6, VORTEX),)),
        Measure("vector", "open, the vectors as an array", "ms", ",.2f", (Target(0.4, VORTEX),)),
        Measure("open1k", "open a file of 1,000 int64 columns x 10 rows", "ms", ",.3f", (Target(0.3),)),
        Measure("open10k", "open a file of 10,000 int64 columns x 10 rows", "ms", ",.3f", (Target(1.0),)),
        Measure("size", "bytes of the file", "MB", ",.3f", (Target(0.92, ("vortex",)),)),
        Measure("size-rest", "bytes without the vectors", "MB", ",.3f", (Target(0.92, ("vortex",)),)),
        Measure("bits", "bits per value, each column in a file of its own", "bits a row", ",.1f"),
        Measure("write", "write the file", "s", ",.3f", (Target(1.0, ("parquet-snappy",)),)),
        Measure("real-size", "real tables and strings, summed", "MB", ",.3f", (Target(0.95, REAL_PEERS),)),
        Measure(
            "real-decode", "open and read all columns of real tables and strings, summed", "ms", ",.1f",
            (Target(round(1 / 1.5, 3), VORTEX),),
        ),
        Measure("big-write", "peak memory of a process that writes batches", "MB", ",.0f", (Target(300),)),
        Measure("big-read", "peak memory of a process that reads batches", "MB", ",.0f", (Target(300),)),
    )
}  # fmt: skip
GROUPS = {
    "take1": ("take1",), "take100": ("take100",), "first": ("take1-first", "take100-first"), "range": ("range",),
    "readall": ("readall",), "vector": ("vector",), "open1k": ("open1k",), "open10k": ("open10k",),
    "size": ("size", "size-rest", "bits"), "write": ("write",), "real": ("real-size", "real-decode"),
    "big": ("big-write", "big-read"),
}  # fmt: skip
PROFILED = tuple(row for row in GROUPS if row not in {"size", "big"})
BITS = {"id": 0.1, "ts": 22.0, "price": 18.0, "flag": 0.1}


class Comparison:
    """Files in a temporary folder, written once by each engine, and the rows over them."""

    def __init__(
        self, engines: Sequence[Engine], folder: Path, *, rows: int, repeats: int, seconds: float,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.engines = list(engines)
        self.folder = folder
        self.repeats = repeats
        self.seconds = seconds
        self.say = say
        self.watch: cProfile.Profile | None = None  # sees what is timed, and not the checks before it
        self.source = catalogue(rows)
        self._prepared: dict[tuple[str, str], Path] = {}

    def run(self, row: str) -> list[Result]:
        """The results of one row."""
        if row in {"take1", "take100"}:
            return [self.take(MEASURES[row], int(row.removeprefix("take")))]
        if row == "first":
            return [self.first(MEASURES[f"take{each}-first"], each) for each in (1, 100)]
        if row == "readall":
            return [self.read(MEASURES[row], None)]
        if row == "vector":
            return [self.read(MEASURES[row], ["vector"])]
        if row in {"open1k", "open10k"}:
            return [self.open(MEASURES[row], 1000 if row == "open1k" else 10_000)]
        others: dict[str, Callable[[], list[Result]]] = {
            "range": self.range, "size": self.size, "write": self.write, "real": self.real, "big": self.big,
        }  # fmt: skip
        return others[row]()

    def file(self, engine: Engine, table: pa.Table, key: str = "a") -> Path:
        """The engine's file of the table, written on first use."""
        known = (engine.stem, key)
        if known not in self._prepared:
            path = self.folder / f"{key}.{engine.stem}"
            prepared = engine.prepare(table)
            engine.write(prepared, path)
            if key == "a":
                engine.write_for_rows(prepared, path)
            self._prepared[known] = path
        return self._prepared[known]

    def _choose(
        self, engine: Engine, routes: Routes, arguments: Sequence[tuple[Any, ...]],
        expected: Callable[..., pa.Table] | None, result: Result, *, warm: bool = False, trial: float = 0.1,
    ) -> Call | None:  # fmt: skip
        trial = min(trial, self.seconds)
        call = timing.choose(engine, routes, arguments, expected, result, trial)
        if call is None:
            return None
        if warm:
            p50(call, arguments, self.seconds)
        return self._watched(call)

    def _watched(self, call: Call) -> Call:
        watch = self.watch
        return call if watch is None else lambda *given: watch.runcall(call, *given)

    def _plain(self) -> list[Engine]:
        return [one for one in self.engines if not one.levels_only]

    def take(self, measure: Measure, each: int) -> Result:
        """Rows by number from a warm handle."""
        result = timing.empty(measure)
        sets = [(rows,) for rows in row_sets(self.source.num_rows, each, 256)]
        engines = [one for one in self._plain() if each == 1 or one.name != "lance_fmt.row"]
        handles = {one.name: one.open(self.file(one, self.source)) for one in engines}
        calls = {}
        for one in engines:
            routes = one.take(handles[one.name])
            call = self._choose(
                one, routes, sets, lambda rows: self.source.take(pa.array(rows)), result, warm=True
            )
            if call is not None:
                calls[one.name] = call
        self._rounds(result, calls, sets, US, self.seconds)
        for one in engines:
            one.close(handles[one.name])
        return result

    def first(self, measure: Measure, each: int) -> Result:
        """Rows by number from a handle that has read nothing yet; opening it is timed too."""
        result = timing.empty(measure)
        sets = row_sets(self.source.num_rows, each, 64)
        calls, arguments = {}, {}
        for one in self._plain():
            path = self.file(one, self.source)
            arguments[one.name] = [(path, rows) for rows in sets]
            call = self._choose(
                one,
                one.first(),
                arguments[one.name],
                lambda _, rows: self.source.take(pa.array(rows)),
                result,
            )
            if call is not None:
                calls[one.name] = call
        return timing.rounds(result, calls, arguments, self.repeats, scale=US, seconds=self.seconds)

    def range(self) -> list[Result]:
        """A filter on the key from a warm handle."""
        result = timing.empty(MEASURES["range"])
        keep = min(KEPT, self.source.num_rows // 2)
        ranges = id_ranges(self.source.num_rows, keep, 64)
        handles = {one.name: one.open(self.file(one, self.source)) for one in self._plain()}
        calls = {}
        for one in self._plain():
            call = self._choose(
                one, one.filter(handles[one.name], FILTERED), ranges, self._between, result, warm=True
            )
            if call is not None:
                calls[one.name] = call
        self._rounds(result, calls, ranges, US, self.seconds)
        for one in self._plain():
            one.close(handles[one.name])
        return [result]

    def _between(self, low: int, high: int) -> pa.Table:
        return self.source.select(FILTERED).filter((pc.field("id") >= low) & (pc.field("id") < high))

    def _rounds(
        self, result: Result, calls: dict[str, Call], arguments: Sequence[tuple[Any, ...]],
        scale: float, seconds: float | None,
    ) -> Result:  # fmt: skip
        same = dict.fromkeys(calls, arguments)
        return timing.rounds(result, calls, same, self.repeats, scale=scale, seconds=seconds)

    def read(self, measure: Measure, columns: list[str] | None) -> Result:
        """Whole columns, from opening the file on."""
        result = timing.empty(measure)
        expected = self.source if columns is None else self.source.select(columns)
        calls, arguments = {}, {}
        for one in self.engines:
            arguments[one.name] = [(self.file(one, self.source),)]
            call = self._choose(one, one.read(columns), arguments[one.name], lambda _: expected, result)
            if call is not None:
                calls[one.name] = call
        return timing.rounds(result, calls, arguments, self.repeats * 2, scale=MS)

    def open(self, measure: Measure, columns: int) -> Result:
        """Opening a wide file; what it holds is checked once."""
        result = timing.empty(measure)
        table = data.wide(columns)
        calls, arguments = {}, {}
        for one in self._plain():
            if not one.read():
                continue
            arguments[one.name] = [(self.file(one, table, measure.name),)]
            self._choose(one, dict([*one.read().items()][:1]), arguments[one.name], lambda _: table, result)
            call = self._choose(one, one.opens(), arguments[one.name], None, result)
            if call is not None:
                calls[one.name] = call
        return timing.rounds(result, calls, arguments, self.repeats, scale=MS, seconds=self.seconds)

    def _writers(self) -> list[Engine]:
        return list({one.stem: one for one in reversed(self.engines)}.values())[::-1]

    def size(self) -> list[Result]:
        """Bytes of the whole table, and bits a value of each column."""
        size, rest, bits = (timing.empty(MEASURES[name]) for name in GROUPS["size"])
        others = self.source.drop_columns(["vector"])
        rows = self.source.num_rows
        for one in self._writers():
            size.figures[one.name] = self.file(one, self.source).stat().st_size / 1e6
            rest.figures[one.name] = self.file(one, others, "rest").stat().st_size / 1e6
        for name in self.source.column_names:
            table = self.source.select([name])
            for one in self._writers():
                length = self.file(one, table, f"column-{name}").stat().st_size
                bits.parts.setdefault(name, {})[one.name] = length * 8 / rows
        for one in self._writers():
            bits.figures[one.name] = sum(part[one.name] for part in bits.parts.values())
        for name, limit in BITS.items():
            for engine, found in bits.parts[name].items():
                if engine == "lance_fmt":
                    word = "met" if found <= limit else "MISSED"
                    bits.notes.append(f"{name}: {found:.2f} bits, target <= {limit:g}: {word}")
        return [size, rest, bits]

    def write(self) -> list[Result]:
        """From the library's own form in memory to a file; not forced to the disk."""
        result = timing.empty(MEASURES["write"])
        calls, arguments = {}, {}
        for one in self._writers():
            arguments[one.name] = [(one.prepare(self.source), self.folder / f"write.{one.stem}")]
            self.file(one, self.source)  # kernels, imports and caches are warm after it
            calls[one.name] = self._watched(one.write)
        return [timing.rounds(result, calls, arguments, self.repeats, scale=S)]

    def real(self) -> list[Result]:
        """Tables and strings that were not made up; nothing where the folder is missing."""
        size, decode = timing.empty(MEASURES["real-size"]), timing.empty(MEASURES["real-decode"])
        few = 4 if self.source.num_rows < ROWS else None
        for name, table in data.real_tables(few):
            self._real(name, table, size, decode)
            self.say(f"real: {name}")
        for result in (size, decode):
            for part in result.parts.values():
                for engine, figure in part.items():
                    result.figures[engine] = result.figures.get(engine, 0.0) + figure
        if not size.parts:
            size.notes.append("no real data here: left out")
        return [size, decode]

    def _real(self, name: str, table: pa.Table, size: Result, decode: Result) -> None:
        kept = [one for one in table.column_names if _supported(table.select([one]))]
        if len(kept) < table.num_columns:
            dropped = [f"{one} ({table[one].type})" for one in table.column_names if one not in kept]
            size.notes.append(f"{name} without {', '.join(dropped)[:70]}: not in our format yet")
        table = table.select(kept)
        found = timing.empty(MEASURES["real-decode"])
        calls, arguments, lengths = {}, {}, {}
        for one in self.engines:
            if not one.read():
                continue
            try:
                path = self.file(one, table, f"real-{name}")
            except Exception as error:  # noted, and the file counts for nobody
                found.wrong[one.name] = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            lengths[one.name] = path.stat().st_size / 1e6
            arguments[one.name] = [(path,)]
            call = self._choose(one, one.read(), arguments[one.name], lambda _: table, found, trial=0.01)
            if call is not None:
                calls[one.name] = call
        if len(calls) < sum(bool(one.read()) for one in self.engines):
            reasons = [f"{engine}: {reason}" for engine, reason in found.wrong.items()]
            size.notes.append(f"{name} left out ({len(reasons)} failed): {reasons[0][:80]}")
            return
        timing.rounds(found, calls, arguments, self.repeats, scale=MS)
        writers = {one.name for one in self._writers()}
        size.parts[name] = {engine: length for engine, length in lengths.items() if engine in writers}
        decode.parts[name] = found.figures

    def big(self) -> list[Result]:
        """Peak memory of children that write, then read, a file larger than they may hold."""
        results = [timing.empty(MEASURES["big-write"]), timing.empty(MEASURES["big-read"])]
        batches = 1 if self.source.num_rows < ROWS else 128
        for name in ("lance_fmt", "parquet-snappy", "lance", "vortex"):
            if name not in {one.name for one in self.engines}:
                continue
            path = self.folder / f"big.{name}"
            for task, result in zip(("write", "read"), results, strict=True):
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.formats.big",
                    name,
                    task,
                    str(path),
                    str(batches),
                ]
                done = subprocess.run(
                    command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=CHILD_SECONDS
                )
                if done.returncode:
                    result.wrong[name] = (done.stderr.strip().splitlines() or ["no answer"])[-1]
                    break
                answer = json.loads(done.stdout.splitlines()[-1])
                result.figures[name] = answer["peak_mb"]
                result.routes[name] = f"{answer['raw_mb']:,.0f} MB of values in {answer['seconds']:.1f} s"
            path.unlink(missing_ok=True)
        return results


def _supported(table: pa.Table) -> bool:
    try:
        Ours().prepare(table)
    except Exception:  # whatever it is, the column cannot be written
        return False
    return True
