"""List the versions of a collection that can still be opened, with their times, tags, and what made them.

Python opens one with `docs.at(version=...)`, `docs.at(tag=...)` or `docs.at(timestamp=...)`.

examples:
  vego versions ./mydb
  vego versions ./mydb --collection docs --json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "the versions of collections that can be opened, with their tags"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The database and the form."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="the database")
    parser.add_argument("--collection", metavar="NAME", help="only this one")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    """Print them."""
    import vego
    from vego_tools.terminal import printable, table

    with vego.open(options.directory, read_only=True) as db:
        chosen = db.collections() if options.collection is None else [options.collection]
        found = {name: db.collection(name, create=False).versions() for name in chosen}
    if options.json:
        listed = {
            name: [
                {
                    "version": one.version,
                    "time": one.time.isoformat(),
                    "documents": one.documents,
                    "summary": one.summary,
                    "tags": list(one.tags),
                }
                for one in versions
            ]
            for name, versions in found.items()
        }
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return 0
    for name, versions in found.items():
        print(printable(name))
        rows = [
            [
                str(one.version),
                f"{one.time:%Y-%m-%d %H:%M:%S}",
                f"{one.documents:,}",
                printable(one.summary),
                printable(" ".join(one.tags)),
            ]
            for one in versions
        ]
        header = ["version", "time (UTC)", "documents", "made by", "tags"]
        print("\n".join(table(header, rows, right="version documents", keep="version")))
    return 0
