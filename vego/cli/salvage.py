"""Save what can still be read of a damaged .lfmt file into a new one, and say what was lost.

The damaged file is not touched, and OUT must not exist. Values that cannot be read become null, or their rows are
left out (--skip). Exit status 0 says that OUT was written, whatever was lost; after an error there is no OUT.

examples:
  vego salvage damaged.lfmt rest.lfmt
  vego salvage damaged.lfmt rest.lfmt --skip --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import lance_fmt
from vego.progress import progress_of
from vego_tools.terminal import counted, printable

HELP = "save what can still be read of a damaged file into a new one"
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source and copy."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the damaged .lfmt file")
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write; it must not exist")
    parser.add_argument(
        "--skip", action="store_true", help="leave out rows that lost a value (default: nulls)"
    )
    parser.add_argument("--json", action="store_true", help="what was saved and lost, as JSON")


def run(options: argparse.Namespace) -> int:
    """Salvage and report."""
    with progress_of(sys.stderr.isatty(), "saving") as progress:
        report = lance_fmt.salvage(
            options.file,
            options.out,
            on_damage="skip" if options.skip else "null",
            progress=progress,
        )
    if options.json:
        print(json.dumps(_summary(options.out, report), indent=2, ensure_ascii=False))
    else:
        _print(options, report)
    return 0


def _summary(out: Path, report: lance_fmt.SalvageReport) -> dict[str, Any]:
    names = ("column", "page", "block", "first_row", "rows", "offset", "what")
    return {
        "file": str(out),
        "rows": report.num_rows,
        "saved_rows": report.saved_rows,
        "lost_columns": list(report.lost_columns),
        "damage": [{name: getattr(place, name) for name in names} for place in report.damage],
    }


def _print(options: argparse.Namespace, report: lance_fmt.SalvageReport) -> None:
    out = printable(str(options.out))
    print(f"{out}: {report.saved_rows:,} of {counted(report.num_rows, 'row')} saved")
    for name in report.lost_columns:
        print(f"  column {printable(repr(name))} could not be read at all and is not in it")
    for place in report.damage[:_SHOWN]:
        print(f"  {printable(str(place))}")
    if len(report.damage) > _SHOWN:
        more = counted(len(report.damage) - _SHOWN, "damaged place")
        print(f"  and {more} more; `vego verify` lists all")
    if not report.damage:
        print("  nothing is damaged: it is a plain copy")
    elif not options.skip and any(place.rows for place in report.damage):
        print("  what is lost is null in it, and columns that lost values may hold nulls from now on")
