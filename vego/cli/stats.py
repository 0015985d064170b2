"""Show what is in a database: its collections, their documents and indexes, and its files. Writes nothing.

examples:
  vego stats ./mydb
  vego stats ./mydb --json | jq '.collections[] | [.name, .documents]'
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "what is in a database: collections, documents, indexes, files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The database and the form."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="the database")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    """Print them."""
    from vego_tools.statistics import lines, statistics

    found = statistics(options.directory)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for line in lines(options.directory, found):
            print(line)
    return 0
