"""A file as a pyarrow Dataset, for whatever reads those: DuckDB, DataFusion, Polars, pandas' users.

`Dataset` is a `pyarrow.dataset.Dataset` whose scanners read the file with projection and filter pushed down. What
a filter of this format cannot say exactly is left to pyarrow, batch by batch, so that the rows are right in any case.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from lance_fmt.errors import InvalidDataError
from lance_fmt.filter import Expression
from lance_fmt.interop.arrow_scan import BATCH_ROWS, ArrowScan, default_threads
from lance_fmt.interop.expression_tree import names_of, tree_of
from lance_fmt.interop.expressions import translate, with_largest_nan
from lance_fmt.reader import File, open


class Scanner:
    """What `pyarrow.dataset.Scanner` does, over one scan."""

    def __init__(
        self,
        file: File,
        columns: Sequence[str] | None,
        filter: Any,
        *,
        rows: range | None = None,
        batch_size: int | None = None,
        batch_rows: int = BATCH_ROWS,
        threads: int | None = None,
        largest_nan: bool = False,
    ) -> None:
        self._names = file.schema.names if columns is None else list(columns)
        pushed, self._rest = _split(filter, file, largest_nan)
        read = list(self._names)
        if self._rest is not None:
            read += sorted(_columns_of(self._rest, file) - set(read))
        self._batch_size = batch_size
        self._scan = ArrowScan(file, read, filter=pushed, rows=rows, batch_rows=batch_rows, threads=threads)

    @property
    def projected_schema(self) -> pa.Schema:
        """The schema of the batches."""
        found = self._scan.schema
        return pa.schema([found.field(name) for name in self._names], found.metadata)

    @property
    def dataset_schema(self) -> pa.Schema:
        """The schema of the columns that are read, those of the filter included."""
        return self._scan.schema

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """The batches, none of them empty."""
        for batch in self._scan.batches():
            found = batch
            if self._rest is not None:
                found = pa.Table.from_batches([batch]).filter(self._rest).select(self._names)
                if not len(found):
                    continue
                (found,) = found.combine_chunks().to_batches()
            # Decoding is done by pages, whatever size is asked for: smaller batches are views.
            step = self._batch_size or len(found)
            yield from (found.slice(start, step) for start in range(0, len(found), step))

    def to_reader(self) -> pa.RecordBatchReader:
        """A RecordBatchReader; each call scans again."""
        return pa.RecordBatchReader.from_batches(self.projected_schema, self.to_batches())

    def to_table(self) -> pa.Table:
        """All rows."""
        return pa.Table.from_batches(self.to_batches(), self.projected_schema)

    def head(self, num_rows: int) -> pa.Table:
        """The first rows, reading no more batches than they are in."""
        found, batches = 0, []
        for batch in self.to_batches():
            batches.append(batch.slice(0, num_rows - found))
            found += len(batches[-1])
            if found >= num_rows:
                break
        return pa.Table.from_batches(batches, self.projected_schema)

    def count_rows(self) -> int:
        """Rows that pass the filter."""
        if self._rest is None:
            return self._scan.count_rows()
        return sum(len(batch) for batch in self.to_batches())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)


class Fragment:
    """A range of rows of a file, with the `scanner` of a `pyarrow.dataset.Fragment`."""

    def __init__(self, file: File, rows: range, batch_rows: int, largest_nan: bool) -> None:
        self._file = file
        self._largest_nan = largest_nan
        self._rows = rows
        self._batch_rows = batch_rows

    def scanner(
        self,
        schema: Any = None,  # noqa: ARG002
        columns: Sequence[str] | None = None,
        filter: Any = None,
        batch_size: int | None = None,
        **_: Any,
    ) -> Scanner:
        """A scanner of the part; `schema` is that of the dataset, which every part has anyway."""
        return Scanner(
            self._file,
            columns,
            filter,
            rows=self._rows,
            batch_size=batch_size,
            batch_rows=self._batch_rows,
            threads=1,
            largest_nan=self._largest_nan,
        )


class Dataset(pyarrow.dataset.Dataset):  # type: ignore[misc]
    """A file, or the file at a path, as a `pyarrow.dataset.Dataset`.

    `batch_rows` is the number of rows that are decoded together, `threads` how many batches at a time (None: one
    for each processor). `largest_nan` makes filters that are pushed down take NaN for larger than all numbers, as SQL
    engines do, and not as pyarrow does. A path is opened, mapped, and closed with the last reference. Raises what
    `lance_fmt.open` raises.
    """

    def __init__(
        self,
        source: File | str | os.PathLike[str],
        *,
        batch_rows: int = BATCH_ROWS,
        threads: int | None = None,
        largest_nan: bool = False,
    ) -> None:
        self._largest_nan = largest_nan
        self.file = source if isinstance(source, File) else open(source, mmap=True)
        self._batch_rows = batch_rows
        self._threads = threads
        self._schema = ArrowScan(self.file).schema

    @property
    def schema(self) -> pa.Schema:
        """The schema of all columns."""
        return self._schema

    def scanner(
        self,
        columns: Sequence[str] | dict[str, Any] | None = None,
        filter: Any = None,
        batch_size: int | None = None,
        use_threads: bool = True,
        **_: Any,
    ) -> Scanner:
        """A scanner of `columns` (None: all) and the rows for which `filter`, a pyarrow Expression, is true.

        Other keywords of pyarrow's, such as fragment_scan_options, say nothing here and are ignored.
        """
        if isinstance(columns, dict):
            raise InvalidDataError("columns of a scan are names; compute others from what it returns")
        threads = self._threads if use_threads else 1
        return Scanner(
            self.file,
            columns,
            filter,
            batch_size=batch_size,
            batch_rows=self._batch_rows,
            threads=threads,
            largest_nan=self._largest_nan,
        )

    def count_rows(self, filter: Any = None, **_: Any) -> int:
        """Rows for which `filter` is true."""
        return self.scanner([], filter).count_rows()

    def head(self, num_rows: int, **keywords: Any) -> pa.Table:
        """The first rows."""
        return self.scanner(**keywords).head(num_rows)

    def to_table(self, **keywords: Any) -> pa.Table:
        """A pyarrow Table; keywords as for `scanner`."""
        return self.scanner(**keywords).to_table()

    def to_batches(self, **keywords: Any) -> Iterator[pa.RecordBatch]:
        """Record batches; keywords as for `scanner`."""
        return self.scanner(**keywords).to_batches()

    def take(self, indices: Any, columns: Sequence[str] | None = None, **_: Any) -> pa.Table:
        """The rows with these numbers."""
        return self.file.take(pa.array(indices).to_numpy(zero_copy_only=False), columns).to_arrow()

    def get_fragments(self, filter: Any = None) -> Iterator[Fragment]:  # noqa: ARG002
        """Parts of the file, one for each thread, that engines may read side by side."""
        parts = default_threads() if self._threads is None else self._threads
        step = max(-(-self.file.num_rows // parts), 1)
        step += -step % self._batch_rows
        starts = range(0, max(self.file.num_rows, 1), step)
        stops = (min(start + step, self.file.num_rows) for start in starts)
        yield from (
            Fragment(self.file, range(a, b), self._batch_rows, self._largest_nan)
            for a, b in zip(starts, stops, strict=True)
        )

    def __reduce__(self) -> Any:
        return Dataset, (self.file.path,)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.scanner().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __repr__(self) -> str:
        return f"Dataset({self.file!r})"


def _split(filter: Any, file: File, largest_nan: bool) -> tuple[Expression | None, Any]:
    """What of a filter is pushed down, and the pyarrow Expression that is left (None: nothing is)."""
    if filter is None:
        return None, None
    if isinstance(filter, Expression):
        return filter, None
    if isinstance(filter, pa.Scalar):
        # DataFusion's form of a filter that its optimizer found to be constant.
        filter = pc.scalar(filter)
    pushed, exact = translate(filter, file.schema)
    if pushed is not None and largest_nan:
        pushed = with_largest_nan(pushed, file.schema)
    return pushed, None if exact else filter


def _columns_of(expression: Any, file: File) -> set[str]:
    """Columns that an expression needs: of one that cannot be taken apart, all."""
    try:
        return names_of(tree_of(expression))
    except InvalidDataError:
        return set(file.schema.names)
