"""Ask a database, an .lfmt file, or a directory of .lfmt files: SQL, nearest neighbours, and how both are answered.

On a terminal it has history and completion (with prompt_toolkit: pip install 'vego[shell]'); otherwise statements come
from standard input, the first error ends it with status 2, and only results are printed. SQL is DuckDB's where that is
installed (pip install 'vego[duckdb]'). It opens everything for reading only. `.help` explains the rest.

examples:
  vego shell ./mydb
  vego shell data.lfmt -c 'SELECT count(*) FROM data'
  vego shell ./mydb --json -c "SEARCH notes NEAR 'note-7' K 3 WHERE year >= 2020"
  echo 'EXPLAIN SELECT * FROM data LIMIT 5' | vego shell data.lfmt
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "ask a database or a file: SQL, nearest neighbours, EXPLAIN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to open, and how to answer."""
    parser.add_argument(
        "path",
        metavar="PATH",
        type=Path,
        nargs="?",
        help="a database, an .lfmt file, or a directory of .lfmt files (default: the working directory)",
    )
    parser.add_argument(
        "-c", "--command", metavar="TEXT", action="append", help="carry this out and leave; may be repeated"
    )
    parser.add_argument(
        "--mode",
        choices=("table", "line", "json", "jsonl", "csv"),
        default="table",
        help="how results are shown (default: table)",
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="mode", help="the same as --mode json"
    )
    parser.add_argument(
        "--engine",
        choices=("duckdb", "vego"),
        help="what answers SQL (default: duckdb where it is installed)",
    )


def run(options: argparse.Namespace) -> int:
    """Answer commands, a script, or a person."""
    from vego_tools.shell import console
    from vego_tools.shell.catalog import open_catalog
    from vego_tools.shell.duck import installed
    from vego_tools.shell.session import SHOWN_ROWS, Session, Settings

    engine = options.engine or ("duckdb" if installed() else "vego")
    interactive = options.command is None and sys.stdin.isatty() and sys.stdout.isatty()
    settings = Settings(options.mode, SHOWN_ROWS if interactive else None, engine=engine)
    session = Session(open_catalog(options.path), sys.stdout, settings)
    failed = True
    try:
        if interactive:
            import vego

            print(f"vego {vego.__version__}, {session.title()}. `.help` explains, `.quit` leaves.")
            console.run_interactive(session, sys.stderr)
        else:
            for script in options.command or [sys.stdin]:
                console.run_script(session, script.splitlines() if isinstance(script, str) else script)
                if session.done:
                    break
        failed = False
    finally:
        session.close(failed=failed)
    return 0
