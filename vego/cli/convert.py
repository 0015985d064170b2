"""Convert a file between .lfmt and Parquet, Arrow IPC, CSV, JSON Lines, npy/npz, fvecs, HDF5, Lance and Vortex.

The formats are told by the names: SRC also by its first bytes. Any format goes into any other. DST is written
beside and renamed, so that there is all of it or nothing, and rows pass in batches: a file need not fit in memory.
What could not be kept (a type, metadata) is printed, and is in --json.

examples:
  vego convert table.parquet table.lfmt --row-index id      rows can be found by id in one step
  vego convert table.lfmt part.csv --columns id,price --rows 0:1000
  vego convert train.fvecs train.lfmt --check               and compare every value afterwards
  vego convert glove.hdf5 queries.lfmt --columns test,neighbors,distances

Exit status: 0 done, 1 with --check: values differ, and DST was not written, 2 an error.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path

from vego.errors import InvalidArgumentError
from vego_tools.terminal import printable

HELP = "a file of one format into another: Parquet, Arrow, CSV, JSON, NumPy..."
DIFFERENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, destination, and what to take of it."""
    parser.add_argument("source", metavar="SRC", type=Path, help="the file to read")
    parser.add_argument("destination", metavar="DST", type=Path, help="the file to write")
    parser.add_argument(
        "--from", dest="source_format", metavar="FORMAT", help="what SRC is: parquet, csv, ..."
    )
    parser.add_argument("--to", dest="destination_format", metavar="FORMAT", help="what DST becomes")
    parser.add_argument("--columns", metavar="A,B", type=_names, help="only these columns, in this order")
    parser.add_argument("--rows", metavar="START:STOP", type=_rows, help="only these rows, counted from 0")
    parser.add_argument("--batch-rows", metavar="N", type=int, help="rows at a time (default: about 4 MB)")
    parser.add_argument(
        "--level",
        choices=("speed", "balanced", "small"),
        default="balanced",
        help="of .lfmt: what encodings weigh more (default: balanced)",
    )
    parser.add_argument(
        "--row-index", metavar="A,B", type=_names, default=[], help="of .lfmt: find rows by these"
    )
    parser.add_argument(
        "--bloom", metavar="A,B", type=_names, default=[], help="of .lfmt: Bloom filters for these"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DST if it exists")
    parser.add_argument("--check", action="store_true", help="read DST back and compare every value")
    parser.add_argument("--json", action="store_true", help="the report, as JSON")
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="a progress bar on standard error (default: on a terminal)",
    )


def _names(text: str) -> list[str]:
    """Names separated by commas; one with a comma in it stands in double quotes."""
    return next(csv.reader([text]), [])


def _rows(text: str) -> tuple[int, int | None]:
    start, colon, stop = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return int(start or 0), int(stop) if stop else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not START:STOP, such as 0:1000 or 500:") from None


def run(options: argparse.Namespace) -> int:
    """Convert and report."""
    # Arrow's other allocators keep much of what was freed; this is read when pyarrow is imported.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from vego_tools.convert import DifferenceError, convert

    if str(options.source) == str(options.destination) and not options.overwrite:
        raise InvalidArgumentError(
            f"{options.source}: source and destination are one file; --overwrite allows it"
        )
    try:
        report = convert(
            options.source,
            options.destination,
            source_format=options.source_format,
            destination_format=options.destination_format,
            columns=options.columns,
            rows=options.rows,
            batch_rows=options.batch_rows,
            level=options.level,
            row_index=options.row_index,
            bloom=options.bloom,
            overwrite=options.overwrite,
            check=options.check,
            progress=sys.stderr.isatty() if options.progress is None else options.progress,
        )
    except DifferenceError as error:
        print(f"vego: {printable(str(error))}", file=sys.stderr)
        return DIFFERENT
    if options.json:
        print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        for line in report.lines():
            print(line)
    return 0
