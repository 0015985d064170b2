"""Make a database of a backup in a new directory, checking every byte on the way.

DIR is a database only when all of it is there; after an error nothing is left in it.

examples:
  vego restore /mnt/backups/monday ./mydb
  vego restore /mnt/backups/all ./mydb --until 2026-11-21T15:30:00
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HELP = "make a database of a backup, checking every byte"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where to where."""
    parser.add_argument("backup", metavar="BACKUP", type=Path, help="the backup")
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="the database: a new or an empty directory"
    )
    parser.add_argument(
        "--until",
        metavar="TIME",
        help="go back to that moment, as 2026-11-21T15:30:00 (UTC); for backups made with --history",
    )
    parser.add_argument("--json", action="store_true", help="the report, as JSON")


def run(options: argparse.Namespace) -> int:
    """Restore and report."""
    import vego
    from vego_tools.terminal import counted, printable

    report = vego.restore(
        options.backup, options.directory, until=options.until, progress=sys.stderr.isatty()
    )
    if options.json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        print(
            f"{printable(report.path)}: {counted(len(report.collections), 'collection')}, "
            f"{counted(report.files, 'file')}, {counted(report.bytes, 'byte')}, every byte checked"
        )
    return 0
