"""Measure Vego beside the peers that are installed: same data, same run, recall beside speed.

Every engine runs in a process of its own, so one that crashes is left out and the others go on. Rounds are
interleaved, and the best round of each engine counts; ratios say how many times better Vego is. Peers are hnswlib,
faiss, chromadb, lancedb and zvec for vectors, Parquet, Lance and Vortex for files: `pip install 'vego[bench]'`.

Workloads: load, batch, search, filter, get, start (group `database`); file-size, file-write, file-read, file-take,
file-scan (group `files`); all of them if none is named. `batch` reads queries a second off the curve of speed over
recall, at recall 0.95 and 0.99; single searches raise an engine's effort until its recall is 0.96.

examples:
  vego bench search --data sample               Vego's own sample, against all that is installed
  vego bench batch --rows 50000 --dim 256 --peers hnswlib,faiss
  vego bench files --data table.parquet         your own table in each format
  vego bench --json --html bench.html > new.json
  vego bench --compare old.json new.json        1 if Vego got worse, compared by ratios

`--data` takes .npy, .lfmt and .parquet files with vectors for the database, .lfmt and .parquet for files. A run on
shared cores is noisy: `--rounds 5` helps, and ratios of one run mean more than figures of two.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from vego.errors import InvalidArgumentError, VegoError

HELP = "measure Vego beside other databases and file formats, with recall"
WORSE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, on what, and what becomes of it."""
    parser.add_argument("workloads", metavar="WORKLOAD", nargs="*", help="what to measure (default: all)")
    data = parser.add_argument_group("what is measured")
    data.add_argument(
        "--data", metavar="FILE", default="generated", help="a file, `sample`, or `generated` (default)"
    )
    data.add_argument("--rows", type=_count, metavar="N", help="only N rows (generated: 10,000 and 100,000)")
    data.add_argument("--dim", type=_count, metavar="D", default=128, help="of generated vectors (128)")
    data.add_argument("--queries", type=_count, metavar="N", default=200, help="at most N queries (200)")
    data.add_argument("--peers", metavar="A,B", help="only these peers, `none` for Vego alone")
    data.add_argument("--rounds", type=_count, metavar="N", default=3, help="interleaved rounds (3)")
    data.add_argument("--seconds", type=float, metavar="S", default=1.0, help="of an engine in a round (1)")
    data.add_argument("--cores", type=_count, metavar="N", default=1, help="and threads per engine (1)")
    out = parser.add_argument_group("what becomes of it")
    out.add_argument(
        "--json", action="store_true", help="everything, every round, as JSON on standard output"
    )
    out.add_argument("--html", type=Path, metavar="OUT", help="draw the picture as a page of its own")
    out.add_argument("--png", type=Path, metavar="OUT", help="draw it as an image (needs vego[plot])")
    out.add_argument("--overwrite", action="store_true", help="replace OUT")
    out.add_argument("--from", type=Path, metavar="JSON", dest="source", help="show an earlier result")
    out.add_argument("--compare", type=Path, nargs=2, metavar=("OLD", "NEW"), help="compare two results")
    out.add_argument(
        "--threshold", type=float, metavar="X", default=0.1, help="a ratio may fall by this share (0.1)"
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def run(options: argparse.Namespace) -> int:
    """Measure, or compare two results."""
    if options.compare:
        return _compare(options)
    from vego_tools.bench import picture, session

    drawings = _drawings(options)
    described = session.load(options.source) if options.source else _measure(options)
    for path, draw in drawings:
        picture.save(path, draw(described, session.results_of(described)))
    if options.json:
        print(json.dumps(described, indent=1, ensure_ascii=False))
    else:
        print(session.text(described))
        for path, _ in drawings:
            print(f"\ndrawn in {path}")
    failed = [name for name in session.OURS if name in described["skipped"]]
    if failed:
        raise VegoError(f"{failed[0]} gave no figures: {described['skipped'][failed[0]]}")
    return 0


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    from vego_tools.bench import session

    request = session.Request(
        session.workloads_of(options.workloads),
        options.data,
        options.rows,
        options.dim,
        options.queries,
        session.peers_of(options.peers),
        options.rounds,
        options.cores,
        options.seconds,
    )
    started = time.perf_counter()

    def say(line: str) -> None:
        print(f"[{time.perf_counter() - started:4.0f} s] {line}", file=sys.stderr, flush=True)

    described: dict[str, Any] = session.compare(request, say)
    return described


def _drawings(options: argparse.Namespace) -> list[tuple[Path, Any]]:
    """Where to draw and how, refused before a minute is spent on measuring."""
    from vego_tools.bench import picture, plot

    drawings = []
    for path, draw in ((options.html, picture.page), (options.png, plot.image)):
        if path is None:
            continue
        if path.exists() and not options.overwrite:
            raise InvalidArgumentError(f"{path}: exists already; --overwrite replaces it")
        if not path.absolute().parent.is_dir():
            raise InvalidArgumentError(f"{path}: its directory does not exist")
        drawings.append((path, draw))
    if options.png is not None:
        plot.check()
    return drawings


def _compare(options: argparse.Namespace) -> int:
    from vego_tools.bench import compare

    old, new = (compare.load(path) for path in options.compare)
    changes = compare.compare(old, new, options.threshold)
    if not changes:
        raise InvalidArgumentError("the two results have no ratio in common")
    regressions = compare.worse(changes)
    if options.json:
        report = {"changes": [one.to_json() for one in changes], "worse": len(regressions)}
        print(json.dumps(report, indent=1))
    else:
        for one in changes:
            print(one.line())
        print(
            f"\n{len(regressions)} of {len(changes)} worse by more than {options.threshold:.0%} and than noise"
        )
    return WORSE if regressions else 0
