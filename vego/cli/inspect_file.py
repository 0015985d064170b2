"""Show what is in one file: its columns, their encodings and sizes, and where each byte goes.

Without a view, an overview. It reads the file's metadata only, however large the file is, never writes to it, and
shows of a damaged one what can still be read. Views may be combined; --column limits them to some columns. The
manifests, logs and markers of a database can be shown, too.

examples:
  vego inspect data.lfmt                     columns, encodings, sizes, where each byte goes
  vego inspect data.lfmt --tree              file, columns and pages as a tree
  vego inspect data.lfmt --why --column price
                                             what was weighed when its encoding was chosen
  vego inspect data.lfmt --page price:0 --hex
                                             every byte of a page and what it means
  vego inspect data.lfmt --head 5            the first rows
  vego inspect data.lfmt --diff other.lfmt   whether two files hold the same
  vego inspect data.lfmt --html report.html  a picture of the file, for a browser

exit status: 0 all is well, 1 damage or, with --diff, other data was found, 2 an error
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vego.errors import InvalidArgumentError

HELP = "what is in a file: columns, encodings, pages, sizes"
FOUND = 1
COLUMNS = 60  # the largest, where there are more
_VIEWS = {
    "tree": "file, columns and pages as a tree",
    "pages": "every page: where it lies, its rows, encoding, checksum and bounds",
    "why": "what was weighed when encodings were chosen",
    "stats": "nulls, NaNs, bounds, and how pages overlap",
    "map": "what every byte of the file belongs to",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file and how much to show of it."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="an .lfmt or .del file, or another file of a database"
    )
    views = parser.add_argument_group("views")
    for name, text in _VIEWS.items():
        views.add_argument(f"--{name}", action="store_true", help=text)
    alone = parser.add_argument_group("views of their own").add_mutually_exclusive_group()
    alone.add_argument(
        "--page", metavar="COLUMN:N", help="one page, every byte named (price:0 is the first of price)"
    )
    alone.add_argument("--head", metavar="N", type=_rows, nargs="?", const=10, help="the first rows (10)")
    alone.add_argument("--diff", metavar="OTHER", type=Path, help="compare with another file, values and all")
    alone.add_argument("--html", metavar="OUT", type=Path, help="write a report with pictures to a file")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--column", metavar="NAME", action="append", default=[], help="only this column; may be repeated"
    )
    how.add_argument("--all", action="store_true", help="leave nothing out, however much there is")
    how.add_argument("--hex", action="store_true", help="with --page: show the bytes")
    how.add_argument("--verify", action="store_true", help="read and check every byte first")
    how.add_argument("--overwrite", action="store_true", help="with --html: replace OUT if it exists")
    how.add_argument("--json", action="store_true", help="everything, as JSON")


def _rows(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows (FILE stands before --head)")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Print what was asked for."""
    if options.hex and options.page is None:
        raise InvalidArgumentError("--hex goes with --page COLUMN:N")
    alone = [name for name in ("page", "head", "diff", "html") if getattr(options, name) is not None]
    views = [name for name in _VIEWS if getattr(options, name)]
    if alone and views:
        raise InvalidArgumentError(
            f"--{alone[0]} and --{views[0]} do not go together: ask for one, then the other"
        )
    if options.page is not None:
        return _page(options)
    if options.head is not None:
        return _head(options)
    if options.diff is not None:
        return _diff(options)
    return _html(options) if options.html is not None else _report(options, views)


def _print(lines: Iterable[str], data: Any, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(data(), indent=2, ensure_ascii=False))
        return
    for line in lines:
        print(line)


def _inspect(options: argparse.Namespace, largest: int | None, *, page_map: bool = False) -> dict[str, Any]:
    from vego.progress import progress_of
    from vego_tools.inspector import inspect

    with progress_of(options.verify and sys.stderr.isatty(), "checking") as progress:
        report: dict[str, Any] = inspect(
            options.file,
            columns=options.column,
            verify=options.verify,
            largest=largest,
            page_map=page_map,
            progress=progress,
        )
    return report


def _report(options: argparse.Namespace, views: list[str]) -> int:
    from vego_tools.inspector import text

    report = _inspect(options, None if options.json or options.all else COLUMNS)
    if not views and options.column:
        views = ["stats", "pages", "why"]
    _print(text.lines(report, views, everything=options.all), lambda: report, options)
    return FOUND if report.get("damage") else 0


def _page(options: argparse.Namespace) -> int:
    from vego_tools.inspector import page

    anatomy = page.page_of(options.file, options.page)
    shown = page.lines(anatomy, raw=options.hex, everything=options.all)
    _print(shown, lambda: page.report(anatomy, raw=options.hex), options)
    return FOUND if anatomy.damage else 0


def _head(options: argparse.Namespace) -> int:
    from vego_tools.inspector import head

    found, total = head.read_head(options.file, options.head, options.column)
    _print(head.lines(found, total), lambda: head.report(found), options)
    return FOUND if found.damage else 0


def _diff(options: argparse.Namespace) -> int:
    from vego.progress import progress_of
    from vego_tools.inspector import compare

    with progress_of(sys.stderr.isatty(), "comparing") as progress:
        found = compare.compare(options.file, options.diff, columns=options.column, progress=progress)
    _print(compare.lines(found), lambda: found, options)
    return 0 if found["same"] else FOUND


def _html(options: argparse.Namespace) -> int:
    from vego_tools.inspector import html

    if options.html.exists():
        if options.file.exists() and options.html.samefile(options.file):
            raise InvalidArgumentError(f"{options.html} is FILE itself; give the report another name")
        if not options.overwrite:
            raise InvalidArgumentError(f"{options.html} exists; --overwrite replaces it")
    report = _inspect(options, html.COLUMNS, page_map=True)
    size = html.write(report, options.html)
    _print([f"{options.html}: {size:,} bytes"], lambda: {"file": str(options.html), "bytes": size}, options)
    return FOUND if report.get("damage") else 0
