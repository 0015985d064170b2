"""The process of one file format: writes the table, chooses the fastest right route of each measure, and times it.

Run as ``python -m vego_tools.bench.file_worker ENGINE FOLDER THREADS``, where the folder holds ``source.arrow``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from vego_tools.bench.files import TAKEN
from vego_tools.bench.formats.catalogue import row_sets
from vego_tools.bench.formats.engines import Routes, all_engines
from vego_tools.bench.formats.routes import Arguments, Call, fastest, once, p50
from vego_tools.bench.worker import serve

SETS = 64


class FileWorker:
    """Holds one format and its file; every public method is a task."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        pa.set_cpu_count(threads)
        pa.set_io_thread_count(threads)
        self.engine = {one.name: one for one in all_engines()}[name]
        self.source = ipc.open_file(pa.memory_map(str(folder / "source.arrow"))).read_all()
        self.scan = json.loads((folder / "scan.json").read_text())
        self.path = folder / f"table.{name}"
        self.spare = folder / f"again.{name}"
        self.chosen: dict[str, tuple[Call, Arguments]] = {}

    def about(self) -> dict[str, Any]:
        """Version of the library; ModuleNotFoundError where it is not installed."""
        return {"version": self.engine.version()}

    def build(self) -> dict[str, Any]:
        """Write the file, and what else serves single rows better."""
        self.prepared = self.engine.prepare(self.source)
        self.engine.write(self.prepared, self.path)
        self.engine.write_for_rows(self.prepared, self.path)
        self.handle = self.engine.open(self.path)
        return {"mega_bytes": self.path.stat().st_size / 1e6}

    def choose(self, measure: str, seconds: float) -> dict[str, Any]:
        """The route to take from now on; none, and why, where no route returns the source's values."""
        if measure == "write":
            self.chosen[measure] = self.engine.write, [(self.prepared, self.spare)]
            return {"route": "write"}
        routes, arguments, expected = self._task(measure)
        choice = fastest(self.engine, routes, arguments, expected, seconds)
        if choice.call is None:
            why = "; ".join(choice.wrong.values()) or "its API has no way to do this"
            return {"route": "", "why": why}
        self.chosen[measure] = choice.call, arguments
        return {"route": choice.route}

    def _task(self, measure: str) -> tuple[Routes, Arguments, Any]:
        if measure == "read":
            return self.engine.read(), [(self.path,)], lambda _: self.source
        if measure == "scan":
            key, columns = self.scan["key"], self.scan["columns"]

            def between(low: float, high: float) -> pa.Table:
                return self.source.select(columns).filter((pc.field(key) >= low) & (pc.field(key) < high))

            return self.engine.filter(self.handle, columns, key), self.scan["ranges"], between
        sets = [(rows,) for rows in row_sets(self.source.num_rows, TAKEN[measure], SETS)]
        return self.engine.take(self.handle), sets, lambda rows: self.source.take(pa.array(rows))

    def time(self, measure: str, seconds: float) -> dict[str, Any]:
        """One round."""
        call, arguments = self.chosen[measure]
        took = once(call, arguments) if measure == "write" else p50(call, arguments, seconds)
        return {"p50_ms": took * 1e3}


if __name__ == "__main__":
    serve(FileWorker)
