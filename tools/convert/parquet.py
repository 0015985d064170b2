"""Parquet files, by pyarrow: read and written a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vego_tools.convert.errors import ConversionError
from vego_tools.convert.source import Source, Window, WriteOptions, cut, row_width
from vego_tools.convert.substitutes import simplified, write_fitted

_GROUP_ROWS = 1 << 17
_GROUP_BYTES = 12 << 20


class _ParquetSource(Source):
    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        super().__init__(path)
        # Without reading whole row groups ahead, and column chunks by buffers: memory stays that of batches.
        self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 18, memory_map=False)
        self.schema = self._file.schema_arrow
        self.num_rows = self._file.metadata.num_rows
        if len(set(self.schema.names)) != len(self.schema.names):
            twice = next(n for n in self.schema.names if self.schema.names.count(n) > 1)
            raise ConversionError(f"{path}: column {twice!r} occurs more than once; names must differ")

    def batches(self, window: Window) -> Iterator[Any]:
        assert self.num_rows is not None
        meta = self._file.metadata
        first, groups, skipped = 0, [], 0
        size = 0
        for group in range(meta.num_row_groups):
            rows = meta.row_group(group).num_rows
            if first + rows <= window.start:
                skipped += rows
            elif first < window.end(self.num_rows):
                groups.append(group)
                size += meta.row_group(group).total_byte_size
            first += rows
        # Sizes in the footer are those of encoded values: dictionaries make them small.
        width = max(row_width(self.schema), size / max(first, 1))
        rows = window.rows_for(width)
        todo = window.end(self.num_rows) - window.start
        skip = window.start - skipped
        names = None if window.columns is None else list(window.columns)
        for batch in self._file.iter_batches(rows, row_groups=groups, columns=names) if groups else ():
            part = batch.slice(skip)
            skip = max(skip - batch.num_rows, 0)
            part = part.slice(0, todo)
            todo -= part.num_rows
            if part.num_rows:
                yield part if names is None else part.select(names)
            if todo <= 0:
                return

    def close(self) -> None:
        self._file.close(force=True)


def open_source(path: Path) -> Source:
    """Open a Parquet file."""
    return _ParquetSource(path)


def write(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write a Parquet file with Zstandard; the Arrow schema goes with it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def put(target: Any, rows: Iterator[Any], where: Path) -> None:
        with pq.ParquetWriter(where, target, compression="zstd", version="2.6", store_schema=True) as writer:
            for table in _groups(target, rows):
                writer.write_table(table)

    # pyarrow cannot write every slice of views inside lists and structs, and which is not known beforehand.
    views = ("string_view", "binary_view")
    safe = [
        f.with_type(simplified(f.type)) if f.type.num_fields and any(v in str(f.type) for v in views) else f
        for f in schema
    ]
    schema = pa.schema(safe, schema.metadata)
    write_fitted(path, schema, cut(batches, _GROUP_ROWS), put)
    return []


def _groups(schema: Any, batches: Iterator[Any]) -> Iterator[Any]:
    """Tables that are a row group each."""
    import pyarrow as pa

    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting, schema)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)
