"""Opening and using a collection that is large: `python -m benchmarks.large --help`.

Writes a collection once, then a fresh process for each measurement opens it and reports seconds, microseconds a call
and the private memory of the process (`RssAnon`: mapped files do not count, the system can drop them), less what it
had before opening. `--against DIR` does the same in turn with the version of Vego whose checkout DIR is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

CHILD = """
import json, shutil, sys, threading
from time import perf_counter
import numpy as np
import vego

directory, what, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

def each(call, arguments):
    found = []
    for argument in arguments:
        start = perf_counter()
        call(argument)
        found.append(perf_counter() - start)
    return np.array(found) * 1e6

before = anonymous()
start = perf_counter()
db = vego.open(directory, read_only=what != "insert", **({"durability": "none"} if what == "insert" else {}))
docs = db.collection("c")
count, width = len(docs), docs.dimension
out = {"open_s": perf_counter() - start, "open_bytes": anonymous() - before, "documents": count}
rng = np.random.default_rng(7)
names = [f"document-{n:08}" for n in rng.integers(0, count, rounds)]
queries = rng.standard_normal((rounds, width)).astype(np.float32)
if what == "get":
    start = perf_counter()
    assert docs.get(names[0]) is not None
    out["first_s"] = perf_counter() - start
    each(docs.get, names)
    out["get_us"] = float(np.median(each(docs.get, names)))
if what == "search":
    start = perf_counter()
    docs.search(queries[0])
    out["first_s"] = perf_counter() - start
    each(docs.search, queries)
    out["search_us"] = float(np.median(each(lambda query: docs.search(query).ids, queries)))
if what == "scan":
    start = perf_counter()
    docs.search(queries[0], exact=True)
    out["first_s"] = perf_counter() - start
    out["scan_us"] = float(np.min(each(lambda query: docs.search(query, exact=True), queries[:5])))
if what == "filter":
    start = perf_counter()
    docs.search(queries[0], filter="year == 1995")
    out["first_s"] = perf_counter() - start
    out["filter_us"] = float(np.median(each(lambda query: docs.search(query, filter="year == 1995"), queries[:9])))
if what == "insert":
    start = perf_counter()
    docs.insert(id="first", vector=queries[0])
    out["first_s"] = perf_counter() - start
    numbers = range(rounds)
    out["insert_us"] = float(np.median(each(
        lambda n: docs.insert(id=f"new-{n}", vector=queries[n], metadata={"year": 1990 + n % 30}), numbers)))
    out["delete_us"] = float(np.median(each(docs.delete, list(dict.fromkeys(names)))))
if what == "threads":
    docs.get(names[0])
    def work():
        for name in names:
            docs.get(name)
    threads = [threading.Thread(target=work) for _ in range(8)]
    start = perf_counter()
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    out["get_8_threads_us"] = (perf_counter() - start) * 1e6 / (8 * rounds)
out["bytes"] = anonymous() - before
print(json.dumps(out))
"""
TASKS = ["open", "get", "threads", "insert", "filter", "scan"]


def write(folder: Path, documents: int, dimension: int, metric: str, index: str) -> None:
    """The collection, in batches."""
    import vego

    rng = np.random.default_rng(1)
    with vego.open(folder, dimension=dimension, metric=metric, index=index) as db:
        docs = db.collection("c")
        step = max(1, min(documents, (256 << 20) // (4 * dimension)))
        for first in range(0, documents, step):
            numbers = range(first, min(first + step, documents))
            docs.insert_batch(
                ids=[f"document-{n:08}" for n in numbers],
                vectors=rng.standard_normal((len(numbers), dimension)).astype(np.float32),
                metadata={"year": [1990 + n % 30 for n in numbers], "title": [f"title {n}" for n in numbers]},
            )
        docs.build_index()


def measured(code: Path, folder: Path, task: str, rounds: int) -> dict[str, float]:
    """One task in a fresh process; one that writes gets a copy."""
    place = folder
    if task == "insert":
        place = folder.with_name("copy")
        shutil.copytree(folder, place)
    environment = os.environ | {"PYTHONPATH": str(code)}
    try:
        run = subprocess.run(
            [sys.executable, "-c", CHILD, str(place), task, str(rounds)],
            env=environment, cwd=code, capture_output=True, text=True, check=True,
        )  # fmt: skip
    finally:
        if place != folder:
            shutil.rmtree(place)
    found: dict[str, float] = json.loads(run.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.large", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, help="where to write (default: that of temporary files)")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--metric", default="l2")
    parser.add_argument(
        "--index", default="flat", help="hnsw takes a while to build, and adds the task `search`"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=5_000, help="calls of each kind")
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    options = parser.parse_args(arguments)
    here = Path(__file__).resolve().parents[1]
    versions = {"this": here} | ({} if options.against is None else {"other": options.against.resolve()})
    with tempfile.TemporaryDirectory(dir=options.directory) as room:
        folder = Path(room) / "db"
        write(folder, options.documents, options.dimension, options.metric, options.index)
        tasks = TASKS + (["search"] if options.index != "flat" else [])
        for task in tasks:
            best: dict[str, dict[str, float]] = {}
            for _ in range(options.rounds):
                for name, code in versions.items():
                    found = measured(code, folder, task, options.calls)
                    known = best.setdefault(name, found)
                    best[name] = {key: min(value, known[key]) for key, value in found.items()}
            show(task, best, options.documents)
    return 0


def show(task: str, best: dict[str, dict[str, float]], documents: int) -> None:
    """A line for each figure: this version, the other, their ratio."""
    for key in best["this"]:
        if key == "documents" or (key.startswith("open") and task != "open"):
            continue
        figures = [one[key] / (documents if key.endswith("bytes") else 1) for one in best.values()]
        ratio = f"{figures[0] / figures[1]:8.2f} x" if len(figures) == 2 and figures[1] else ""
        unit = "bytes/document" if key.endswith("bytes") else key.rpartition("_")[2]
        name = f"{task} {key.rpartition('_')[0]}".strip()
        print(f"{name:<28}" + "".join(f"{figure:>14,.3f}" for figure in figures) + f"{ratio:>12}   {unit}")


if __name__ == "__main__":
    sys.exit(main())
