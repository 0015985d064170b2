"""A segment: an immutable `.lfmt` file of rows. Columns `$id`, `$vector`, and one for each metadata key.

`$` is reserved in metadata keys, so a user's own `id` or `vector` key never collides with these two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lance_fmt
from lance_fmt import BlockCache, Column, CorruptFileError, DataType, Field, Schema
from vego import names
from vego.document import Vector
from vego.errors import CorruptionError, InvalidMetadataError
from vego.store import NewFile, Store
from vego.table.attributes import means_none, metadata_of, python_values
from vego.table.batch import RowBatch, RowPieces
from vego.table.ids import IdColumn
from vego.table.manifest import DeletesEntry, SegmentEntry
from vego.table.partition import Partition
from vego.table.vectors import Chunk
from vego.vector_type import VectorType

ID = "$id"
VECTOR = "$vector"
# One budget for the decoded blocks of all files of the process, however many segments are open.
_BLOCK_CACHE = BlockCache(128 << 20)
_SALVAGE = "`vego verify DIR --deep` lists all damage and what helps"


def write_segment(
    store: Store,
    collection: str,
    batch: RowBatch | RowPieces,
    name: str | None = None,
    partition: Partition | None = None,
) -> SegmentEntry:
    """Write `batch` as a new segment, durable except for its directory entry (the commit syncs that).

    `name` is the file's, from `names.segment_file`; None for a fresh one. All rows are of `partition`.
    """
    name = name or names.segment_file(store.new_id())
    with store.create(names.data_path(collection, name)) as file:
        try:
            summary = _write(file, batch)
        except lance_fmt.InvalidDataError as error:
            raise InvalidMetadataError(f"collection {collection!r}: {error}") from error
        file.commit()
    return SegmentEntry(
        file=name, rows=len(batch), length=summary.length, crc=summary.footer_crc, partition=partition
    )


def _write(file: NewFile, batch: RowBatch | RowPieces) -> lance_fmt.WriteSummary:
    if isinstance(batch, RowBatch):
        fields, metadata = batch.metadata_columns()
        columns = _own(batch.ids, batch.vectors) | metadata
        return lance_fmt.write(file, columns, schema=_schema(batch.vectors, fields))
    schema = _schema(batch.vectors, [field for field, _ in batch.columns.values()])
    with lance_fmt.Writer(file, schema) as writer:
        first = 0
        for ids, vectors in batch.pieces:
            stop = first + len(ids)
            metadata = {key: column.slice(first, stop) for key, (_, column) in batch.columns.items()}
            writer.write(_own(ids, vectors) | metadata)
            first = stop
        return writer.close()


def column_type(vectors: Vector) -> DataType:
    """The type of the column that stored vectors (n, width) make."""
    return Column.from_numpy(vectors[:0]).type


def _schema(vectors: Vector, fields: Sequence[Field]) -> Schema:
    vector = Field(VECTOR, column_type(vectors), nullable=False)
    return Schema([Field(ID, lance_fmt.string(), nullable=False), vector, *fields])


def _own(ids: Sequence[str], vectors: Vector) -> dict[str, Column]:
    return {ID: Column.from_pylist(list(ids), lance_fmt.string()), VECTOR: Column.from_numpy(vectors)}


def write_deletes(store: Store, collection: str, rows: NDArray[np.int64]) -> DeletesEntry:
    """Write the sorted row numbers that are deleted from one segment."""
    name = names.deletes_file(store.new_id())
    with store.create(names.deletes_path(collection, name)) as file:
        summary = lance_fmt.write(file, {"row": Column.from_numpy(rows.astype(np.uint32))})
        file.commit()
    return DeletesEntry(file=name, count=len(rows), length=summary.length, crc=summary.footer_crc)


class Segment:
    """An open segment; `dead` is the mask of rows its deletes file names, or None."""

    def __init__(self, store: Store, collection: str, entry: SegmentEntry, kind: VectorType) -> None:
        self.entry = entry
        self.rows = entry.rows
        self.path = names.data_path(collection, entry.file)
        self.file = open_checked(store, self.path, entry.length, entry.crc, entry.rows)
        expected = column_type(kind.empty())
        fields = {field.name: field for field in self.file.schema}
        if VECTOR not in fields or ID not in fields or fields[VECTOR].type != expected:
            raise CorruptionError(self.path, 0, f"columns {ID} and {VECTOR}: {expected} are needed", _SALVAGE)
        self.fields = {name: field for name, field in fields.items() if name not in (ID, VECTOR)}
        self._names = tuple(self.fields)
        # A null is a key that is not there, and no value needs to be decoded: as `metadata_of` has it, in fewer steps.
        self._plain = not any(
            means_none(field) or field.type == lance_fmt.json() for field in self.fields.values()
        )
        self._chunks: Sequence[Chunk] | None = None

    def vectors(self) -> Vector:
        """As stored, (rows, width)."""
        return np.ascontiguousarray(self._column(VECTOR).to_numpy())

    def chunks(self, *, with_norms: bool) -> Sequence[Chunk]:
        """The vectors where they lie, in row order, the same objects in every call; none are read if they are mapped.

        Raises CorruptionError.
        """
        if self._chunks is None:
            try:
                mapped = self.file.mapped(VECTOR)
            except CorruptFileError as error:
                raise corruption(error) from None
            if mapped is None:
                self._chunks = [Chunk.loaded(self.vectors(), with_norms=with_norms)]
            else:
                self._chunks = [
                    Chunk.mapped(
                        vectors,
                        mapped.block_shift,
                        _check_of(mapped.check, first >> mapped.block_shift),
                        with_norms=with_norms,
                    )
                    for first, vectors in mapped.runs
                ]
        return self._chunks

    @cached_property
    def id_column(self) -> IdColumn:
        """The ids; read when one of them is first asked for."""
        return IdColumn(self.rows, lambda: self._column(ID))

    def ids(self) -> list[str]:
        """The id of every row."""
        return self.id_column.some(0, self.rows)

    def values(self, name: str) -> Column | list[Any]:
        """One metadata key: the typed column, or the decoded values where it is a JSON column."""
        column = self._column(name)
        return python_values(column) if column.type == lance_fmt.json() else column

    def metadata(self, row: int) -> dict[str, Any]:
        """The metadata of one row, as it was inserted."""
        try:
            values = self.file.row(row, self._names)
            if self._plain:
                return {name: value for name, value in values.items() if value is not None}
            return metadata_of(values, self.fields)
        except CorruptFileError as error:
            raise corruption(error) from None
        except (ValueError, KeyError) as error:
            raise CorruptionError(self.path, 0, f"row {row}: {error}", _SALVAGE) from None

    def _column(self, name: str) -> Column:
        try:
            return self.file.read([name])[name]
        except CorruptFileError as error:
            raise corruption(error) from None

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _check_of(check_column: Callable[[int, int], None], base: int) -> Callable[[int, int], None]:
    """What holds blocks of a run against their checksums; the run begins at block `base` of the column."""

    def check(first: int, last: int) -> None:
        try:
            check_column(first + base, last + base)
        except CorruptFileError as error:
            raise corruption(error) from None

    return check


class Deletes:
    """An open deletes file."""

    def __init__(self, store: Store, collection: str, entry: DeletesEntry, rows: int) -> None:
        self.path = names.deletes_path(collection, entry.file)
        self._rows = rows
        self._file = open_checked(store, self.path, entry.length, entry.crc, entry.count)

    def mask(self) -> NDArray[np.bool_]:
        """The deleted rows of the segment, bool (rows,)."""
        try:
            dead = np.asarray(self._file.read(["row"])["row"].to_numpy())
        except CorruptFileError as error:
            raise corruption(error) from None
        if dead.dtype != np.uint32 or (len(dead) and int(dead.max()) >= self._rows):
            raise CorruptionError(self.path, 0, f"names rows outside of the segment's {self._rows}", _SALVAGE)
        mask = np.zeros(self._rows, np.bool_)
        mask[dead] = True
        return mask

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_checked(store: Store, path: str, length: int, crc: int, rows: int) -> lance_fmt.File:
    """Open a file the manifest names, and see that it is the one the manifest means."""
    try:
        file = lance_fmt.open(store.open_reader(path), cache=_BLOCK_CACHE)
    except CorruptFileError as error:
        raise corruption(error) from None
    found = (file.length, file.footer_crc, file.num_rows)
    if found != (length, crc, rows):
        file.close()
        raise CorruptionError(
            path,
            0,
            f"not the file the manifest names: (bytes, footer CRC, rows) {(length, crc, rows)} expected, found {found}",
            _SALVAGE,
        )
    return file


def corruption(error: CorruptFileError) -> CorruptionError:
    """The database's error for a damaged `.lfmt` file."""
    return CorruptionError(error.path, error.offset, error.what, _SALVAGE)
