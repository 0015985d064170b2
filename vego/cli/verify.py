"""Check .lfmt files, databases and backups, and say what is damaged, where, and what helps. Writes nothing.

Of a file every byte is read. Of a directory, a database or a backup, it is how its files hang together, and with
--deep every byte; another process may be writing to it meanwhile. Files that nothing names are no damage.

Exit status: 0 all is well, 1 damage found, 2 something could not be checked (it is not there, cannot be read, or needs
a newer Vego). One of them does not keep the others from being checked. `vego salvage` saves what is left of a file,
`vego repair` what is left of a database.

examples:
  vego verify data.lfmt
  vego verify ./mydb --deep
  find . -name '*.lfmt' -exec vego verify {} +
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lance_fmt
from vego.progress import progress_of
from vego_tools.terminal import counted, printable

if TYPE_CHECKING:
    from vego.verification import VerifyReport

HELP = "check files, databases and backups, and locate damage"
DAMAGED, ERROR = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files and directories."""
    parser.add_argument(
        "paths", metavar="PATH", type=Path, nargs="+", help="an .lfmt file, a database, or a backup"
    )
    parser.add_argument("--deep", action="store_true", help="of databases and backups: read every byte")
    parser.add_argument("--json", action="store_true", help="the findings, as JSON")


def run(options: argparse.Namespace) -> int:
    """Check one after the other; print what is found as soon as it is."""
    reports, status = [], 0
    for path in options.paths:
        report, found = check_directory(path, options) if path.is_dir() else _checked_file(path, options)
        reports.append(report)
        status = max(status, found)
    if options.json:
        print(json.dumps(reports, indent=2, ensure_ascii=False))
    return status


def _checked_file(path: Path, options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    report = check(path)
    if not options.json:
        _print(report)
    return report, ERROR if report["error"] else DAMAGED if report["damage"] else 0


def check_directory(path: Path, options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The report on a database or backup as JSON, with why it could not be checked under "error"; and the status."""
    import vego

    try:
        report = vego.verify(path, deep=options.deep, progress=options.deep and sys.stderr.isatty())
    except vego.VegoError as error:
        if not options.json:
            print(printable(str(error)), file=sys.stderr)
        return {"path": str(path), "error": str(error)}, ERROR
    if not options.json:
        for line in _lines(report):
            print(printable(line))
    return report.to_json() | {"error": None}, 0 if report.ok else DAMAGED


def _lines(report: VerifyReport) -> list[str]:
    kind = "backup" if report.is_backup else "database"
    verdict = f"{counted(len(report.findings), 'damaged place')}"
    if report.ok:
        verdict = (
            "every byte is right"
            if report.deep
            else "all is well as far as was looked (--deep reads every byte)"
        )
    lines = [f"{report.path}: {kind}, {verdict}"]
    for one in report.collections:
        facts = [counted(one.documents, "document")] if one.documents is not None else []
        facts.append(counted(one.segments, "segment"))
        if one.log_batches:
            facts.append(f"{counted(one.log_batches, 'write')} in the log")
        if one.indexed_rows:
            facts.append(f"{one.indexed_rows:,} rows in the graph")
        if one.recall is not None:
            facts.append(f"recall of a sample {one.recall:.3f}")
        lines.append(f"  {one.name}: {', '.join(facts)}")
    lines += [f"  {finding}" for finding in report.findings]
    if report.leftovers:
        lines.append(f"  not damage, but nothing names {counted(len(report.leftovers), 'file')}:")
        lines += [f"    {path}" for path in report.leftovers]
    return lines


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
