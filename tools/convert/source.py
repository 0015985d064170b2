"""What a format gives to be read: `Source`, record batches of an Arrow schema, and how many rows go in one.

Batches between formats are Arrow's, because every format but ours speaks Arrow: types that ours has not, such
as dictionaries and 64-bit offsets, survive from Parquet to Arrow IPC, and `.lfmt` remembers them.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH_BYTES = 8 << 20
MOST_ROWS = 1 << 17
_GUESSED_TEXT = 64  # bytes of a string, a list or a binary value nothing is known of


@dataclass(frozen=True, slots=True)
class Window:
    """What of a file is wanted: columns by name (None: all), rows from `start` to `stop` (None: the end).

    `stored`: text may come as dictionaries of text, whatever the schema says, if that is how it lies in the file.
    """

    columns: tuple[str, ...] | None = None
    start: int = 0
    stop: int | None = None
    batch_rows: int | None = None
    stored: bool = False

    def rows_for(self, width: float) -> int:
        """Rows of a batch, where a row takes about `width` bytes."""
        if self.batch_rows is not None:
            return self.batch_rows
        fitting = max(min(int(BATCH_BYTES / max(width, 1)), MOST_ROWS), 64)
        return 1 << (fitting.bit_length() - 1)  # pages of .lfmt have such numbers of rows, too

    def end(self, num_rows: int) -> int:
        """The row to stop before, in a file of `num_rows`."""
        return num_rows if self.stop is None else min(self.stop, num_rows)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What `.lfmt` is written with; other formats take none of it."""

    level: str = "balanced"
    row_index: Collection[str] = ()
    bloom: Collection[str] = ()

    @property
    def asked(self) -> list[str]:
        """The options that are not at their default, as they are typed."""
        found = ["--level"] if self.level != "balanced" else []
        return found + [f"--{n}" for n, v in (("row-index", self.row_index), ("bloom", self.bloom)) if v]


class Source(ABC):
    """A file open for reading.

    `schema` is the pyarrow schema of all columns, `num_rows` their length where it is known without reading
    everything, `notes` what a reader of the report should know about how the file was understood.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.schema: Any = None
        self.num_rows: int | None = None
        self.notes: list[str] = []

    def default_columns(self) -> tuple[str, ...] | None:
        """What is meant where nobody names columns (None: all). Raises ConversionError if that cannot be said."""
        return None

    @abstractmethod
    def batches(self, window: Window) -> Iterator[Any]:
        """pyarrow RecordBatches of the columns and rows asked for, in order, in memory for a few of them."""

    def position(self) -> tuple[int, int] | None:
        """How much of how much has been read, in bytes, where `num_rows` is not known."""
        return None

    def close(self) -> None:  # noqa: B027 (some have nothing to release)
        """Release the file."""


def row_width(schema: Any) -> float:
    """About how many bytes a row of `schema` takes in memory."""
    return sum(_width(field.type) for field in schema)


def _width(kind: Any) -> float:
    if hasattr(kind, "list_size") and kind.list_size >= 0:
        return float(_width(kind.value_type) * max(kind.list_size, 1))
    if kind.num_fields:
        return sum(_width(kind.field(i).type) for i in range(kind.num_fields))
    try:
        return max(float(kind.bit_width) / 8, 0.125)
    except ValueError:
        return _GUESSED_TEXT


def selected(batches: Iterable[Any], window: Window) -> Iterator[Any]:
    """The wanted rows and columns of batches that hold all; stops reading after the last of them."""
    first = 0
    for batch in batches:
        start = max(window.start - first, 0)
        stop = batch.num_rows if window.stop is None else min(window.stop - first, batch.num_rows)
        first += batch.num_rows
        if start < stop:
            part = batch.slice(start, stop - start)
            yield part if window.columns is None else part.select(list(window.columns))
        if window.stop is not None and first >= window.stop:
            return


def cut(batches: Iterable[Any], rows: int | None) -> Iterator[Any]:
    """Batches of at most `rows` rows."""
    for batch in batches:
        step = rows or max(batch.num_rows, 1)
        pieces = [batch.slice(at, step) for at in range(0, batch.num_rows, step)]
        del batch  # no piece is held while the next are read
        while pieces:
            yield pieces.pop(0)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The same batches, each read by another thread while the one before it is in use, where there are processors."""
    if processors() == 1:
        yield from batches
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "convert-reader") as pool:
        following = pool.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield batch
            del batch


def chosen(schema: Any, columns: Sequence[str] | None) -> Any:
    """The schema of some of its columns, in their order."""
    import pyarrow as pa

    if columns is None:
        return schema
    return pa.schema([schema.field(name) for name in columns], schema.metadata)


def empty_batch(schema: Any) -> Any:
    """No rows of a schema. Unlike `schema.empty_table()`, this does not import pandas."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
