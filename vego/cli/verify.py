"""Read and check every byte of .lfmt files, and say what is damaged and where. Writes nothing.

Exit status: 0 all is well, 1 damage found, 2 a file could not be checked (it is not there, cannot be read, or needs
a newer Vego). One file does not keep the others from being checked. `vego salvage` saves what is left of one.

examples:
  vego verify data.lfmt
  find . -name '*.lfmt' -exec vego verify {} +
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import lance_fmt
from vego.progress import progress_of
from vego_tools.terminal import counted, printable

HELP = "check every byte of a file against its checksums, and locate damage"
DAMAGED, ERROR = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files."""
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help=".lfmt files")
    parser.add_argument("--json", action="store_true", help="the findings, as JSON")


def run(options: argparse.Namespace) -> int:
    """Check one file after the other; print what is found as soon as it is."""
    reports = []
    for path in options.files:
        reports.append(check(path))
        if not options.json:
            _print(reports[-1])
    if options.json:
        print(json.dumps(reports, indent=2, ensure_ascii=False))
    if any(report["error"] for report in reports):
        return ERROR
    return DAMAGED if any(report["damage"] for report in reports) else 0


def check(path: Path) -> dict[str, Any]:
    """What is wrong with a file: places under "damage", or why it could not be checked under "error"."""
    report: dict[str, Any] = {
        "file": str(path), "version": None, "rows": None, "columns": None, "damage": [], "error": None,
    }  # fmt: skip
    try:
        with lance_fmt.open(path) as file, progress_of(sys.stderr.isatty(), "checking") as progress:
            report |= {"version": file.version, "rows": file.num_rows, "columns": len(file.schema)}
            report["damage"] = [_place(place) for place in file.damage(progress=progress)]
    except lance_fmt.CorruptFileError as error:  # of what every other part is found by
        report["damage"] = [_place(lance_fmt.Damage(None, None, None, 0, 0, error.offset, error.what))]
        report["columns"] = None
    except OSError as error:
        report["error"] = error.strerror or str(error)
    except lance_fmt.FormatError as error:
        report["error"] = str(error)
    return report


def _place(damage: lance_fmt.Damage) -> dict[str, object]:
    names = ("column", "page", "block", "first_row", "rows", "offset", "what")
    return {name: getattr(damage, name) for name in names} | {"text": str(damage)}


def _print(report: dict[str, Any]) -> None:
    name, damage = printable(report["file"]), report["damage"]
    if report["error"]:
        print(f"{name}: {printable(report['error'].removeprefix(report['file'] + ': '))}", file=sys.stderr)
        return
    if not damage:
        print(f"{name}: every byte is right ({counted(report['rows'], 'row')}, "
              f"{counted(report['columns'], 'column')})")  # fmt: skip
        return
    print(f"{name}: {counted(len(damage), 'damaged place')}")
    for place in damage:
        where = f"byte {place['offset']:,}: " if place["offset"] >= 0 else ""
        print(f"  {where}{printable(place['text'])}")
    if report["columns"] is None:
        print("  without this part nothing of the file can be read: restore it from a copy")
    else:
        command = printable(shlex.join(["vego", "salvage", report["file"], "NEW.lfmt"]))
        print(f"  `{command}` saves what can still be read")
