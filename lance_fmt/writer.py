"""Writes a file front to back, one page of memory for each column (FORMAT.md, "Layout").

Pages go out as they fill; page indexes, metadata, schema and footer follow at the end, so `dest` needs no
more than `write`. Equal input gives equal bytes.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from lance_fmt.auxiliary import AuxiliaryBuilder
from lance_fmt.block import leaves
from lance_fmt.checksum import crc32c
from lance_fmt.coded import CodedColumn, from_dictionary, joined
from lance_fmt.column import Column
from lance_fmt.column_meta import Auxiliary, ColumnMetaBuilder
from lance_fmt.constants import (
    FOOTER_SIZE,
    LARGEST_BLOCK_SHIFT,
    LARGEST_PAGE_SHIFT,
    TARGET_BLOCK_BYTES,
    TARGET_PAGE_BYTES,
    TARGET_STRING_BLOCK_BYTES,
    TARGET_VECTOR_BLOCK_BYTES,
    TARGET_VECTOR_PAGE_BYTES,
    AuxiliaryId,
    EncodingId,
    Feature,
    TypeId,
)
from lance_fmt.editions import oldest_version
from lance_fmt.encodings.select import Level, check_level, encoding_named, encoding_names
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.footer import Footer, header_bytes, metadata_bytes, name_hash
from lance_fmt.page import PageBuilder, PageImage, build_raw_page
from lance_fmt.schema import DataType, Field, Schema
from lance_fmt.table import Table
from lance_fmt.wire import Builder

if TYPE_CHECKING:
    from lance_fmt.pipeline import PagePipeline


class Sink(Protocol):
    """Anything with `write`; short writes are not allowed."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Append `data`."""


@dataclass(frozen=True, slots=True)
class WriteSummary:
    """`length` of the file in bytes, the footer's checksum (a fingerprint of the content), rows."""

    length: int
    footer_crc: int
    num_rows: int


class _Output:
    """A sink that knows its position."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.position = 0

    def put(self, data: bytes | memoryview) -> None:
        if len(data):
            self._sink.write(data)
            self.position += len(data)


def choose_shifts(kind: DataType, rows: int, size: int, *, raw: bool = True) -> tuple[int, int]:
    """(page shift, block shift) for a column of which `rows` rows took `size` bytes.

    `raw` vectors are an array on disk: small blocks, because a row is read by itself once its block has been
    checked, and at least 64 rows in a page, so that its length is a multiple of 64 and the next page continues
    the array.
    """
    each = kind.stride or max(1, -(-size // max(rows, 1)))
    target = TARGET_BLOCK_BYTES if kind.stride and not kind.is_vector else TARGET_STRING_BLOCK_BYTES
    target = TARGET_VECTOR_BLOCK_BYTES if kind.is_vector and raw else target
    whole = TARGET_VECTOR_PAGE_BYTES if kind.is_vector else TARGET_PAGE_BYTES
    block = min(max(target // each, 1).bit_length() - 1, LARGEST_BLOCK_SHIFT)
    page = min(max(whole // each, 1).bit_length() - 1, LARGEST_PAGE_SHIFT)
    return max(page, block, 6 if kind.is_vector else 0), block


@dataclass(frozen=True, slots=True)
class _Options:
    """What the user asked for one column."""

    level: Level
    encoding: str | None
    auxiliary: frozenset[AuxiliaryId]


class _ColumnWriter:
    """Cuts one column into pages."""

    def __init__(self, field: Field, output: _Output, options: _Options) -> None:
        self.field = field
        self.meta = ColumnMetaBuilder(field.type)
        self.shifts: tuple[int, int] | None = None
        self.features = Feature.TYPES_1_1 if field.type.since != "1.0" else Feature(0)
        self._output = output
        self._options = options
        self._builder = PageBuilder(options.level, options.encoding)
        # Whether vectors stay one array on disk.
        self._plain = (options.encoding or "plain") == "plain" and (
            options.level != "small" or options.encoding is not None
        )
        self._auxiliary = AuxiliaryBuilder(field.name, field.type, options.auxiliary)
        self._pending: list[Column] = []
        self._rows = 0
        self._size = 0  # of no use once it has told the shifts
        self._nulls = 0

    def append(self, column: Column, *, last: bool = False, copy: bool = True) -> list[Column]:
        """The pages that are full now, with `last` the rest too; keeps what is left, or a copy of it."""
        if len(column):
            if not self.field.nullable and column.null_count:
                raise InvalidDataError(
                    f"column {self.field.name!r} is not nullable, yet has {column.null_count} nulls"
                )
            self._pending.append(column)
            self._rows += len(column)
            self._size += column.nbytes if self.shifts is None else 0
        if self.shifts is None and (last or self._size >= TARGET_PAGE_BYTES):
            self.shifts = choose_shifts(self.field.type, self._rows, self._size, raw=self._plain)
        if self.shifts is not None and self._rows and (last or self._rows >= 1 << self.shifts[0]):
            return self._pages(1 << self.shifts[0], last=last)
        if len(column) and copy:
            self._pending[-1] = _copy_of(column)
        return []

    def _pages(self, full: int, *, last: bool) -> list[Column]:
        whole = joined(self._pending)
        end = self._rows if last else self._rows // full * full
        rest = _copy_of(whole.slice(end, self._rows))
        self._pending, self._rows = ([rest] if len(rest) else []), len(rest)
        return [whole.slice(start, min(start + full, end)) for start in range(0, end, full)]

    def build(self, page: Column) -> PageImage:
        """A page from `append`, encoded; pages in their order, by one thread at a time."""
        assert self.shifts is not None
        self._auxiliary.add(page)
        if self._plain and page.type.is_vector and not page.null_count:
            return build_raw_page(page, self.shifts[1])
        return self._builder.build(page, self.shifts[1])

    def put(self, image: PageImage) -> None:
        """Write an encoded page."""
        offset = self._output.position
        for buffer in image.data:
            self._output.put(buffer)
        self.meta.add(image, offset, self._output.position - offset)
        if image.encoding is EncodingId.STREAMS:
            self.features |= Feature.STREAMS

    def put_indexes(self) -> bytes:
        """Write the page indexes and auxiliary regions; returns the column's metadata."""
        offset = self._output.position
        for index in self.meta.take_indexes():
            self._output.put(index)
        regions = {}
        for kind, (region, crc) in self._auxiliary.finish().items():
            regions[kind] = Auxiliary(self._output.position, len(region), crc)
            self._output.put(region)
            self.features |= Feature.AUXILIARY
        return self.meta.finish(offset, *(self.shifts or choose_shifts(self.field.type, 0, 0)), regions)


def _of_batch(batch: Any, schema: Schema) -> Table:
    """A pyarrow RecordBatch as a table of `schema`; text that is codes of a dictionary stays that.

    Raises SchemaError where the columns are others.
    """
    import pyarrow as pa

    if not isinstance(batch, pa.RecordBatch):
        return Table(dict(Table.from_arrow(batch)), schema)
    coded: dict[str, Column] = {}
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        if name in schema.names and isinstance(array, pa.DictionaryArray):
            kind = schema[name].type
            column = from_dictionary(array, kind) if kind.id in (TypeId.STRING, TypeId.BINARY) else None
            if column is not None:
                coded[name] = column
    names = batch.schema.names
    rest = Table.from_arrow(batch.select([name for name in names if name not in coded]))
    return Table({n: coded[n] if n in coded else rest[n] for n in names}, schema, batch.num_rows)


def _copy_of(column: Column) -> Column:
    """The same rows in memory of their own, with nothing else in it."""
    if isinstance(column, CodedColumn):
        return column.copied()
    column = column.compact()
    validity = None if column.validity is None else column.validity.copy()
    if column.type.is_struct:
        return Column(column.type, tuple(map(_copy_of, column.children)), None, validity)
    offsets = None if column.offsets is None else column.offsets.copy()
    values = column.array.copy() if isinstance(column.values, np.ndarray) else _copy_of(column.child)
    return Column(column.type, values, offsets, validity)


class Writer:
    """Writes tables of one schema, one after the other, to a path or a binary file object.

    A path is written under a temporary name and takes the name when closed, so that it never holds half a
    file; after an error inside the `with` block nothing is left. Durability (fsync) is the caller's.

    `level` weighs size against decoding time: "speed", "balanced" or "small" (which gives up that vectors are
    one array on disk). `encodings` overrides the choice for columns by name, such as `{"price": "alp"}`.
    `row_index` names columns to find rows by value in one step (`File.find`), `bloom` columns whose pages get
    Bloom filters, which let filters by equality skip pages. `threads` encode columns at the same
    time; the bytes written are the same for any number. Without `copy`, `write` returns before all of them are done.
    """

    def __init__(
        self,
        dest: str | os.PathLike[str] | Sink,
        schema: Schema,
        metadata: Mapping[str, str] | None = None,
        level: str = "balanced",
        *,
        encodings: Mapping[str, str] | None = None,
        row_index: Collection[str] = (),
        bloom: Collection[str] = (),
        threads: int = 1,
    ) -> None:
        if threads < 1:
            raise InvalidDataError(f"threads is {threads}; at least 1 is needed")
        self.schema = schema
        self.num_rows = 0
        self._metadata = dict(metadata or {})
        metadata_bytes(self._metadata)
        options = _options(schema, check_level(level), encodings or {}, row_index, bloom)
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        if isinstance(dest, str | os.PathLike):
            self._path = Path(dest)
            self._temporary = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}.tmp")
            self._file = self._temporary.open("xb")
            self._output = _Output(self._file)
        else:
            self._output = _Output(dest)
        self._summary: WriteSummary | None = None
        self._aborted = False
        self._threads = threads
        self._pipeline: PagePipeline | None = None
        try:
            self._columns = [_ColumnWriter(field, self._output, options[field.name]) for field in schema]
            self._output.put(header_bytes())
        except BaseException:
            self.abort()
            raise

    def write(self, columns: Mapping[str, object] | Any, *, copy: bool = True) -> None:
        """Append rows: a `Table`, a pyarrow RecordBatch, or columns, arrays and lists by name.

        Without `copy`, the caller promises not to change any array before the writer is closed.
        """
        self._append(columns, last=False, copy=copy)

    def _append(self, columns: Mapping[str, object] | Any, *, last: bool, copy: bool = True) -> None:
        if self._summary is not None or self._aborted:
            raise InvalidDataError("this writer is closed")
        if hasattr(columns, "__arrow_c_array__"):
            columns = _of_batch(columns, self.schema)
        table = columns if isinstance(columns, Table) and columns.schema == self.schema else None
        table = table or Table.of(dict(columns), self.schema)
        self.num_rows += table.num_rows
        # Vectors first: at the start of a file their pages follow each other even across calls of one page.
        columns_ = sorted(self._columns, key=lambda c: not c.field.type.is_vector)
        # What was not copied may change once this returns.
        self._put(((c, c.append(table[c.field.name], last=last, copy=copy)) for c in columns_), wait=copy)

    def _put(self, filled: Iterable[tuple[_ColumnWriter, list[Column]]], *, wait: bool) -> None:
        """Encode pages and write them, in this order; without `wait`, by threads some of them later."""
        if self._threads > 1 and self._pipeline is None:
            from lance_fmt.pipeline import PagePipeline

            self._pipeline = PagePipeline(self._threads)
        for column, pages in filled:
            while pages:  # none is held while the next are encoded
                page = pages.pop(0)
                if self._pipeline is None:
                    column.put(column.build(page))
                else:
                    self._pipeline.add(column, page)
        if self._pipeline is not None and wait:
            self._pipeline.finish()

    def close(self) -> WriteSummary:
        """Write what is left and the file's tail. Calling it again returns the same summary."""
        if self._summary is not None:
            return self._summary
        if self._aborted:
            raise InvalidDataError("this writer was given up; there is no file")
        try:
            rest = ((c, c.append(Column.from_pylist([], c.field.type), last=True)) for c in self._columns)
            self._put(rest, wait=True)
            self._stop_threads()
            summary = self._finish()
            if self._file is not None and self._path is not None:
                self._file.close()
                self._temporary.replace(self._path)
        except BaseException:
            self.abort()
            raise
        self._summary = summary
        return summary

    def _finish(self) -> WriteSummary:
        output = self._output
        metas = [column.put_indexes() for column in self._columns]
        records = []
        fields = Builder()
        for ordinal, (column, meta) in enumerate(zip(self._columns, metas, strict=True)):
            field = column.field.to_bytes()
            record = (
                Builder()
                .u64(name_hash(column.field.name))
                .u64(output.position)
                .u32(len(meta))
                .u32(crc32c(meta))
            )
            record.u32(len(fields)).u32(len(field)).u32(ordinal).u32(0)
            records.append((name_hash(column.field.name), ordinal, record.finish()))
            fields.raw(field)
            output.put(meta)
        table, schema = b"".join(record for _, _, record in sorted(records)), fields.finish()
        features = Feature(0)
        for column in self._columns:
            features |= column.features
        metadata = metadata_bytes(self._metadata, self.schema.metadata, features)
        table_offset = output.position
        for region in (table, schema, metadata):
            output.put(region)
        length = output.position + FOOTER_SIZE
        checksums = crc32c(table), crc32c(schema), crc32c(metadata)
        sizes = len(self._columns), len(schema), len(metadata)
        version = oldest_version(features)
        footer = Footer(length, self.num_rows, table_offset, *sizes, *checksums, version, features).to_bytes()
        output.put(footer)
        return WriteSummary(length, int.from_bytes(footer[56:60], "little"), self.num_rows)

    def abort(self) -> None:
        """Give up: remove the temporary file, write nothing more."""
        if self._summary is None and not self._aborted:
            self._aborted = True
            self._stop_threads()
            if self._file is not None:
                self._file.close()
                self._temporary.unlink(missing_ok=True)

    def _stop_threads(self) -> None:
        if self._pipeline is not None:
            self._pipeline.stop()
            self._pipeline = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _options(
    schema: Schema,
    level: Level,
    encodings: Mapping[str, str],
    row_index: Collection[str],
    bloom: Collection[str],
) -> dict[str, _Options]:
    """Options of every column, each checked before anything is written."""
    for what, names in (("encodings", encodings), ("row_index", row_index), ("bloom", bloom)):
        if isinstance(names, str):
            raise InvalidDataError(f"{what} is a list of column names, not the text {names!r}")
        for name in names:
            if name not in schema.names:
                raise SchemaError(
                    f"{what}: no column {name!r}; there are {', '.join(map(repr, schema.names))}"
                )
    for name, encoding in encodings.items():
        kind = schema[name].type
        if encoding_named(encoding).name not in encodings_for(kind):
            raise InvalidDataError(
                f"column {name!r}: encoding {encoding!r} cannot write {kind} values; "
                f"{', '.join(encodings_for(kind))} can"
            )
    found = {}
    for field in schema:
        wanted = {AuxiliaryId.ROW_INDEX} if field.name in row_index else set()
        wanted |= {AuxiliaryId.BLOOM} if field.name in bloom else set()
        found[field.name] = _Options(level, encodings.get(field.name), frozenset(wanted))
    return found


def encodings_for(kind: DataType) -> list[str]:
    """Names of the encodings that can write values of a type, for the option `encodings`."""
    return encoding_names(leaf.kind for leaf in leaves(kind))


def write(
    dest: str | os.PathLike[str] | Sink,
    columns: Mapping[str, object] | Any,
    *,
    schema: Schema | None = None,
    metadata: Mapping[str, str] | None = None,
    level: str = "balanced",
    encodings: Mapping[str, str] | None = None,
    row_index: Collection[str] = (),
    bloom: Collection[str] = (),
) -> WriteSummary:
    """Write a whole file: `columns` are a `Table`, or columns, arrays and lists by name.

    They may also be a pandas DataFrame, or anything with `__arrow_c_stream__` or `__arrow_c_array__`: pyarrow's
    and polars' tables, streams, a DuckDB relation. Streams of record batches are never held whole, tables and
    mappings are written column by column, so that each column's pages lie together. The options are those of
    `Writer`. Raises SchemaError or InvalidDataError (nothing is left at a path then), and OSError.
    """
    tables = Table.stream(columns, schema)
    first = next(tables)
    writer = Writer(
        dest, first.schema, metadata, level, encodings=encodings, row_index=row_index, bloom=bloom
    )
    try:
        for following in tables:
            writer.write(first)
            first = following
        writer._append(first, last=True)
        return writer.close()
    except BaseException:
        writer.abort()
        raise
