"""Build a database from 5,000 Debian packages that come with Vego, and ask it real questions.

The directory stays, to be looked at: `vego shell DIR`, `vego stats DIR`, `vego inspect DIR/...`.

examples:
  vego demo
  vego demo /tmp/demo && vego shell /tmp/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "build a small database from real data and ask it questions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to build it."""
    parser.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        default="vego-demo",
        type=Path,
        help="where to build the database; an earlier demo there is replaced, anything else is left alone "
        "(default: ./vego-demo)",
    )


def run(options: argparse.Namespace) -> int:
    """Give the tour."""
    from vego_tools.demo.tour import tour

    tour(options.directory)
    return 0
