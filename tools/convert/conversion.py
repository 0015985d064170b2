"""`convert`: one file into another, of any two formats, in batches."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vego.errors import InvalidArgumentError
from vego.progress import progress_of
from vego_tools.convert import registry
from vego_tools.convert.compare import first_difference
from vego_tools.convert.errors import ConversionError, explained
from vego_tools.convert.place import check_free, new_place
from vego_tools.convert.registry import Format
from vego_tools.convert.report import Report, changes, losses
from vego_tools.convert.source import Source, Window, WriteOptions, chosen

Progress = Callable[[int, int], None]


class DifferenceError(ConversionError):
    """With `check`: the destination, read back, does not hold the values of the source."""


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    source_format: str | None = None,
    destination_format: str | None = None,
    columns: Sequence[str] | None = None,
    rows: tuple[int, int | None] | None = None,
    batch_rows: int | None = None,
    level: str = "balanced",
    row_index: Collection[str] = (),
    bloom: Collection[str] = (),
    overwrite: bool = False,
    check: bool = False,
    progress: bool | Progress = False,
) -> Report:
    """Write what `source` holds to `destination`, in the format of its name or `destination_format`.

    `columns` (None: all) and the rows from `rows[0]` up to but not including `rows[1]` (None: to the end) are
    taken. Memory is that of a few batches of `batch_rows` rows (None: 4 to 8 MB). `level`, `row_index` and
    `bloom` are those of `lance_fmt.Writer` and go with `.lfmt` only. `check` reads the destination back before
    it takes its name and compares every value. `progress` is True for a bar on standard error, or a function
    of (done, total).

    The destination holds the whole conversion, or what it held before: it is written beside and renamed.
    Raises InvalidArgumentError, ConversionError (DifferenceError by `check`), lance_fmt.FormatError and OSError.
    """
    started = time.perf_counter()
    src, dst = Path(source), Path(destination)
    window = _window(columns, rows, batch_rows)
    options = WriteOptions(level, tuple(row_index), tuple(bloom))
    to = registry.named(destination_format) if destination_format else registry.of_destination(dst)
    if to.name != "lfmt" and options.asked:
        raise InvalidArgumentError(f"{', '.join(options.asked)}: only for .lfmt, and {dst} is {to.title}")
    _ = src.stat()  # a missing source is the first thing to say
    came_from = registry.named(source_format) if source_format else registry.of_source(src)
    check_free(dst, overwrite=overwrite)
    with _opened(came_from, src) as reader:
        window = _known(reader, window)
        report = Report(str(src), str(dst), came_from.title, to.title, source_bytes=_size(src))
        with new_place(dst) as place, progress_of(progress, "converting") as bar:
            batches = _Batches(reader, replace(window, stored=to.name == "lfmt"), bar)
            written = _write(to, place, dst, batches, options)
            report.notes = [*reader.notes, *written]
            report.rows, report.columns = batches.rows, len(batches.schema)
            report.destination_bytes = _size(place)
            _look_back(report, to, place, dst, reader, window, check)
    report.seconds = time.perf_counter() - started
    return report


def _window(
    columns: Sequence[str] | None, rows: tuple[int, int | None] | None, batch_rows: int | None
) -> Window:
    if isinstance(columns, str):
        raise InvalidArgumentError(f"columns is a list of names, not the text {columns!r}")
    start, stop = rows or (0, None)
    if start < 0 or (stop is not None and stop < start):
        raise InvalidArgumentError(f"rows {start}:{stop} are no range; count from 0, the end is not included")
    if batch_rows is not None and batch_rows < 1:
        raise InvalidArgumentError(f"batch_rows {batch_rows} is not positive")
    return Window(None if columns is None else tuple(columns), start, stop, batch_rows)


class _opened:  # noqa: N801 (used as a function)
    """Opens a source and closes it; what its library raises becomes a ConversionError."""

    def __init__(self, format: Format, path: Path, shown: Path | None = None) -> None:  # noqa: A002
        self._format, self._path, self._shown = format, path, shown or path

    def __enter__(self) -> Source:
        try:
            with explained(self._shown, f"cannot be read as {self._format.title}"):
                self._source = self._format.open(self._path)
                try:
                    _ = [(f.name, str(f.type)) for f in self._source.schema]  # names may not be UTF-8
                except BaseException:
                    self._source.close()
                    raise
        except ConversionError as error:
            raise _hinted(error, self._format, self._path) from error
        return self._source

    def __exit__(self, *_: object) -> None:
        self._source.close()


def _hinted(error: ConversionError, format: Format, path: Path) -> ConversionError:  # noqa: A002
    """The error, with what the file is by its first bytes where that is another format."""
    if not path.is_file():
        return error
    with path.open("rb") as file:
        other = registry.content(file.read(16))
    if other is None or other is format:
        return error
    return ConversionError(f"{error}; its first bytes are those of {other.title}: --from {other.name}")


def _known(reader: Source, window: Window) -> Window:
    """The window, its columns checked and every one named once."""
    names = list(reader.schema.names)
    if window.columns is None:
        return replace(window, columns=reader.default_columns())
    for name in window.columns:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            few = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20:,} more" if names[20:] else "")
            hint = f"did you mean {near[0]!r}?" if near else f"there are {few}"
            raise InvalidArgumentError(f"{reader.path}: no column {name!r}; {hint}")
    if len(set(window.columns)) != len(window.columns):
        raise InvalidArgumentError(f"columns {', '.join(window.columns)} name a column twice")
    return window


class _Batches:
    """The batches of a source, counted, with what its library raises explained.

    Writers that pull batches through another language lose the exception; `failure` keeps it.
    """

    def __init__(self, reader: Source, window: Window, bar: Progress | None) -> None:
        self.schema = chosen(reader.schema, window.columns)
        self.rows = 0
        self.failure: BaseException | None = None
        self._reader, self._bar, self._window = reader, bar, window
        self._source = iter(reader.batches(window))
        end = None if reader.num_rows is None else window.end(reader.num_rows)
        self._total = None if end is None else max(end - window.start, 0)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            with explained(
                self._reader.path, f"damaged, or not as its beginning says, after row {self.rows}"
            ):
                batch = next(self._source, None)
        except BaseException as error:
            self.failure = error
            raise
        if batch is None:
            if self._bar is not None:
                self._tell(self._bar, last=True)
            raise StopIteration
        self.rows += batch.num_rows
        if self._bar is not None:
            self._tell(self._bar, last=False)
        return batch

    def _tell(self, bar: Progress, *, last: bool) -> None:
        place = (self.rows, self._total) if self._total is not None else self._reader.position()
        if place is not None:
            bar(place[1] if last else place[0], place[1])


def _write(to: Format, place: Path, dst: Path, batches: _Batches, options: WriteOptions) -> list[str]:
    try:
        with explained(dst, f"cannot be written as {to.title}"):
            return to.writer(dst)(place, batches.schema, batches, options)
    except BaseException as error:
        if batches.failure is not None and batches.failure is not error:
            raise batches.failure from None
        text = str(error)
        if isinstance(error, ConversionError) and str(place) in text:  # the name it was going to have
            raise type(error)(text.replace(str(place), str(dst))) from error
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(dst)) from error
        raise


def _look_back(
    report: Report, to: Format, place: Path, dst: Path, reader: Source, window: Window, check: bool
) -> None:
    """What a reader of the destination will find, compared with the source."""
    wanted = chosen(reader.schema, window.columns)
    with _opened(to, place, dst) as back:
        report.changes = changes(wanted, back.schema)
        report.notes += losses(wanted, back.schema)
        if check:
            everything = Window(batch_rows=window.batch_rows)
            with explained(dst, "cannot be read back"):
                row, what = first_difference(reader.batches(window), back.batches(everything))
            if what is not None:
                raise DifferenceError(f"{dst}: row {row} is not that of {reader.path}: {what}")
            report.checked = row


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
    return path.stat().st_size
