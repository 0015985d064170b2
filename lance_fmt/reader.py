"""`open` and `File`: reading rows, columns and single documents of a file.

One read of the tail opens a file of any width: the column offset table stays an array over its bytes, a
column's metadata is read when the column is first asked for, the schema when it is first looked at. Every
piece is held against its checksum before it is believed. A `File` may be used by many threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lance_fmt import arrow, display
from lance_fmt import footer as layout
from lance_fmt.arena import Arena
from lance_fmt.cache import BlockCache, CacheStats
from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.column_meta import read_column_meta
from lance_fmt.column_reader import ColumnReader
from lance_fmt.constants import FOOTER_SIZE, HEADER_SIZE, TAIL_READ, AuxiliaryId
from lance_fmt.damage import Damage, DamageLog
from lance_fmt.errors import CorruptFileError, InvalidDataError, SchemaError
from lance_fmt.fetch import Prefetcher, read_many
from lance_fmt.footer import Footer
from lance_fmt.schema import Field, Schema
from lance_fmt.source import BytesSource, FileSource, MmapSource, ReadAt, open_source, read_exactly
from lance_fmt.table import Table
from lance_fmt.wire import Cursor

if TYPE_CHECKING:
    from lance_fmt.filter import Expression
    from lance_fmt.info import ColumnInfo
    from lance_fmt.mapped import MappedColumn

OnDamage = Literal["raise", "skip", "null"]
_LARGEST_JOINT_READ = 64 * 1024 * 1024
_FEW_ROWS = 4096
_ARROW_BATCH = 1 << 17  # pages begin at multiples of powers of two
# From so many on, the memory of the results is worth asking for in one piece.
_MANY_VALUES = 1 << 18
# From one match in this many rows on, reading whole blocks beats fetching rows.
_DENSE = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """Readers of the columns of a read, in order, and the schema of what it returns."""

    readers: dict[str, ColumnReader]
    schema: Schema

    def table(self, columns: Sequence[Column], num_rows: int) -> Table:
        """The result."""
        return Table.trusted(dict(zip(self.readers, columns, strict=True)), self.schema, num_rows)


def open(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | ReadAt,
    *,
    cache: BlockCache | None = None,
    mmap: bool = False,
    threads: int = 1,
) -> File:
    """Open a file at a path, in memory, or behind an object with `read_at` and `size`.

    `cache` may be shared by several files; by default each has its own of 64 MiB. `mmap` maps the file at a
    path instead of reading it: vectors come without a copy. With `threads`, reads of several columns share the
    work. Raises CorruptFileError, UnsupportedVersionError and OSError.
    """
    reader = open_source(source, mmap=mmap)
    try:
        return File(reader, BlockCache() if cache is None else cache, threads)
    except BaseException:
        reader.close()
        raise


class File:
    """An open file. Make one with `open`; it is a context manager."""

    def __init__(self, source: ReadAt, cache: BlockCache, threads: int = 1) -> None:
        self._source = source
        self._cache = cache
        self._threads = threads
        self._keys = BlockCache.new_keys()
        self._readers: dict[str, ColumnReader] = {}
        self._plans: dict[tuple[str, ...] | None, Plan] = {}
        self._prefetcher = Prefetcher(source)
        self._header_checked = False
        length = source.size()
        if length < HEADER_SIZE + FOOTER_SIZE:
            raise CorruptFileError(self.path, 0, f"{length} bytes are too few for a file of this format")
        self._tail_start = max(0, length - TAIL_READ)
        self._tail = read_exactly(source, self._tail_start, length - self._tail_start, "tail")
        self.footer = Footer.from_bytes(self._tail[-FOOTER_SIZE:], self.path, length)
        if not self._tail_start:
            # A damaged header keeps nobody from saving what lies behind it: reads ask again.
            with suppress(CorruptFileError):
                self._check_header()
        self.metadata, self._own_metadata = self._read_metadata()
        # What the first read brought is checked at once; of wide files, the rest when it is first wanted.
        if self.footer.table_offset >= self._tail_start:
            _ = self._records, self._schema_bytes

    def _region(self, offset: int, length: int, crc: int, name: str) -> memoryview:
        """Bytes of a region of the tail, held against their checksum."""
        if offset >= self._tail_start:
            raw = self._tail[offset - self._tail_start : offset - self._tail_start + length]
        else:
            raw = read_exactly(self._source, offset, length, name)
        if crc32c(raw) != crc:
            raise CorruptFileError(self.path, offset, f"{name} does not match its checksum")
        return raw

    def _read_metadata(self) -> tuple[dict[str, str], dict[str, str]]:
        footer = self.footer
        raw = self._region(footer.metadata_offset, footer.metadata_length, footer.metadata_crc, "key-values")
        user, own = layout.read_metadata(Cursor(raw, path=self.path, base=footer.metadata_offset))
        layout.check_features(footer, own, self.path)
        return user, own

    @cached_property
    def _records(self) -> np.ndarray[Any, Any]:
        footer = self.footer
        raw = self._region(footer.table_offset, footer.table_length, footer.table_crc, "column offset table")
        return np.frombuffer(raw, layout.COLUMN_RECORD)

    @cached_property
    def _schema_bytes(self) -> memoryview:
        footer = self.footer
        return self._region(footer.schema_offset, footer.schema_length, footer.schema_crc, "schema")

    def _check_header(self) -> None:
        """Raises CorruptFileError, UnsupportedVersionError unless the file begins as it must."""
        at_hand = not self._tail_start
        raw = self._tail[:HEADER_SIZE] if at_hand else read_exactly(self._source, 0, HEADER_SIZE, "header")
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
        metadata = layout.schema_metadata(
            self._own_metadata, Cursor(b"", path=self.path, base=self.footer.metadata_offset)
        )
        try:
            return Schema(fields, metadata)
        except SchemaError as error:
            raise CorruptFileError(self.path, self.footer.schema_offset, str(error)) from None

    @cached_property
    def _record_list(self) -> list[layout.Record]:
        return list(map(layout.Record._make, self._records.tolist()))

    @cached_property
    def _hashes(self) -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(self._records["name_hash"])

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where the record of each column stands in the table, once the schema is decoded."""
        ordinals = self._records["ordinal"].tolist()
        if sorted(ordinals) != list(range(len(ordinals))):
            where = self.footer.table_offset
            raise CorruptFileError(self.path, where, "column offset table does not name every column once")
        names = self.schema.names
        return {names[ordinal]: place for place, ordinal in enumerate(ordinals)}

    def _find(self, name: str) -> tuple[Field, int, layout.Record]:
        """The field of a column, and the place and content of its record in the table.

        Without decoding the rest of the schema, unless that has been done already.
        """
        if "schema" in self.__dict__ and name in self._places:
            place = self._places[name]
            return self.schema[name], place, self._record_list[place]
        wanted = np.uint64(layout.name_hash(name))
        for place in range(int(np.searchsorted(self._hashes, wanted)), len(self._hashes)):
            if self._hashes[place] != wanted:
                break
            record = layout.Record(*self._records[place].item())
            base = self.footer.schema_offset + record.field_offset
            raw = self._schema_bytes[record.field_offset : record.field_offset + record.field_length]
            cursor = Cursor(raw, path=self.path, base=base)
            field = Field.get(cursor)
            if field.name == name:
                cursor.expect_end("field")
                return field, place, record
        if name in self.schema.names:
            where = self.footer.table_offset
            raise CorruptFileError(self.path, where, f"column offset table lacks column {name!r}")
        raise SchemaError(
            f"{self.path}: no column {name!r}; there are {', '.join(map(repr, self.schema.names))}"
        )

    def _reader(self, name: str) -> ColumnReader:
        if not self._header_checked:
            self._check_header()
        return self._reader_in_any_case(name)

    def _reader_in_any_case(self, name: str) -> ColumnReader:
        """The reader of a column, whether the header is right or not."""
        known = self._readers.get(name)
        if known is not None:
            return known
        field, place, record = self._find(name)
        offset, length = record.meta_offset, record.meta_length
        if offset < HEADER_SIZE or offset + length > self.footer.table_offset:
            raise CorruptFileError(
                self.path, self.footer.table_offset, f"metadata of column {name!r} outside the file"
            )
        raw = self._region(offset, length, record.meta_crc, f"metadata of column {name!r}")
        meta = read_column_meta(
            Cursor(raw, path=self.path, base=offset),
            num_rows=self.num_rows,
            file_length=self.footer.file_length,
            kind=field.type,
        )
        # By its place in the table: ordinals are the file's word, and two columns may never share a key.
        keys = self._keys + (place << 48)
        reader = ColumnReader(self._source, field, meta, self.num_rows, cache=self._cache, keys=keys)
        self._readers[name] = reader
        return reader

    def _plan(self, columns: Sequence[str] | None) -> Plan:
        """Readers of the columns asked for (None: all), remembered."""
        if isinstance(columns, str):
            raise InvalidDataError(f"columns is a list of names, not the text {columns!r}")
        key = None if columns is None else tuple(columns)
        plan = self._plans.get(key)
        if plan is None:
            names = self.schema.names if key is None else key
            readers = {name: self._reader(name) for name in names}
            if len(readers) != len(names):
                raise SchemaError(f"columns {list(names)} name a column twice")
            metadata = self.schema.metadata if key is None else {}
            plan = Plan(readers, Schema([reader.field for reader in readers.values()], metadata))
            if len(self._plans) < 64:
                self._plans[key] = plan
        return plan

    def read(
        self,
        columns: Sequence[str] | None = None,
        rows: slice | range | None = None,
        *,
        filter: Expression | Sequence[Any] | None = None,
        on_damage: OnDamage = "raise",
    ) -> Table:
        """Columns (None: all) of the rows in a range (None: all) for which `filter` (None: all) is true.

        `rows` is a slice (as for lists) or range of step 1; `filter` is an expression such as
        `field("price") < 5`, or a list of tuples such as `[("price", "<", 5)]`. Pages and blocks whose
        statistics prove that nothing in them can match are not read. A vector column without nulls comes as one
        array over one read (a mapped file: without a copy).

        `on_damage` says what to do about bytes that contradict their checksum: "raise", or return the rest,
        "skip" without the rows that lost a value, "null" with nulls in their place; `Table.damage` lists what
        was lost. A filter that meets a damaged Bloom filter raises: what it rules out could be rows that match;
        reads without a filter never look at one. Raises SchemaError for an unknown column, InvalidDataError,
        CorruptFileError.
        """
        if on_damage != "raise":
            return self._read_what_is_left(columns, rows, filter, on_damage)
        start, stop = self._range(rows)
        plan = self._plan(columns)
        if filter is not None:
            return self._read_filtered(plan, filter, start, stop)
        return plan.table(self._read_range(plan, start, stop), stop - start)

    def _read_range(self, plan: Plan, start: int, stop: int) -> list[Column]:
        readers = list(plan.readers.values())
        if stop - start < self.num_rows:
            self._prefetch(plan, start, stop)
        local = isinstance(self._source, FileSource | MmapSource | BytesSource)
        if self._threads > 1 and len(readers) > 1:
            return self._each(lambda reader: reader.read(start, stop), readers)
        arena = Arena() if (stop - start) * len(readers) >= _MANY_VALUES else None
        if len(readers) == 1 or local:
            return [reader.read(start, stop, arena=arena) for reader in readers]
        # Far away each request is dear, and one column's pages lie beside the next one's: ask for them together.
        extents = [reader.extents(start, stop) for reader in readers]
        if sum(length for some in extents for _, length in some) > _LARGEST_JOINT_READ:
            return [reader.read(start, stop, arena=arena) for reader in readers]
        pieces = iter(read_many(self._source, [extent for some in extents for extent in some]))
        return [
            reader.read(start, stop, [next(pieces) for _ in some], arena=arena)
            for reader, some in zip(readers, extents, strict=True)
        ]

    def _each(
        self, function: Callable[[ColumnReader], Column], readers: Sequence[ColumnReader]
    ) -> list[Column]:
        """`function` of every reader, by several threads where the file was opened so."""
        if self._threads <= 1 or len(readers) < 2:
            return [function(reader) for reader in readers]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(self._threads, len(readers))) as pool:
            return list(pool.map(function, readers))

    def _read_filtered(self, plan: Plan, filter: Any, start: int, stop: int) -> Table:
        # Filters load with the first of them.
        from lance_fmt.scan import matching_rows

        rows = matching_rows(filter, self.schema, self._reader, start, stop)
        readers = list(plan.readers.values())
        if not len(rows):
            return plan.table([reader.read(0, 0) for reader in readers], 0)
        low, high = int(rows[0]), int(rows[-1]) + 1
        if high - low == len(rows):
            if len(rows) <= _FEW_ROWS:
                return plan.table([reader.slice(low, high) for reader in readers], len(rows))
            return plan.table(self._read_range(plan, low, high), len(rows))
        if len(rows) * _DENSE < high - low:
            return plan.table(self._each(lambda reader: reader.take(rows), readers), len(rows))
        columns = self._each(lambda reader: reader.read(low, high).take(rows - low), readers)
        return plan.table(columns, len(rows))

    def _range(self, rows: slice | range | None) -> tuple[int, int]:
        if rows is None:
            return 0, self.num_rows
        if isinstance(rows, range):
            inside = 0 <= rows.start <= rows.stop <= self.num_rows
            if rows.step != 1 or not (inside or not len(rows)):
                raise InvalidDataError(f"{rows} is not a range of step 1 within {self.num_rows} rows")
            return (rows.start, rows.stop) if inside else (0, 0)
        if not isinstance(rows, slice):
            raise InvalidDataError(f"rows is a slice or range, not {rows!r}; single rows are for take")
        start, stop, step = rows.indices(self.num_rows)
        if step != 1:
            raise InvalidDataError(f"rows with step {step} cannot be read; use take")
        return start, max(start, stop)

    def take(
        self, indices: Sequence[int] | np.ndarray[Any, Any], columns: Sequence[str] | None = None
    ) -> Table:
        """The rows at `indices` (0-based, any order, repeats allowed), in that order."""
        if len(indices) == 1 and type(indices[0]) is int and 0 <= indices[0] < self.num_rows:
            row, plan = indices[0], self._plan(columns)
            return plan.table([reader.take_one(row) for reader in plan.readers.values()], 1)
        rows = np.asarray(indices)
        if rows.ndim != 1 or (rows.dtype.kind not in "iu" and len(rows)):
            raise InvalidDataError(
                f"row numbers are a 1-D sequence of integers, not {rows.dtype} {rows.shape}"
            )
        if len(rows) and (rows.min() < 0 or rows.max() >= self.num_rows):
            raise InvalidDataError(f"row numbers must be in 0..{self.num_rows - 1}")
        rows = rows.astype(np.int64, copy=False)
        plan = self._plan(columns)
        return plan.table([reader.take(rows) for reader in plan.readers.values()], len(rows))

    def row(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """One row as Python values (vectors as 1-D arrays of their own); its decoded blocks stay cached."""
        if not 0 <= index < self.num_rows:
            raise InvalidDataError(f"row {index} is not in 0..{self.num_rows - 1}")
        return {name: reader.value(index) for name, reader in self._plan(columns).readers.items()}

    def find(self, column: str, value: Any) -> list[int]:
        """Rows where `column` equals `value`, in order.

        In one step where the file was written with a row index for the column (`row_index=[column]`), else
        through the column's statistics and Bloom filters. A null equals nothing, and None cannot be asked for.
        Raises SchemaError, InvalidDataError; CorruptFileError where the row index is damaged, too: `read` with
        a filter does without it.
        """
        from lance_fmt.scan import equal_rows

        return list(map(int, equal_rows(column, value, self.schema, self._reader(column))))

    def batches(
        self,
        size: int = 65536,
        columns: Sequence[str] | None = None,
        *,
        rows: slice | range | None = None,
        filter: Expression | Sequence[Any] | None = None,
    ) -> Iterator[Table]:
        """Tables of `size` rows (the last shorter), from first row to last, in memory for one of them.

        With `filter`, those of each `size` rows that match; batches without any are left out.
        """
        if size < 1:
            raise InvalidDataError(f"batch size {size} is not positive")
        begin, end = self._range(rows)
        for start in range(begin, end, size):
            stop = min(start + size, end)
            batch = self.read(columns, slice(start, stop), filter=filter)
            if batch.num_rows:
                yield batch

    def __arrow_c_schema__(self) -> object:
        return arrow.schema_of(self.schema).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Capsule of an ArrowArrayStream: batch after batch is read as it is asked for."""
        stream = arrow.stream_of(self.batches(_ARROW_BATCH), self.schema)
        return stream.__arrow_c_stream__(requested_schema)

    def _prefetch(self, plan: Plan, start: int, stop: int) -> None:
        for name, reader in plan.readers.items():
            self._prefetcher.note(
                name, start >> reader.page_shift, (stop - 1) >> reader.page_shift, reader.locate
            )

    def _read_what_is_left(
        self, columns: Sequence[str] | None, rows: slice | range | None, filter: Any, on_damage: str
    ) -> Table:
        if on_damage not in ("skip", "null"):
            raise InvalidDataError(f"on_damage {on_damage!r} is not one of raise, skip, null")
        if filter is not None:
            raise InvalidDataError(
                "a filter cannot be asked of damaged columns: read without one, then filter the table"
            )
        if isinstance(columns, str):
            raise InvalidDataError(f"columns is a list of names, not the text {columns!r}")
        start, stop = self._range(rows)
        names = self.schema.names if columns is None else list(columns)
        log = DamageLog()
        self._note_header(log)
        found = {name: self._read_damaged(name, start, stop, log) for name in names}
        if on_damage == "skip" and log.found:
            keep = np.ones(stop - start, np.bool_)
            for place in log.found:
                first = max(place.first_row - start, 0)
                keep[first : max(place.first_row + place.rows - start, first)] = False
            kept = np.flatnonzero(keep)
            found = {name: column.take(kept) for name, column in found.items()}
        lost = {place.column for place in log.found} if on_damage == "null" else set()
        fields = [
            Field(f.name, f.type, f.nullable or f.name in lost, f.metadata)
            for f in (self.schema[name] for name in names)
        ]
        length = len(next(iter(found.values()))) if found else stop - start
        schema = Schema(fields, self.schema.metadata if columns is None else {})
        return Table(found, schema, length, damage=tuple(log.found))

    def _note_header(self, log: DamageLog) -> None:
        try:
            self._check_header()
        except (CorruptFileError, OSError) as error:
            log.note(None, None, None, 0, 0, error)

    def _read_damaged(self, name: str, start: int, stop: int, log: DamageLog) -> Column:
        try:
            reader = self._reader_in_any_case(name)
        except (CorruptFileError, OSError) as error:
            if name not in self.schema.names:
                raise
            log.note(name, None, None, start, stop - start, error)
            return Column.nulls(self.schema[name].type, stop - start)
        return reader.read(start, stop, damage=log)

    def mapped(self, name: str) -> MappedColumn | None:
        """A column as views of the mapped file, whose blocks the caller has checked; None where there are none."""
        from lance_fmt.mapped import mapped_column

        return mapped_column(self._reader(name))

    def column(self, name: str) -> ColumnInfo:
        """How a column is stored; reads its metadata and page indexes, no values."""
        from lance_fmt.info import describe

        reader = self._reader(name)
        _, _, record = self._find(name)
        return describe(reader, record.meta_offset, record.meta_length, self.path)

    def indexes(self, column: str) -> tuple[str, ...]:
        """What a column was written with to find rows by value, by the names of the writer's options."""
        known = {AuxiliaryId.ROW_INDEX: "row_index", AuxiliaryId.BLOOM: "bloom"}
        return tuple(known[kind] for kind in sorted(self._reader_in_any_case(column).meta.auxiliary))

    @property
    def cache_stats(self) -> CacheStats:
        """Hits, misses, evictions and bytes of the block cache (shared ones: of all files)."""
        return self._cache.stats()

    def verify(self) -> None:
        """Read and decode every byte of the file; raises CorruptFileError at the first that is wrong."""
        self._find_damage(DamageLog(strict=True))

    def _check_layout(self) -> None:
        """Raise unless the regions fill the file, and the table lists every column in its order."""
        footer = self.footer
        ordinals = np.sort(self._records["ordinal"])
        if (
            not np.array_equal(ordinals, np.arange(footer.num_columns))
            or (self._hashes[1:] < self._hashes[:-1]).any()
        ):
            raise CorruptFileError(
                self.path, footer.table_offset, "column offset table is not sorted or not complete"
            )
        extents = [(0, HEADER_SIZE, "header"), (footer.table_offset, footer.file_length, "tail")]
        for name in self.schema.names:
            _, _, record = self._find(name)
            start = record.meta_offset
            extents.append((start, start + record.meta_length, f"metadata of column {name!r}"))
            extents.extend(self._reader_in_any_case(name).regions())
        position = 0
        for start, end, name in sorted(extents):
            if start != position:
                raise CorruptFileError(
                    self.path, min(start, position), f"{name} starts at {start}, expected {position}"
                )
            position = end

    def damage(
        self, column: str | None = None, *, progress: Callable[[int, int], None] | None = None
    ) -> list[Damage]:
        """Every place of a column that cannot be read, block by block; empty if all is well.

        With no column, of the whole file: empty exactly where `verify` finds nothing. `progress` is told columns
        done and columns in all. Raises SchemaError for an unknown column, UnsupportedVersionError.
        """
        log = DamageLog()
        self._find_damage(log, column, progress)
        return log.found

    def _find_damage(
        self, log: DamageLog, column: str | None = None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        if column is None:
            self._note_header(log)
        names = self.schema.names if column is None else [column]
        for done, name in enumerate(names, 1):
            try:
                reader = self._reader_in_any_case(name)
            except (CorruptFileError, OSError) as error:
                log.note(name, None, None, 0, self.num_rows, error)
            else:
                reader.find_damage(log)
            if progress is not None:
                progress(done, len(names))
        if column is None and not log.found:
            try:
                self._check_layout()
            except CorruptFileError as error:
                log.note(None, None, None, 0, 0, error)

    def close(self) -> None:
        """Release the source and the cached blocks. Tables read before stay valid."""
        self._cache.forget(self._keys)
        self._readers.clear()
        self._plans.clear()
        self._tail, self._tail_start = (
            memoryview(b""),
            self.length,
        )  # reads ask the source, which says why not
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

    def _repr_html_(self) -> str:
        return display.file_html(self)
