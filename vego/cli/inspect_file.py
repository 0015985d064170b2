"""Show what is in one file: its columns, their encodings and sizes, and where each byte goes.

Without a view, an overview. It reads the file's metadata only, however large the file is, never writes to it, and
shows of a damaged one what can still be read. The manifests, logs and markers of a database can be shown, too.

views, words behind FILE (tree, pages, map, --why and --stats may be combined):
  tree              file, columns and pages as a tree
  pages             every page: where it lies, its rows, encoding, checksum and bounds
  map               what every byte of the file belongs to
  page COLUMN:N     one page, every byte named: price:0 is the first of price
  page N            the same, counting the pages of all columns from 0 on
  head [N]          the first rows (10)

examples:
  vego inspect data.lfmt                     columns, encodings, sizes, where each byte goes
  vego inspect data.lfmt --why --column price
                                             what was weighed when its encoding was chosen
  vego inspect data.lfmt tree                file, columns and pages as a tree
  vego inspect data.lfmt page price:0 --hex  every byte of a page and what it means
  vego inspect data.lfmt head 5              the first rows
  vego inspect diff data.lfmt other.lfmt     whether two files hold the same
  vego inspect data.lfmt --html report.html  a picture of the file, for a browser

exit status: 0 all is well, 1 damage or, of diff, other data was found, 2 an error
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from vego.errors import InvalidArgumentError

HELP = "what is in a file: columns, encodings, pages, sizes"
FOUND = 1
COLUMNS = 60  # the largest, where there are more
HEAD = 10  # rows
DIFF = "diff"
_TOGETHER = ("tree", "pages", "map")  # views that may be combined, and with --why and --stats
_VIEWS = "tree, pages, map, page COLUMN:N and head [N]"


class _Words(argparse.Action):
    """What stands behind FILE; `words` are those that a shell completes, after `files_after` names of files."""

    words = (*_TOGETHER, "page", "head")
    files_after = DIFF

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: Any = None,
    ) -> None:
        setattr(namespace, self.dest, values)


class View(NamedTuple):
    """What to show: `page` is COLUMN:N or N, `head` a number of rows, and `together` the views that may be combined."""

    together: tuple[str, ...] = ()
    page: str | None = None
    head: int | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file and how much to show of it."""
    parser.add_argument("file", metavar="FILE", help="an .lfmt or .del file, or another file of a database")
    parser.add_argument(
        "views", metavar="VIEW", nargs="*", default=[], action=_Words, help="what to show of it"
    )
    what = parser.add_argument_group("what else to show")
    what.add_argument("--why", action="store_true", help="what was weighed when encodings were chosen")
    what.add_argument("--stats", action="store_true", help="nulls, NaNs, bounds, and how pages overlap")
    what.add_argument("--html", metavar="OUT", type=Path, help="write a report with pictures to a file")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--column", metavar="NAME", action="append", default=[], help="only this column; may be repeated"
    )
    how.add_argument("--all", action="store_true", help="leave nothing out, however much there is")
    how.add_argument("--hex", action="store_true", help="of a page: show the bytes")
    how.add_argument("--verify", action="store_true", help="read and check every byte first")
    how.add_argument("--overwrite", action="store_true", help="with --html: replace OUT if it exists")
    how.add_argument("--json", action="store_true", help="everything, as JSON")


def view_of(words: Sequence[str]) -> View:
    """The view that words name. Raises InvalidArgumentError for a word that is none, and those that do not combine."""
    together: list[str] = []
    alone: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in _TOGETHER:
            together.append(word)
        elif word == "head":
            alone[word] = _rows(rest.pop(0)) if rest and rest[0] not in _Words.words else HEAD
        elif word == "page":
            if not rest:
                raise InvalidArgumentError("page COLUMN:N: which one? price:0 is the first page of price")
            alone[word] = rest.pop(0)
        elif word == DIFF:
            raise InvalidArgumentError("two files are compared by `vego inspect diff A B`")
        else:
            raise InvalidArgumentError(_no_view(word))
    if len(alone) + bool(together) > 1:
        one, other = [*alone, *together][:2]
        _apart(one, other)
    return View(tuple(together), **alone)


def _rows(text: str) -> int:
    if not text.isdecimal():
        raise InvalidArgumentError(f"head {text}: {text!r} is not a number of rows")
    return int(text)


def _no_view(word: str) -> str:
    from vego.cli.arguments import suggestion

    near = suggestion(word, _Words.words)
    hint = f"did you mean {near}? The views are" if near else "there are"
    return f"no view {word!r}; {hint} {_VIEWS}, and --why, --stats and --html"


def _apart(one: str, other: str) -> NoReturn:
    raise InvalidArgumentError(f"{one} and {other} do not go together: ask for one, then the other")


def run(options: argparse.Namespace) -> int:
    """Print what was asked for."""
    _load_numpy()
    if options.file == DIFF:
        return _diff(options)
    options.file = Path(options.file)
    view = view_of(options.views)
    views = [*view.together, *(name for name in ("why", "stats") if getattr(options, name))]
    word = "page" if view.page is not None else "head" if view.head is not None else ""
    if options.hex and word != "page":
        raise InvalidArgumentError("--hex goes with a page: `vego inspect FILE page COLUMN:N --hex`")
    if options.html is not None and (word or views):
        _apart("--html", word or _typed(views[0]))
    if word and views:
        _apart(word, _typed(views[0]))
    if view.page is not None:
        return _page(options, view.page)
    if view.head is not None:
        return _head(options, view.head)
    return _html(options) if options.html is not None else _report(options, views)


def _typed(view: str) -> str:
    return view if view in _TOGETHER else f"--{view}"


def _load_numpy() -> None:
    """Import NumPy without the threads of its BLAS: no matrix is multiplied here, and to start them takes a while."""
    name = "OPENBLAS_NUM_THREADS"
    if "numpy" in sys.modules or name in os.environ:
        return
    os.environ[name] = "1"
    try:
        import numpy as np  # noqa: F401
    finally:
        del os.environ[name]


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


def _page(options: argparse.Namespace, place: str) -> int:
    from vego_tools.inspector import page

    anatomy = page.page_of(options.file, place, options.column)
    shown = page.lines(anatomy, raw=options.hex, everything=options.all)
    _print(shown, lambda: page.report(anatomy, raw=options.hex), options)
    return FOUND if anatomy.damage else 0


def _head(options: argparse.Namespace, rows: int) -> int:
    from vego_tools.inspector import head

    found, total = head.read_head(options.file, rows, options.column)
    _print(head.lines(found, total), lambda: head.report(found), options)
    return FOUND if found.damage else 0


def _diff(options: argparse.Namespace) -> int:
    from vego.progress import progress_of
    from vego_tools.inspector import compare

    if len(options.views) != 2:
        raise InvalidArgumentError(
            "diff takes two files: `vego inspect diff A B` (a file named diff is ./diff)"
        )
    for name in ("why", "stats", "html", "hex"):
        if getattr(options, name):
            _apart(DIFF, f"--{name}")
    a, b = map(Path, options.views)
    with progress_of(sys.stderr.isatty(), "comparing") as progress:
        found = compare.compare(a, b, columns=options.column, progress=progress)
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
