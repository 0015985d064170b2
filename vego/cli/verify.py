"""Read and check every byte of .lfmt files, and say what is damaged and where.

Exit status 1 if anything is damaged. `vego salvage` saves what can still be read of a damaged file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import lance_fmt
from vego.progress import progress_of
from vego_tools.terminal import counted, printable

HELP = "check every byte of a file against its checksums, and locate damage"
DAMAGED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files."""
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help=".lfmt files")
    parser.add_argument("--json", action="store_true", help="the findings, as JSON")


def run(options: argparse.Namespace) -> int:
    """Check one file after the other; damage in one does not keep the others from being checked."""
    reports = [check(path) for path in options.files]
    if options.json:
        print(json.dumps(reports, indent=2, ensure_ascii=False))
    else:
        for report in reports:
            _print(report)
    return DAMAGED if any(report["damage"] for report in reports) else 0


def check(path: Path) -> dict[str, object]:
    """What is wrong with a file: a list of places under "damage", empty if all is well."""
    report: dict[str, object] = {"file": str(path), "rows": None, "columns": None, "damage": []}
    try:
        with lance_fmt.open(path) as file:
            report |= {"rows": file.num_rows, "columns": len(file.schema), "version": file.version}
            found: list[lance_fmt.Damage] = []
            with progress_of(sys.stderr.isatty(), "checking") as progress:
                for done, name in enumerate(file.schema.names, 1):
                    found += file.damage(name)
                    if progress is not None:
                        progress(done, len(file.schema))
            report["damage"] = [_place(place) for place in found]
            if not found:
                file.verify()  # what belongs to no column, and that nothing lies between the regions
    except lance_fmt.CorruptFileError as error:
        report["damage"] = [{"column": None, "offset": error.offset, "what": error.what}]
    return report


def _place(damage: lance_fmt.Damage) -> dict[str, object]:
    names = ("column", "page", "block", "first_row", "rows", "offset", "what")
    return {name: getattr(damage, name) for name in names} | {"text": str(damage)}


def _print(report: dict[str, object]) -> None:
    name, damage = printable(str(report["file"])), report["damage"]
    assert isinstance(damage, list)
    if not damage:
        print(f"{name}: every byte is right ({report['rows']} rows, {report['columns']} columns)")
        return
    print(f"{name}: {counted(len(damage), 'damaged place')}")
    for place in damage:
        print(f"  byte {place['offset']}: {printable(str(place.get('text', place['what'])))}")
    print(f"  `vego salvage {name} NEW.lfmt` saves what can still be read")
