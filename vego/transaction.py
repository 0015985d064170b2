"""Several changes of one collection that happen all at once or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace as replace_fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from vego.document import Document, check_id, check_metadata, check_vectors
from vego.errors import ClosedError, DocumentNotFoundError, DuplicateIdError
from vego.inputs import Given
from vego.options import CollectionOptions
from vego.table.batch import RowBatch
from vego.table.partitioned import check_partition
from vego.vector_type import VectorType

Get = Callable[[str], Document | None]
Step = Callable[["Overlay"], None]


class Changeable(Protocol):
    """What a transaction needs of its collection."""

    name: str
    options: CollectionOptions

    @property
    def vector_type(self) -> VectorType:
        """What its vectors are made of."""
        ...

    def get(self, id: str) -> Document | None:
        """The document of that id."""
        ...

    def _apply(self, steps: Iterable[Step]) -> None: ...


class Overlay:
    """Documents as they are after some changes: what was changed, and `get` for all others. None is deleted."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self.changed: dict[str, Document | None] = {}

    def get(self, id: str) -> Document | None:
        """The document of that id, with the changes."""
        return self.changed[id] if id in self.changed else self._get(id)

    def batch(self) -> tuple[RowBatch | None, list[str]]:
        """The documents to be written (None: there are none), and the ids to be deleted, of those there are."""
        written = {name: document for name, document in self.changed.items() if document is not None}
        deleted = [n for n, document in self.changed.items() if document is None and self._get(n) is not None]
        if not written:
            return None, deleted
        vectors = np.stack([np.asarray(document.vector) for document in written.values()])
        rows = [dict(document.metadata) for document in written.values()]
        return RowBatch(list(written), vectors, rows=rows), deleted


class Transaction:
    """Takes changes and carries them out together when its `with` block ends; an exception in it drops them all.

    `get` sees the changes made so far. What others write meanwhile counts: the changes are checked again at the end,
    and where one cannot be made any more, its error is raised and nothing is changed. One thread at a time.
    """

    def __init__(self, collection: Changeable, new_id: Callable[[], str]) -> None:
        self._collection = collection
        self._new_id = new_id
        self._overlay = Overlay(collection.get)
        self._steps: list[Step] = []
        self._vectors = collection.vector_type
        self._done = False

    def get(self, id: str) -> Document | None:
        """The document of that id as it will be, or None."""
        return self._overlay.get(check_id(id, f"{self._collection.name}.transaction.get"))

    def insert(
        self,
        document: Document | None = None,
        *,
        id: str | None = None,
        vector: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a document; its id. Raises DuplicateIdError where it exists, and the errors of bad values."""
        return self._put(Given.one(document, id, vector, metadata), "insert", replace=False)

    def upsert(
        self,
        document: Document | None = None,
        *,
        id: str | None = None,
        vector: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a document or replace the one of that id; its id."""
        return self._put(Given.one(document, id, vector, metadata), "upsert", replace=True)

    def update(
        self, id: str, *, vector: ArrayLike | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Change a document: a vector given replaces it, keys given are set. Raises DocumentNotFoundError."""
        where = f"{self._collection.name}.transaction.update({id!r})"
        check_id(id, where)
        changed = check_metadata(metadata or {}, where)
        check_partition(changed, self._collection.options.partition_by, where)
        new = None if vector is None else self._vector(vector, where)

        def step(overlay: Overlay) -> None:
            old = overlay.get(id)
            if old is None:
                raise DocumentNotFoundError(f"{where}: no such document; upsert() adds it")
            overlay.changed[id] = Document(id, old.vector if new is None else new, old.metadata | changed)

        self._take(step)

    def delete(self, id: str) -> bool:
        """Delete a document; False where there is none."""
        there = self.get(id) is not None

        def step(overlay: Overlay) -> None:
            overlay.changed[id] = None

        self._take(step)
        return there

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._done = True
        if kind is None and self._steps:
            self._collection._apply(self._steps)

    def _put(self, given: Given, verb: str, *, replace: bool) -> str:
        where = f"{self._collection.name}.transaction.{verb}"
        given = replace_fields(given, partition_by=self._collection.options.partition_by)
        batch = given.rows(self._vectors, where, self._new_id)
        self._vectors = self._vectors.like(batch.vectors)
        name = batch.ids[0]
        new = Document(name, batch.vectors[0], batch.metadata_rows()[0])

        def step(overlay: Overlay) -> None:
            if not replace and overlay.get(name) is not None:
                raise DuplicateIdError(f"{where}: id {name!r} exists already; upsert replaces documents")
            overlay.changed[name] = new

        self._take(step)
        return name

    def _vector(self, vector: ArrayLike, where: str) -> Any:
        if self._vectors.dimension is None:
            raise DocumentNotFoundError(f"{where}: no such document; upsert() adds it")
        return check_vectors(np.asarray(vector)[None], self._vectors, where, [])[0]

    def _take(self, step: Step) -> None:
        if self._done:
            raise ClosedError(f"{self._collection.name}.transaction: its block has ended")
        step(self._overlay)
        self._steps.append(step)
