"""The spellings in which documents come in, brought to one `RowBatch`; nothing is stored before all is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from lance_fmt import Column, Field, InvalidDataError, Table
from vego.document import (
    Document,
    Vector,
    check_id,
    check_key,
    check_metadata,
    check_value,
    check_vectors,
    type_of_first,
)
from vego.errors import DuplicateIdError, InvalidArgumentError, InvalidIdError, InvalidMetadataError
from vego.options import MAX_ID_BYTES, MAX_METADATA_KEYS
from vego.table.attributes import NONE, NULL_MEANING, build_column, column_from_user
from vego.table.batch import RowBatch
from vego.table.partitioned import shares_of
from vego.table.values import dump_plain
from vego.vector_type import Element, VectorType

FLOAT32 = np.dtype(np.float32)

NewId = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller of insert or upsert gave, in any of the spellings."""

    documents: Any = None
    ids: Any = None
    vectors: Any = None
    metadata: Any = None
    id_column: str = "id"
    vector_column: str = "vector"
    partition_by: str | None = None

    @classmethod
    def one(cls, document: Document | None, name: str | None, vector: Any, metadata: Any) -> Given:
        """One document, whole or in parts."""
        if document is None:
            return cls([Document(name, vector, {} if metadata is None else metadata)])
        if name is not None or vector is not None or metadata is not None:
            raise InvalidArgumentError("give either a Document or id, vector and metadata, not both")
        return cls([document])

    def sliceable(self, where: str) -> Given:
        """The same with documents or ids that can be counted and taken apart."""
        if self.documents is None:
            if self.vectors is None:
                raise InvalidArgumentError(f"{where}: vectors are missing")
            ids = None if self.ids is None else _plain_list(self.ids, where)
            vectors = self.vectors if isinstance(self.vectors, np.ndarray) else list(self.vectors)
            return replace(self, ids=ids, vectors=vectors)
        if hasattr(self.documents, "column_names") or hasattr(self.documents, "columns"):
            return self
        if isinstance(self.documents, str | bytes | Document | Mapping) or not isinstance(
            self.documents, Iterable
        ):
            self._rows(VectorType(), where, str)  # says what is wrong
        return replace(self, documents=list(self.documents))

    def count(self, where: str) -> int:
        """Rows of what `sliceable` gave; InvalidArgumentError where columns differ."""
        if self.documents is not None:
            rows = getattr(self.documents, "num_rows", None)
            return len(self.documents) if rows is None else int(rows)
        rows = len(self.vectors)
        lengths = {"ids": rows if self.ids is None else len(self.ids)}
        if isinstance(self.metadata, Mapping):
            lengths |= {
                f"metadata {key!r}": len(values) if hasattr(values, "__len__") else -1
                for key, values in self.metadata.items()
            }
        for name, length in lengths.items():
            if length != rows:
                raise InvalidArgumentError(f"{where}: {name} has {length} values for {rows} vectors")
        return rows

    def part(self, start: int, stop: int) -> Given:
        """The rows `start` to `stop` of what `sliceable` gave."""
        found = self.documents
        if found is None:
            metadata = self.metadata
            if isinstance(metadata, Mapping):
                metadata = {key: values[start:stop] for key, values in metadata.items()}
            ids = None if self.ids is None else self.ids[start:stop]
            return replace(self, ids=ids, vectors=self.vectors[start:stop], metadata=metadata)
        if hasattr(found, "column_names"):
            return replace(self, documents=found.slice(start, stop - start))
        if hasattr(found, "columns"):
            return replace(self, documents=found.iloc[start:stop])
        return replace(self, documents=found[start:stop])

    def id_of(self, row: int) -> str | None:
        """The id of a row of what `sliceable` gave, where there is one."""
        part = self.part(row, row + 1)
        found: Any = None
        if part.documents is None:
            found = None if part.ids is None else part.ids[0]
        elif hasattr(part.documents, "column_names"):
            if self.id_column in part.documents.column_names:
                found = part.documents.column(self.id_column)[0].as_py()
        elif hasattr(part.documents, "columns"):
            if self.id_column in part.documents.columns:
                found = part.documents[self.id_column].iloc[0]
        else:
            (document,) = part.documents
            found = document.get("id") if isinstance(document, Mapping) else getattr(document, "id", None)
        return found if isinstance(found, str) else None

    def rows(self, kind: VectorType, where: str, new_id: NewId) -> RowBatch:
        """The rows, all of them valid; without a dimension, `kind` gets that of the first."""
        batch = self._rows(kind, where, new_id)
        if self.partition_by is not None:
            shares_of(batch, self.partition_by, where)  # refuses what cannot be partitioned
        return batch

    def _rows(self, kind: VectorType, where: str, new_id: NewId) -> RowBatch:
        documents = self.documents
        if documents is None:
            return from_columns(self.ids, self.vectors, self.metadata, kind, where, new_id)
        if self.ids is not None or self.vectors is not None or self.metadata is not None:
            raise InvalidArgumentError(
                f"{where}: give either documents or columns (ids, vectors, metadata), not both"
            )
        if hasattr(documents, "column_names") or hasattr(documents, "columns"):
            return from_table(documents, self.id_column, self.vector_column, kind, where, new_id)
        if isinstance(documents, str | bytes | Document | Mapping) or not isinstance(documents, Iterable):
            raise InvalidArgumentError(
                f"{where}: expected a list of documents, a DataFrame or an Arrow table, got {type(documents).__name__}"
            )
        return from_documents(documents, kind, where, new_id)


def usual_row(
    name: object, vector: object, metadata: object, kind: VectorType, known: set[str]
) -> RowBatch | None:
    """One document given as most are, checked in few steps; None for any other, be it right or wrong.

    That is an ASCII id, a float32 array, and a dict of plain values whose keys are all in `known`, which are valid.
    """
    if type(name) is not str or not 0 < len(name) <= MAX_ID_BYTES or not name.isascii():
        return None
    if type(vector) is not np.ndarray or vector.dtype is not FLOAT32 or vector.shape != (kind.dimension,):
        return None
    if kind.element is not Element.FLOAT32:
        return None
    own = {} if metadata is None else metadata.copy() if type(metadata) is dict else None
    if own is None or len(own) > MAX_METADATA_KEYS or not known.issuperset(own):
        return None
    encoded = dump_plain(own)
    # Copied, for its owner may change it. The sum of squares is finite unless a component is not, or it overflows.
    row = vector.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        squares = row.dot(row)
    if encoded is None or not isfinite(squares):
        return None
    return RowBatch((name,), row.reshape(1, -1), rows=(own,), encoded=(encoded,))


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row of a batch that was left out: its number, its id where it has one, and why."""

    row: int
    id: str | None
    error: InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch of which rows may be left out: the ids that are in, in their order, and the others."""

    ids: list[str]
    rejected: list[Rejected]


def valid_rows(
    given: Given, kind: VectorType, where: str, new_id: NewId
) -> tuple[RowBatch, list[int], list[Rejected]]:
    """The rows that are valid, their numbers, and those that are not; of an id that occurs twice, the first counts.

    Halves of a batch with an invalid row are looked at by themselves. Raises InvalidArgumentError where the call is
    wrong, not a row: columns of unequal length, no list of documents.
    """
    given = given.sliceable(where)
    batches: list[tuple[int, RowBatch]] = []
    rejected: list[Rejected] = []
    pending = [(0, given.count(where))]
    while pending:
        start, stop = pending.pop()
        single = stop - start == 1
        place = f"{where} (row {start} of the batch)" if single else where
        try:
            batch = given.part(start, stop).rows(kind, place, new_id)
        except InvalidArgumentError as error:
            if single:
                rejected.append(Rejected(start, given.id_of(start), error))
            else:
                middle = (start + stop) // 2
                pending += [(middle, stop), (start, middle)]
            continue
        if len(batch):
            kind = kind.like(batch.vectors)
            batches.append((start, batch))
    return _first_of_each(batches, kind, where, rejected)


def _first_of_each(
    batches: Sequence[tuple[int, RowBatch]], kind: VectorType, where: str, rejected: list[Rejected]
) -> tuple[RowBatch, list[int], list[Rejected]]:
    if len(batches) == 1 and not rejected:
        ((start, batch),) = batches
        return batch, list(range(start, start + len(batch))), rejected
    seen: dict[str, int] = {}
    vectors, rows, numbers = [], [], []
    for start, batch in batches:
        for offset, (name, metadata) in enumerate(zip(batch.ids, batch.metadata_rows(), strict=True)):
            row = start + offset
            if name in seen:
                error = DuplicateIdError(f"{where}: id {name!r} occurs twice, in rows {seen[name]} and {row}")
                rejected.append(Rejected(row, name, error))
                continue
            seen[name] = row
            vectors.append(batch.vectors[offset])
            rows.append(metadata)
            numbers.append(row)
    stacked = np.stack(vectors) if vectors else kind.empty()
    return RowBatch(list(seen), stacked, rows=rows), numbers, sorted(rejected, key=lambda one: one.row)


def from_documents(
    documents: Iterable[Document | Mapping[str, Any]], kind: VectorType, where: str, new_id: NewId
) -> RowBatch:
    """A list of Documents, or of dicts with the keys id, vector, metadata."""
    ids: list[str] = []
    vectors: list[Any] = []
    rows: list[dict[str, Any]] = []
    for position, given in enumerate(documents):
        place = f"{where}, row {position}"
        document = given if isinstance(given, Document) else _document_of(given, place)
        if document.vector is None:
            raise InvalidArgumentError(f"{place} (id {document.id!r}): the document has no vector")
        ids.append(new_id() if document.id is None else check_id(document.id, place))
        vectors.append(document.vector)
        rows.append(check_metadata(document.metadata, f"{place} (id {document.id!r})"))
    _check_distinct(ids, where)
    return RowBatch(ids, _stack(vectors, kind, where, ids), rows=rows)


def _document_of(given: object, where: str) -> Document:
    if not isinstance(given, Mapping):
        raise InvalidArgumentError(f"{where}: expected a vego.Document or a dict, got {type(given).__name__}")
    extra = set(given) - {"id", "vector", "metadata"}
    if extra:
        raise InvalidArgumentError(
            f"{where}: unknown keys {sorted(map(str, extra))}; use id, vector and metadata"
        )
    return Document(given.get("id"), given.get("vector"), given.get("metadata") or {})


def _stack(vectors: Sequence[Any], kind: VectorType, where: str, ids: Sequence[str]) -> Vector:
    """Vectors one by one, so that a wrong one is named by its row."""
    if not vectors:
        return kind.empty()
    if kind.dimension is None:
        kind = type_of_first(kind, np.asarray(vectors[0]).reshape(-1))
    if kind.element is Element.FLOAT32 and all(
        type(vector) is np.ndarray and vector.dtype is FLOAT32 and vector.shape == (kind.dimension,)
        for vector in vectors
    ):
        whole = np.array(vectors)
        with np.errstate(over="ignore", invalid="ignore"):
            total = whole.sum()
        if np.isfinite(total):  # else the rows are looked at one by one, as all others are
            return whole
    result = kind.empty(len(vectors))
    for row, vector in enumerate(vectors):
        place = f"{where}, row {row} (id {ids[row]!r})"
        array = np.asarray(vector) if not isinstance(vector, np.ndarray) else vector
        result[row] = check_vectors(array[None] if array.ndim == 1 else array, kind, place, [])
    return result


def from_columns(
    ids: Any,
    vectors: Any,
    metadata: Mapping[str, Any] | None,
    kind: VectorType,
    where: str,
    new_id: NewId,
) -> RowBatch:
    """Columns: `ids` of n strings (or None), `vectors` (n, d), `metadata` a dict of n values a key."""
    array = vectors if isinstance(vectors, np.ndarray) else _as_matrix(vectors, kind, where)
    rows = len(array)
    names = [new_id() for _ in range(rows)] if ids is None else _id_list(ids, where)
    if len(names) != rows:
        raise InvalidArgumentError(f"{where}: {len(names)} ids for {rows} vectors")
    _check_distinct(names, where)
    if kind.dimension is None:
        kind = type_of_first(kind, array) if array.ndim == 2 else VectorType(kind.element, 0)
    checked = check_vectors(array, kind, where, names)
    columns: dict[str, tuple[Field, Column]] = {}
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidMetadataError(
            f"{where}: metadata must be a dict of columns, such as {{'year': [...]}}, got {type(metadata).__name__}; "
            "for a dict a document, give a list of Documents"
        )
    for key, values in (metadata or {}).items():
        columns[check_key(key, where)] = _column(key, values, rows, where)
    return RowBatch(names, checked, columns=columns)


def _as_matrix(vectors: Any, kind: VectorType, where: str) -> Vector:
    if vectors is None:
        raise InvalidArgumentError(f"{where}: vectors are missing")
    vectors = list(vectors)
    return _stack(vectors, kind, where, [str(row) for row in range(len(vectors))])


def _id_list(ids: Any, where: str) -> list[str]:
    values = _plain_list(ids, where)
    for row, value in enumerate(values):
        # The common case is checked inline: a call for each of a million ids would be most of the load.
        if type(value) is not str or not value or len(value) > 128 or not value.isascii():
            check_id(value, f"{where}, row {row}")
    return values


def _plain_list(ids: Any, where: str) -> list[Any]:
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise InvalidIdError(f"{where}: expected a list of ids, got {type(ids).__name__} {ids!r}")
    return ids.tolist() if hasattr(ids, "tolist") else list(ids)


def _check_distinct(ids: Sequence[str], where: str) -> None:
    if len(set(ids)) != len(ids):
        seen: dict[str, int] = {}
        for row, value in enumerate(ids):
            if value in seen:
                raise DuplicateIdError(
                    f"{where}: id {value!r} occurs twice in the batch, in rows {seen[value]} and {row}"
                )
            seen[value] = row


def _column(key: str, values: Any, rows: int, where: str) -> tuple[Field, Column]:
    typed = column_from_user(key, values, rows)
    if typed is not None:
        return typed
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise InvalidMetadataError(
            f"{where}: metadata {key!r} must be a list of {rows} values, got {type(values).__name__}"
        )
    if len(values) != rows:
        raise InvalidMetadataError(f"{where}: metadata {key!r} has {len(values)} values for {rows} rows")
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    kinds = set(map(type, listed))
    if not kinds <= {int, float, bool, type(None)}:
        listed = [check_value(value, f"{where}, row {row}", key) for row, value in enumerate(listed)]
    return build_column(key, listed)


def from_table(
    table: Any, id_column: str, vector_column: str, kind: VectorType, where: str, new_id: NewId
) -> RowBatch:
    """A pandas DataFrame or a pyarrow Table with a vector column; every other column is metadata."""
    if hasattr(table, "column_names"):
        return _from_arrow(table, id_column, vector_column, kind, where, new_id)
    names = [str(name) for name in table.columns]
    if vector_column not in names:
        raise InvalidArgumentError(
            f"{where}: the DataFrame has no column {vector_column!r}; columns: {', '.join(names)}"
        )
    ids = table[id_column] if id_column in names else None
    metadata = {
        name: _series_values(table[name]) for name in table.columns if name not in (id_column, vector_column)
    }
    return from_columns(ids, list(table[vector_column]), metadata, kind, where, new_id)


def _series_values(series: Any) -> Any:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf":
        return series.to_numpy()
    missing = series.isna().tolist()
    return [None if absent else value for value, absent in zip(series.tolist(), missing, strict=True)]


def _from_arrow(
    table: Any, id_column: str, vector_column: str, kind: VectorType, where: str, new_id: NewId
) -> RowBatch:
    names = list(table.column_names)
    if vector_column not in names:
        raise InvalidArgumentError(
            f"{where}: the table has no column {vector_column!r}; columns: {', '.join(names)}"
        )
    ids = table.column(id_column).to_pylist() if id_column in names else None
    batch = from_columns(ids, _arrow_vectors(table.column(vector_column)), None, kind, where, new_id)
    columns: dict[str, tuple[Field, Column]] = {}
    for name in names:
        if name not in (id_column, vector_column):
            columns[check_key(name, where)] = _arrow_column(table.select([name]), name, len(batch), where)
    return RowBatch(batch.ids, batch.vectors, columns=columns)


def _arrow_vectors(column: Any) -> Any:
    array = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    chunks = getattr(array, "chunks", [array])
    if len(chunks) == 1 and hasattr(chunks[0].type, "list_size") and not array.null_count:
        size = chunks[0].type.list_size
        return chunks[0].flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return array.to_pylist()


def _arrow_column(table: Any, name: str, rows: int, where: str) -> tuple[Field, Column]:
    kind = table.schema.field(name).type
    if str(kind).startswith(("timestamp", "date", "dictionary", "struct", "map", "list<item: bool")):
        return _column(name, table.column(name).to_pylist(), rows, where)
    try:
        column = Table.from_arrow(table)[name]
    except InvalidDataError:
        return _column(name, table.column(name).to_pylist(), rows, where)
    return Field(name, column.type, nullable=True, metadata={NULL_MEANING: NONE}), column
