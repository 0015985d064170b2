"""Scans of a file as Arrow record batches: columns, a filter, several threads, bounded memory.

A batch is a run of rows that starts where pages do. A few of them are decoded ahead, each by one thread: the
kernels run without the interpreter's lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from lance_fmt.arena import Arena
from lance_fmt.column_reader import ColumnReader
from lance_fmt.errors import InvalidDataError
from lance_fmt.filter import Expression, bind, prune
from lance_fmt.interop.columns import ArrowColumn, Layout, layout_of
from lance_fmt.optional import need
from lance_fmt.reader import File
from lance_fmt.scan import select_rows

BATCH_ROWS = 1 << 17
# From one match in this many rows on, reading whole blocks beats fetching rows.
_DENSE = 16
_MOST_THREADS = 8


def default_threads() -> int:
    """Threads of a scan that does not say: one for each processor that this process may use, up to 8."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        _MOST_THREADS,
    )


def reader_of(file: File, name: str) -> ColumnReader:
    """The reader of a column, which is no part of the public interface of files."""
    return file._reader(name)


class ArrowScan:
    """Rows of `file` as record batches of `schema`.

    `columns` names what is returned (None: all), in this order; `filter` is an expression of `lance_fmt.field`;
    `rows` limits the scan to a range of them.
    `narrow` hands out decimals of up to 18 digits as decimal64 and strings kept in dictionaries as dictionary
    arrays, which engines like and other readers may not know. Raises SchemaError, InvalidDataError; reading
    raises CorruptFileError.
    """

    def __init__(
        self,
        file: File,
        columns: Sequence[str] | None = None,
        *,
        filter: Expression | Sequence[Any] | None = None,
        rows: range | None = None,
        batch_rows: int = BATCH_ROWS,
        threads: int | None = None,
        narrow: bool = False,
    ) -> None:
        if batch_rows < 1:
            raise InvalidDataError(f"batches of {batch_rows} rows")
        if isinstance(columns, str):
            raise InvalidDataError(f"columns is a list of names, not the text {columns!r}")
        self._pa = need("pyarrow", "arrow")
        self._file = file
        self._rows = range(file.num_rows) if rows is None else rows
        self._batch_rows = batch_rows
        self._threads = default_threads() if threads is None else max(threads, 1)
        self._bound = None if filter is None else bind(filter, file.schema)
        self._tested = {} if self._bound is None else {n: reader_of(file, n) for n in self._bound.columns}
        names = file.schema.names if columns is None else list(columns)
        self._columns = []
        for name in names:
            reader = reader_of(file, name)
            layout = layout_of(reader) if narrow else Layout.USUAL
            self._columns.append(ArrowColumn(self._pa, reader, layout))
        metadata = file.schema.metadata if columns is None else {}
        self.schema = self._pa.schema([column.field for column in self._columns], metadata or None)

    def reader(self) -> Any:
        """A pyarrow RecordBatchReader over the scan; each call scans again."""
        return self._pa.RecordBatchReader.from_batches(self.schema, self.batches())

    def batches(self) -> Iterator[Any]:
        """The record batches, in the order of the rows; none is empty."""
        starts = range(self._rows.start, self._rows.stop, self._batch_rows)
        if self._threads == 1 or len(starts) == 1:
            for start in starts:
                batch = self._batch(start)
                if batch is not None:
                    yield batch
            return
        pool = ThreadPoolExecutor(self._threads, "lance_fmt.scan")
        waiting: deque[Future[Any]] = deque()
        try:
            for start in starts:
                waiting.append(pool.submit(self._batch, start))
                if len(waiting) > self._threads:
                    batch = waiting.popleft().result()
                    if batch is not None:
                        yield batch
            while waiting:
                batch = waiting.popleft().result()
                if batch is not None:
                    yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def count_rows(self) -> int:
        """Rows of the scan, reading no more than the filter's columns, and those only where bounds leave doubt."""
        if self._bound is None:
            return len(self._rows)
        selection = select_rows(self._bound, self._tested, self._rows.start, self._rows.stop)
        return sum(
            stop - start if mask is None else int(np.count_nonzero(mask))
            for start, stop, mask in selection.parts
        )

    def _batch(self, start: int) -> Any:
        """The batch of the rows from `start` on; None if none of them match."""
        stop = min(start + self._batch_rows, self._rows.stop)
        arena = Arena()
        if self._bound is None:
            return self._made([column.read(start, stop, arena) for column in self._columns], stop - start)
        found = select_rows(self._bound, self._tested, start, stop)
        rows = found.rows()
        if not len(rows):
            return None
        low, high = int(rows[0]), int(rows[-1]) + 1
        if high - low == len(rows):
            held = [column.read(low, high, arena) for column in self._columns]
        elif len(rows) * _DENSE < high - low:
            held = [column.take(rows) for column in self._columns]
        else:
            held = [column.read(low, high, arena).take(rows - low) for column in self._columns]
        return self._made(held, len(rows))

    def _made(self, held: list[Any], rows: int) -> Any:
        pa = self._pa
        if not held:
            return pa.RecordBatch.from_struct_array(pa.StructArray.from_buffers(pa.struct([]), rows, [None]))
        arrays = [column.array(rows) for column, rows in zip(self._columns, held, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def rows_left(file: File, filter: Expression) -> int:
    """An upper bound of the rows that match, by the statistics of pages and blocks alone; reads no values."""
    bound = bind(filter, file.schema)
    readers = {name: reader_of(file, name) for name in bound.columns}
    if not readers or not file.num_rows:
        return file.num_rows
    shift = min(reader.block_shift for reader in readers.values())
    numbers = np.arange(-(-file.num_rows >> shift))
    zones = {name: reader.block_zones(numbers, shift) for name, reader in readers.items()}
    may, _ = prune(bound, zones, len(numbers))
    return min(int(np.count_nonzero(may)) << shift, file.num_rows)
