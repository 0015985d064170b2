"""`open` and `File`: reading rows, columns and single documents of a file.

One read of the tail opens a file of any width: the column offset table stays an array over its bytes, a
column's metadata is read when the column is first asked for, the schema when it is first looked at. Every
piece is held against its checksum before it is believed. A `File` may be used by many threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np

from lance_fmt import footer as layout
from lance_fmt.cache import BlockCache
from lance_fmt.checksum import crc32c
from lance_fmt.column_meta import read_column_meta
from lance_fmt.column_reader import ColumnReader
from lance_fmt.constants import FOOTER_SIZE, HEADER_SIZE, TAIL_READ, PageFlag
from lance_fmt.errors import CorruptFileError, InvalidDataError, SchemaError
from lance_fmt.footer import Footer
from lance_fmt.info import ColumnInfo, PageInfo
from lance_fmt.schema import Field, Schema
from lance_fmt.source import ReadAt, open_source, read_exactly
from lance_fmt.table import Table
from lance_fmt.wire import Cursor


def open(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | ReadAt,
    *,
    cache: BlockCache | None = None,
) -> File:
    """Open a file at a path, in memory, or behind an object with `read_at` and `size`.

    `cache` may be shared by several files; by default each has its own of 64 MiB. Raises CorruptFileError,
    UnsupportedVersionError and OSError.
    """
    reader = open_source(source)
    try:
        return File(reader, BlockCache() if cache is None else cache)
    except BaseException:
        reader.close()
        raise


class File:
    """An open file. Make one with `open`; it is a context manager."""

    def __init__(self, source: ReadAt, cache: BlockCache) -> None:
        self._source = source
        self._cache = cache
        self._keys = BlockCache.new_owner() << 80
        self._readers: dict[str, ColumnReader] = {}
        self._plans: dict[tuple[str, ...] | None, list[tuple[str, ColumnReader]]] = {}
        self._header_checked = False
        length = source.size()
        if length < HEADER_SIZE + FOOTER_SIZE:
            raise CorruptFileError(self.path, 0, f"{length} bytes are too few for a file of this format")
        start = max(0, length - TAIL_READ)
        tail = read_exactly(source, start, length - start, "tail")
        self.footer = Footer.from_bytes(tail[-FOOTER_SIZE:], self.path, length)
        if not start:
            self._check_header(tail[:HEADER_SIZE])
        if self.footer.table_offset < start:
            start = self.footer.table_offset
            tail = read_exactly(source, start, length - start, "tail")
        self._read_tail(tail, start)

    def _read_tail(self, tail: memoryview, start: int) -> None:
        footer = self.footer
        self._table_bytes = tail[footer.table_offset - start : footer.schema_offset - start]
        self._schema_bytes = tail[footer.schema_offset - start : footer.metadata_offset - start]
        key_values = tail[footer.metadata_offset - start : -FOOTER_SIZE]
        for name, raw, offset, expected in (
            ("column offset table", self._table_bytes, footer.table_offset, footer.table_crc),
            ("schema", self._schema_bytes, footer.schema_offset, footer.schema_crc),
            ("key-values", key_values, footer.metadata_offset, footer.metadata_crc),
        ):
            if crc32c(raw) != expected:
                raise CorruptFileError(self.path, offset, f"{name} does not match its checksum")
        self.metadata = layout.read_metadata(Cursor(key_values, path=self.path, base=footer.metadata_offset))
        self._records = np.frombuffer(self._table_bytes, layout.COLUMN_RECORD)

    def _check_header(self, raw: memoryview) -> None:
        layout.check_header(raw, self.path)
        self._header_checked = True

    @property
    def path(self) -> str:
        """Path of the file, or a name of its source."""
        return self._source.name

    @property
    def num_rows(self) -> int:
        """Rows in the file."""
        return self.footer.num_rows

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return self.footer.file_length

    @property
    def footer_crc(self) -> int:
        """The footer's checksum: a fingerprint of the content, as in `WriteSummary`."""
        return int.from_bytes(self.footer.to_bytes()[56:60], "little")

    @property
    def version(self) -> str:
        """Format version of the file, such as "1.0"."""
        return "{}.{}".format(*self.footer.version)

    @cached_property
    def schema(self) -> Schema:
        """Fields in file order; decoded on first use."""
        cursor = Cursor(self._schema_bytes, path=self.path, base=self.footer.schema_offset)
        fields = [Field.get(cursor) for _ in range(self.footer.num_columns)]
        cursor.expect_end("schema")
        try:
            return Schema(fields)
        except SchemaError as error:
            raise CorruptFileError(self.path, self.footer.schema_offset, str(error)) from None

    @cached_property
    def _hashes(self) -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(self._records["name_hash"])

    def _find(self, name: str) -> tuple[Field, np.void]:
        """The field and the table record of a column, without decoding the rest of the schema."""
        wanted = np.uint64(layout.name_hash(name))
        for i in range(int(np.searchsorted(self._hashes, wanted)), len(self._hashes)):
            if self._hashes[i] != wanted:
                break
            record = self._records[i]
            offset, length = int(record["field_offset"]), int(record["field_length"])
            base = self.footer.schema_offset + offset
            cursor = Cursor(self._schema_bytes[offset : offset + length], path=self.path, base=base)
            field = Field.get(cursor)
            if field.name == name:
                cursor.expect_end("field")
                return field, record
        if name in self.schema.names:
            where = self.footer.table_offset
            raise CorruptFileError(self.path, where, f"column offset table lacks column {name!r}")
        raise SchemaError(
            f"{self.path}: no column {name!r}; there are {', '.join(map(repr, self.schema.names))}"
        )

    def _reader(self, name: str) -> ColumnReader:
        known = self._readers.get(name)
        if known is not None:
            return known
        if not self._header_checked:
            self._check_header(read_exactly(self._source, 0, HEADER_SIZE, "header"))
        field, record = self._find(name)
        offset, length = int(record["meta_offset"]), int(record["meta_length"])
        if offset < HEADER_SIZE or offset + length > self.footer.table_offset:
            raise CorruptFileError(
                self.path, self.footer.table_offset, f"metadata of column {name!r} outside the file"
            )
        raw = read_exactly(self._source, offset, length, f"metadata of column {name!r}")
        if crc32c(raw) != int(record["meta_crc"]):
            raise CorruptFileError(
                self.path, offset, f"metadata of column {name!r} does not match its checksum"
            )
        meta = read_column_meta(
            Cursor(raw, path=self.path, base=offset),
            num_rows=self.num_rows,
            file_length=self.footer.file_length,
            kind=field.type,
        )
        keys = self._keys + (int(record["ordinal"]) << 48)
        reader = ColumnReader(self._source, field, meta, cache=self._cache, keys=keys)
        self._readers[name] = reader
        return reader

    def _plan(self, columns: Sequence[str] | None) -> list[tuple[str, ColumnReader]]:
        """Readers of the columns asked for (None: all), remembered."""
        if isinstance(columns, str):
            raise InvalidDataError(f"columns is a list of names, not the text {columns!r}")
        key = None if columns is None else tuple(columns)
        plan = self._plans.get(key)
        if plan is None:
            plan = [(name, self._reader(name)) for name in (self.schema.names if key is None else key)]
            if len(self._plans) < 64:
                self._plans[key] = plan
        return plan

    def _table(self, plan: list[tuple[str, ColumnReader]], columns: dict[str, Any], num_rows: int) -> Table:
        return Table(columns, Schema([reader.field for _, reader in plan]), num_rows)

    def read(self, columns: Sequence[str] | None = None, rows: slice | range | None = None) -> Table:
        """Columns (None: all) of consecutive rows (None: all).

        `rows` is a slice (as for lists) or range of step 1. A vector or number column stored plain comes as
        one array over one read. Raises SchemaError for an unknown column, CorruptFileError.
        """
        start, stop = self._range(rows)
        plan = self._plan(columns)
        return self._table(plan, {name: reader.read(start, stop) for name, reader in plan}, stop - start)

    def _range(self, rows: slice | range | None) -> tuple[int, int]:
        if rows is None:
            return 0, self.num_rows
        if isinstance(rows, range):
            inside = 0 <= rows.start <= rows.stop <= self.num_rows
            if rows.step != 1 or not (inside or not len(rows)):
                raise InvalidDataError(f"{rows} is not a range of step 1 within {self.num_rows} rows")
            return (rows.start, rows.stop) if inside else (0, 0)
        start, stop, step = rows.indices(self.num_rows)
        if step != 1:
            raise InvalidDataError(f"rows with step {step} cannot be read; use take")
        return start, max(start, stop)

    def take(
        self, indices: Sequence[int] | np.ndarray[Any, Any], columns: Sequence[str] | None = None
    ) -> Table:
        """The rows at `indices` (0-based, any order, repeats allowed), in that order."""
        rows = np.asarray(indices)
        if rows.ndim != 1 or (rows.dtype.kind not in "iu" and len(rows)):
            raise InvalidDataError(
                f"row numbers are a 1-D sequence of integers, not {rows.dtype} {rows.shape}"
            )
        if len(rows) and (rows.min() < 0 or rows.max() >= self.num_rows):
            raise InvalidDataError(f"row numbers must be in 0..{self.num_rows - 1}")
        rows = rows.astype(np.int64, copy=False)
        plan = self._plan(columns)
        return self._table(plan, {name: reader.take(rows) for name, reader in plan}, len(rows))

    def row(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """One row as Python values (vectors as 1-D arrays of their own); its decoded blocks stay cached."""
        if not 0 <= index < self.num_rows:
            raise InvalidDataError(f"row {index} is not in 0..{self.num_rows - 1}")
        return {name: reader.value(index) for name, reader in self._plan(columns)}

    def batches(self, size: int = 65536, columns: Sequence[str] | None = None) -> Iterator[Table]:
        """Tables of `size` rows (the last shorter), from first row to last."""
        if size < 1:
            raise InvalidDataError(f"batch size {size} is not positive")
        for start in range(0, self.num_rows, size):
            yield self.read(columns, slice(start, min(start + size, self.num_rows)))

    def column(self, name: str) -> ColumnInfo:
        """How a column is stored; reads its metadata and page indexes, no values."""
        reader = self._reader(name)
        _, record = self._find(name)
        meta = reader.meta
        return ColumnInfo(
            name=name,
            type=reader.type,
            nullable=reader.field.nullable,
            page_rows=1 << meta.page_shift,
            block_rows=1 << meta.block_shift,
            encoding=", ".join(dict.fromkeys(e.name.lower() for e in meta.encodings)) or "none",
            evidence=meta.evidence,
            metadata_offset=int(record["meta_offset"]),
            metadata_length=int(record["meta_length"]),
            pages=[self._page_info(reader, page) for page in range(len(meta.pages))],
        )

    def _page_info(self, reader: ColumnReader, page: int) -> PageInfo:
        handle, index, kind = reader.meta.pages[page], reader.index(page), reader.type
        bounds = reader.meta.bounds(page, kind, Cursor(b"", path=self.path, base=int(handle["data_offset"])))
        offset, rows, flags = int(handle["data_offset"]), int(handle["rows"]), PageFlag(int(handle["flags"]))
        per_block = 1 << reader.meta.block_shift
        starts = [0, *index.ends[:-1]]
        return PageInfo(
            offset=offset,
            length=int(handle["data_length"]),
            index_offset=int(handle["index_offset"]),
            index_length=int(handle["index_length"]),
            first_row=page << reader.meta.page_shift,
            rows=rows,
            nulls=int(handle["nulls"]),
            nans=int(handle["nans"]),
            encoding=reader.meta.encodings[page].name.lower(),
            minimum=None if bounds is None else bounds[0],
            maximum=None if bounds is None else bounds[1],
            minimum_exact=PageFlag.MIN_EXACT in flags,
            maximum_exact=PageFlag.MAX_EXACT in flags,
            raw_bytes=rows * kind.stride if kind.stride else None,
            shared_bytes=index.shared_size,
            blocks=[
                (
                    offset + a,
                    b - a,
                    min(per_block, rows - i * per_block),
                    index.nulls[i] if index.nulls else 0,
                )
                for i, (a, b) in enumerate(zip(starts, index.ends, strict=True))
            ],
        )

    def verify(self) -> None:
        """Read and decode every byte of the file; raises CorruptFileError at the first that is wrong."""
        self._check_header(read_exactly(self._source, 0, HEADER_SIZE, "header"))
        footer = self.footer
        extents = [(0, HEADER_SIZE, "header"), (footer.table_offset, footer.file_length, "tail")]
        ordinals = np.sort(self._records["ordinal"])
        if (
            not np.array_equal(ordinals, np.arange(footer.num_columns))
            or (self._hashes[1:] < self._hashes[:-1]).any()
        ):
            raise CorruptFileError(
                self.path, footer.table_offset, "column offset table is not sorted or not complete"
            )
        for name in self.schema.names:
            _, record = self._find(name)
            start = int(record["meta_offset"])
            extents.append((start, start + int(record["meta_length"]), f"metadata of column {name!r}"))
            extents.extend(self._reader(name).verify())
        position = 0
        for start, end, name in sorted(extents):
            if start != position:
                raise CorruptFileError(
                    self.path, min(start, position), f"{name} starts at {start}, expected {position}"
                )
            position = end

    def close(self) -> None:
        """Release the source and the cached blocks. Tables read before stay valid."""
        self._cache.drop(self._keys, self._keys + (1 << 80))
        self._readers.clear()
        self._plans.clear()
        self._source.close()

    def __enter__(self) -> File:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        inside = f"{self.num_rows} rows, {self.footer.num_columns} columns, format {self.version}"
        return f"File({self.path!r}, {inside})"
