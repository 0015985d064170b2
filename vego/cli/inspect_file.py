"""Show what is in one file of a database: its columns, their encodings and sizes, and where each byte goes.

Reads the file's metadata only, unless --verify is given, and never writes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vego_tools.inspector import inspect
from vego_tools.inspector_text import lines

HELP = "what is in a file: columns, encodings, pages, sizes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file and how much to show of it."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="an .lfmt or .del file, or another file of a database"
    )
    parser.add_argument("--column", metavar="NAME", help="only this column, in detail")
    parser.add_argument("--pages", action="store_true", help="every page, and why its encoding was chosen")
    parser.add_argument("--verify", action="store_true", help="read and check every byte first")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the report."""
    report = inspect(options.file, column=options.column, verify=options.verify)
    if options.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        for line in lines(report, pages=options.pages or options.column is not None):
            print(line)
    return 0
