"""Parquet files, by pyarrow: read and written a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vego_tools.convert.errors import ConversionError
from vego_tools.convert.source import Source, Window, WriteOptions, ahead, cut, row_width
from vego_tools.convert.substitutes import simplified, write_fitted

# A column of fewer bytes a row is one of codes: only few rows lie behind the dictionary, if any.
_CODE_BYTES = 2.5
_FIRST_ROWS = 1 << 10
_GROUP_ROWS = 1 << 17
_GROUP_BYTES = 12 << 20


class _ParquetSource(Source):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = self._opened()
        self._coded: Any = None
        self.schema = self._file.schema_arrow
        self.num_rows = self._file.metadata.num_rows
        if len(set(self.schema.names)) != len(self.schema.names):
            twice = next(n for n in self.schema.names if self.schema.names.count(n) > 1)
            raise ConversionError(f"{path}: column {twice!r} occurs more than once; names must differ")

    def batches(self, window: Window) -> Iterator[Any]:
        assert self.num_rows is not None
        meta = self._file.metadata
        first, groups, skipped = 0, [], 0
        for group in range(meta.num_row_groups):
            rows = meta.row_group(group).num_rows
            if first + rows <= window.start:
                skipped += rows
            elif first < window.end(self.num_rows):
                groups.append(group)
            first += rows
        todo = window.end(self.num_rows) - window.start
        skip = window.start - skipped
        names = None if window.columns is None else list(window.columns)
        rows = self._batch_rows(window, groups, names)
        file = self._with_dictionaries(names) if window.stored else self._file
        for batch in ahead(_iterated(file, rows, groups, names)):
            part = batch.slice(skip)
            skip = max(skip - batch.num_rows, 0)
            part = part.slice(0, todo)
            todo -= part.num_rows
            if part.num_rows:
                yield part if names is None else part.select(names)
            if todo <= 0:
                return

    def _batch_rows(self, window: Window, groups: list[int], names: list[str] | None) -> int:
        """Rows of a batch: sizes in the footer are those of encoded values, so the first rows are looked at."""
        rows = window.rows_for(row_width(self.schema))
        if window.batch_rows is None and groups and sum(self._rows_of(g) for g in groups) > rows:
            first = next(_iterated(self._file, min(rows, _FIRST_ROWS), groups[:1], names))
            rows = window.rows_for(first.nbytes / max(first.num_rows, 1))
        return rows

    def _rows_of(self, group: int) -> int:
        return int(self._file.metadata.row_group(group).num_rows)

    def _with_dictionaries(self, names: list[str] | None) -> Any:
        """The file, opened so that columns that are codes of a dictionary throughout are read as that."""
        meta = self._file.metadata
        coded = [f.name for f in self.schema if _is_flat_text(f.type) and (names is None or f.name in names)]
        sizes: dict[str, float] = dict.fromkeys(coded, 0)
        for group in map(meta.row_group, range(meta.num_row_groups)):
            for chunk in map(group.column, range(group.num_columns)):
                name = chunk.path_in_schema
                if name in sizes:
                    plain = not chunk.has_dictionary_page
                    sizes[name] += (
                        chunk.num_values * _CODE_BYTES + 1 if plain else chunk.total_uncompressed_size
                    )
        coded = [name for name, size in sizes.items() if size < _CODE_BYTES * meta.num_rows]
        if coded and self._coded is None:
            self._coded = self._opened(read_dictionary=coded, metadata=meta)
        return self._coded or self._file

    def _opened(self, **options: Any) -> Any:
        import pyarrow.parquet as pq

        # Without reading whole row groups ahead, and column chunks by buffers: memory stays that of batches.
        return pq.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 18, memory_map=False, **options)

    def close(self) -> None:
        for file in (self._file, self._coded):
            if file is not None:
                file.close(force=True)


def _iterated(file: Any, rows: int, groups: list[int], names: list[str] | None) -> Iterator[Any]:
    """Record batches, read by one thread: each of pyarrow's keeps memory of its own."""
    if groups:
        yield from file.iter_batches(rows, row_groups=groups, columns=names, use_threads=False)


def _is_flat_text(kind: Any) -> bool:
    """Strings and bytes, which Parquet keeps alike; not text of extension types."""
    import pyarrow as pa

    is_ = pa.types
    return bool(
        is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind)
        or is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_binary_view(kind)
    )  # fmt: skip


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
                del table  # not held while the next is read
                pa.default_memory_pool().release_unused()

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
        del batch
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            rows = size = 0
            yield pa.Table.from_batches(_taken(waiting), schema)
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _taken(items: list[Any]) -> list[Any]:
    """The items, which `items` holds no more."""
    found = items.copy()
    items.clear()
    return found
