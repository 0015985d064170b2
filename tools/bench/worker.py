"""The process of one engine: reads tasks as JSON lines from stdin, answers with JSON lines.

Answers go to a private copy of stdout, and stdout itself to stderr, so that nothing a library prints passes
for one. Run as ``python -m vego_tools.bench.worker ENGINE DATASET_FOLDER THREADS``.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from vego_tools.bench import measure
from vego_tools.bench.data import SEED, Dataset
from vego_tools.bench.engines.base import load_engine

WARM_ROWS = 1500


class Worker:
    """Holds one engine and its data; every public method is a task."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        self.engine = load_engine(name, threads)
        self.dataset = Dataset.load(folder)
        self.path = ""

    def about(self) -> dict[str, Any]:
        """Version of the library."""
        package = self.engine.package
        try:
            return {"version": version(package)}
        except PackageNotFoundError:  # a source tree
            return {"version": importlib.import_module(package).__version__}

    def build(self, path: str) -> dict[str, Any]:
        """Load everything into a new folder; the folder of an earlier build is removed.

        The first build comes after a small one that is thrown away: imports, kernels and caches are warm.
        """
        rows = self.dataset.rows
        if not self.path:
            warm = f"{path}-warm"
            self.engine.build(Path(warm), rows.head(WARM_ROWS))
            self.engine.close()
            shutil.rmtree(warm, ignore_errors=True)
        else:
            self.engine.close()
            shutil.rmtree(self.path, ignore_errors=True)
        self.path = path
        start = perf_counter()
        self.engine.build(Path(path), rows)
        seconds = perf_counter() - start
        size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
        return {"seconds": seconds, "rows_per_s": len(rows.ids) / seconds, "bytes": size}

    def curve(self) -> dict[str, Any]:
        """Batch search over rising efforts."""
        return {"points": measure.curve(self.engine, self.dataset)}

    def tune(self, label: str, floor: float, seconds: float) -> dict[str, Any]:
        """Choose the effort for the filter."""
        return measure.tune(self.engine, self.dataset, label, floor, seconds)

    def search(self, label: str, effort: int, seconds: float) -> dict[str, Any]:
        """One round of single searches."""
        self.engine.set_effort(effort)
        return measure.searches(self.engine, self.dataset, label, seconds)

    def get(self, seconds: float) -> dict[str, Any]:
        """One round of gets of seeded random ids."""
        ids = np.random.default_rng(SEED).integers(0, len(self.dataset.rows.ids), 1000)
        return measure.gets(self.engine, [str(i) for i in ids], seconds)

    def close(self) -> dict[str, Any]:
        """Close the engine."""
        self.engine.close()
        return {}


def serve(make: Callable[[str, Path, int], Any]) -> None:
    """Make what holds the engine named on the command line, and do its tasks until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, folder, threads = sys.argv[1:]
    try:
        worker = make(name, Path(folder), int(threads))
        about = worker.about()
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return
    print(json.dumps(about), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("task"))(**request)
        except Exception as error:  # reported to the parent, which leaves this engine out
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    """Serve one engine of ``engines``."""
    serve(Worker)


if __name__ == "__main__":
    main()
