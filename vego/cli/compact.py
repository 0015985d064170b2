"""Merge the small files of a database, drop what was deleted, complete its indexes, and give the space back.

A database does this by itself while it is written to, a little at a time. This does all of it, now: every segment
that has a deleted row is rewritten. Versions that nothing keeps are removed with their files: tagged ones stay, and
so do as many of the newest as `--retain-versions` says.

examples:
  vego compact ./mydb
  vego compact ./mydb --collection docs --retain-versions 10 --json
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

HELP = "merge small files, drop deleted rows, give space back"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The database, and how much of it."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="the database")
    parser.add_argument("--collection", metavar="NAME", help="only this one")
    parser.add_argument(
        "--retain-versions", metavar="N", type=int, default=2, help="of the newest versions, keep N (2)"
    )
    parser.add_argument("--json", action="store_true", help="what was done, as JSON")


def run(options: argparse.Namespace) -> int:
    """Do it and say what became of it."""
    import vego
    from vego_tools.terminal import byte_size, counted, printable

    done = {}
    with vego.open(options.directory, create=False, background=False) as db:
        chosen = db.collections() if options.collection is None else [options.collection]
        for name in chosen:
            docs = db.collection(name, create=False)
            report = docs.compact(full=True, progress=sys.stderr.isatty())
            docs.build_index(progress=sys.stderr.isatty())
            removed = docs.vacuum(options.retain_versions)
            done[name] = asdict(report) | {
                "removed_versions": removed.versions,
                "removed_files": removed.files,
                "removed_bytes": removed.bytes,
            }
            if not options.json:
                print(
                    f"{printable(name)}: {counted(report.segments_before, 'segment')} became "
                    f"{report.segments_after}, {counted(report.dropped_rows, 'deleted row')} dropped; "
                    f"{counted(removed.files, 'file')} removed, {byte_size(removed.bytes)}"
                )
    if options.json:
        print(json.dumps(done, indent=2, ensure_ascii=False))
    return 0
