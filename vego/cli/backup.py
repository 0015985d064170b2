"""Copy a whole database to a new directory, also while another process writes to it.

Every write that was acknowledged before is in the copy, which is a database of its own: vego.open reads it with
read_only=True, and `vego restore` makes one of it that can be written to.

examples:
  vego backup ./mydb /mnt/backups/monday
  vego backup ./mydb /mnt/backups/tuesday --base /mnt/backups/monday
  vego backup ./mydb /mnt/backups/all --history      (now and then: it adds what is new)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HELP = "copy a whole database, while others write to it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where to where, and what need not be copied."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="the database")
    parser.add_argument("dest", metavar="DEST", type=Path, help="the backup: a new or an empty directory")
    parser.add_argument(
        "--base",
        metavar="OTHER",
        type=Path,
        help="an earlier backup: files that it has are linked, not copied",
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="link the database's own files, too: what damages one damages both",
    )
    parser.add_argument(
        "--history",
        action="store_true",
        help="with every kept version and the log, so that any moment can be restored; DEST may be such a backup",
    )
    parser.add_argument("--json", action="store_true", help="the report, as JSON")


def run(options: argparse.Namespace) -> int:
    """Back up and report."""
    import vego
    from vego_tools.terminal import counted, printable

    with vego.open(options.directory, read_only=True, create=False) as database:
        report = database.backup(
            options.dest,
            base=options.base,
            link=options.link,
            history=options.history,
            progress=sys.stderr.isatty(),
        )
    if options.json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
        return 0
    print(
        f"{printable(report.path)}: {counted(len(report.collections), 'collection')}, "
        f"{counted(report.files, 'file')}, {counted(report.bytes, 'byte')}"
    )
    if report.linked_files:
        print(
            f"  {counted(report.copied_bytes, 'byte')} copied, {counted(report.linked_bytes, 'byte')} linked"
        )
    return 0
