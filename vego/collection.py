"""A collection: the verbs users call. Checks arguments, takes the lock, and hands over to storage and search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace as replace_fields
from datetime import datetime
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import numpy as np
from numpy.typing import ArrayLike

from vego import names
from vego.document import Document, check_id, check_metadata, check_vectors
from vego.errors import (
    ClosedError,
    CommitConflictError,
    DocumentNotFoundError,
    DuplicateIdError,
    InvalidArgumentError,
    NotFoundError,
    ReadOnlyError,
)
from vego.index import Metric, versioning
from vego.index.compaction_report import CompactionReport
from vego.index.indexed_rows import IndexedRows
from vego.index.vector_index import Progress
from vego.inputs import Given, Outcome, Rejected, usual_row, valid_rows
from vego.options import CollectionOptions, check_retained
from vego.progress import progress_of
from vego.readable import Readable
from vego.store import disown_in_child
from vego.table.batch import RowBatch
from vego.table.garbage import Collected
from vego.table.partition import Partition
from vego.table.partitioned import check_partition
from vego.table.versions import Version
from vego.transaction import Overlay, Step, Transaction

if TYPE_CHECKING:
    from types import TracebackType

ATTEMPTS = 1_000  # of a write that other processes are faster with, one after the other
Changed = TypeVar("Changed")
Create = Callable[[int, RLock], IndexedRows]


class Collection(Readable):
    """Documents of one dimension and metric. Made by `Database.collection`; any thread may use it.

    Readers never wait for writers: a search works on the rows and the graph as they were when it began.
    """

    def __init__(
        self,
        name: str,
        metric: Metric,
        options: CollectionOptions,
        rows: IndexedRows | None,
        create: Create,
        new_id: Callable[[], str],
        *,
        read_only: bool,
    ) -> None:
        super().__init__(name, metric, options, rows)
        self._create = create
        self._new_id = new_id
        self._read_only = read_only
        disown_in_child(self)
        self._lock = RLock() if rows is None else rows.lock
        self._views: WeakSet[Collection] = WeakSet()
        self._past = False

    # -- writing ---------------------------------------------------------------------------------

    def insert(
        self,
        document: Document | None = None,
        *,
        id: str | None = None,
        vector: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Add one document and return its id; durable when this returns.

        Raises DuplicateIdError where the id exists, and the errors of `vego.document` for bad values.
        """
        return self._put_one(document, id, vector, metadata, "insert", replace=False)

    def insert_batch(
        self,
        documents: Any = None,
        *,
        ids: Sequence[str] | None = None,
        vectors: Any = None,
        metadata: Mapping[str, Sequence[Any]] | None = None,
        id_column: str = "id",
        vector_column: str = "vector",
        progress: bool | Progress = False,
    ) -> list[str]:
        """Add many documents, all or none (`insert_valid` leaves wrong ones out), and return their ids.

        Either `documents` (a list of Documents or dicts, a pandas DataFrame or a pyarrow Table with `id_column`
        and `vector_column`), or columns: `ids` (n strings, may be left out), `vectors` (n, d), `metadata` (a dict
        of n values a key). `progress`: True for a bar on stderr, or a function of (done, total).
        """
        given = Given(documents, ids, vectors, metadata, id_column, vector_column)
        return self._put(given, "insert_batch", progress=progress)

    def upsert(
        self,
        document: Document | None = None,
        *,
        id: str | None = None,
        vector: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Add one document or replace the whole document of that id."""
        return self._put_one(document, id, vector, metadata, "upsert", replace=True)

    def upsert_batch(
        self,
        documents: Any = None,
        *,
        ids: Sequence[str] | None = None,
        vectors: Any = None,
        metadata: Mapping[str, Sequence[Any]] | None = None,
        id_column: str = "id",
        vector_column: str = "vector",
        progress: bool | Progress = False,
    ) -> list[str]:
        """Add or replace many documents, all or none; arguments as for `insert_batch`."""
        given = Given(documents, ids, vectors, metadata, id_column, vector_column)
        return self._put(given, "upsert_batch", replace=True, progress=progress)

    def insert_valid(
        self,
        documents: Any = None,
        *,
        ids: Sequence[str] | None = None,
        vectors: Any = None,
        metadata: Mapping[str, Sequence[Any]] | None = None,
        id_column: str = "id",
        vector_column: str = "vector",
        replace: bool = False,
    ) -> Outcome:
        """Add those of many documents that are right, all of them at once; arguments as for `insert_batch`.

        The outcome has the ids that are in, and for each row left out its number, its id, and the error that
        `insert` would raise: a bad vector, id or metadata, an id that occurs before in the batch or, unless `replace`,
        exists already. Raises InvalidArgumentError where the call is wrong and not a row.
        """
        where = f"{self.name}.insert_valid"
        key = self.options.partition_by
        given = Given(documents, ids, vectors, metadata, id_column, vector_column, key)
        batch, numbers, rejected = valid_rows(given, self.vector_type, where, self._new_id)

        def put(rows: IndexedRows | None) -> Outcome:
            kept, known = list[int](), list[Rejected]()
            for place, name in enumerate(batch.ids):
                if replace or rows is None or rows.rows.slot_of(name) is None:
                    kept.append(place)
                else:
                    error = DuplicateIdError(f"{where}, row {numbers[place]}: id {name!r} exists already")
                    known.append(Rejected(numbers[place], name, error))
            chosen = batch if len(kept) == len(batch) else batch.take(kept)
            if len(chosen):
                self._put_batch(chosen, where, rows)
            return Outcome(list(chosen.ids), sorted([*rejected, *known], key=lambda one: one.row))

        return self._change(put)

    def transaction(self) -> Transaction:
        """Several changes at once: `with docs.transaction() as t: t.insert(...); t.delete(...)`.

        They are made together when the block ends, as one batch of the log; an exception in it drops them all.
        """
        self._check_open()
        return Transaction(self, self._new_id)

    def _apply(self, steps: Iterable[Step]) -> None:
        """Carry out the steps of a transaction on what is there now."""

        def apply(rows: IndexedRows | None) -> None:
            overlay = Overlay(lambda name: None if rows is None else rows.newest(name))
            for step in steps:
                step(overlay)
            batch, deleted = overlay.batch()
            where = f"{self.name}.transaction"
            if batch is not None:
                self._put_batch(batch, where, rows, deleted)
            elif deleted and rows is not None:
                rows.delete(deleted)

        self._change(apply)

    def update(
        self,
        id: str,
        *,
        vector: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Change one document: a vector given replaces it, metadata keys given are set, other keys stay.

        Raises DocumentNotFoundError.
        """
        where = f"{self.name}.update({id!r})"
        check_id(id, where)
        changed = check_metadata(metadata or {}, where)
        check_partition(changed, self.options.partition_by, where)

        def update(rows: IndexedRows | None) -> None:
            newest = None if rows is None else rows.rows.newest()
            slot = None if newest is None else newest.slot_of.get(id)
            if rows is None or newest is None or slot is None:
                raise DocumentNotFoundError(f"{where}: no such document; upsert() adds it")
            given = np.asarray(newest.view.vectors.row(slot) if vector is None else vector)
            new = check_vectors(given[None], self.vector_type, where, [])
            rows.put(RowBatch([id], new, rows=[newest.metadata(slot) | changed]))

        self._change(update)

    def delete(self, id: str) -> bool:
        """Delete one document; False where there was none."""
        return self.delete_batch([id]) == 1

    def delete_batch(self, ids: Iterable[str]) -> int:
        """Delete the documents of `ids` that exist, all at once, and return how many there were."""
        where = f"{self.name}.delete_batch"
        if isinstance(ids, str):
            raise InvalidArgumentError(
                f"{where}: expected a list of ids, got one string; use delete({ids!r})"
            )
        wanted = dict.fromkeys(check_id(name, f"{where}, row {row}") for row, name in enumerate(ids))

        def delete(rows: IndexedRows | None) -> int:
            if rows is None:
                return 0
            found = [name for name in wanted if rows.rows.slot_of(name) is not None]
            if found:
                rows.delete(found)
            return len(found)

        return self._change(delete)

    def drop_partition(self, value: str | int | bool | None) -> int:
        """Delete all documents of one partition, named by the value of the key, and return how many there were.

        That is one commit, however many there are: none of their files is rewritten. Versions before it still have
        them; their space comes back when no kept version needs it. Documents that another process adds afterwards stay.
        Raises InvalidArgumentError where the collection has no partitions, InvalidMetadataError for a value that none
        can have.
        """
        self._partition_key("drop_partition")
        partition = Partition(value)
        return self._change(lambda rows: 0 if rows is None else rows.drop_partition(partition))

    def flush(self) -> None:
        """Turn the write buffer into a segment file now. Nothing needs this to be safe."""
        self._change(lambda rows: None if rows is None else rows.flush())

    def build_index(self, progress: bool | Progress = False) -> None:
        """Bring the graph up to date with every row and save it, now instead of as batches come."""
        with progress_of(progress, "indexing") as report:

            def build(rows: IndexedRows | None) -> None:
                if rows is not None:
                    rows.catch_up(report, all_rows=True)
                    rows.save_index()

            self._change(build)

    # -- versions and maintenance ----------------------------------------------------------------

    def versions(self) -> list[Version]:
        """The versions that can be opened with `at`, oldest first.

        A commit makes one: a large batch, a flush of the write buffer, `tag`, a compaction. Single inserts are in
        none before the next commit.
        """
        return versioning.versions(self._created())

    def at(
        self, version: int | None = None, *, timestamp: datetime | str | None = None, tag: str | None = None
    ) -> Collection:
        """The collection as it was: a read-only Collection that does not change.

        A version is named by number or by tag. A time (a datetime or ISO 8601 text, UTC where it does not say) means
        everything that was written by then, single documents included: from the oldest version on from which none is
        missing, any moment will do (see `retain_seconds`). Raises NotFoundError naming the versions or tags that
        there are, or the earliest moment.
        """
        old = versioning.at(self._created(), version, timestamp, tag)
        name = f"{self.name}@{old.rows.manifest.version if timestamp is None else timestamp}"
        view = Collection(name, self.metric, self.options, old, self._create, self._new_id, read_only=True)
        view._views = self._views  # a view of a view outlives that one
        view._past = True
        self._views.add(view)
        return view

    def tag(self, name: str, version: int | None = None) -> int:
        """Name a version, so that it stays until `untag`, and return its number; None: what is there now.

        A tag that exists is moved. Raises NotFoundError where there is no such version (any more).
        """
        names.check_tag(name)
        self._created()
        return self._change(lambda rows: versioning.tag(_there(rows), name, version))

    def untag(self, name: str) -> None:
        """Take a tag away; raises NotFoundError where there is none of that name."""
        self._created()
        self._change(lambda rows: versioning.untag(_there(rows), name))

    def tags(self) -> dict[str, int]:
        """Every tag and the version it names."""
        return dict(self._created().rows.manifest.tags)

    def restore(
        self, version: int | None = None, *, timestamp: datetime | str | None = None, tag: str | None = None
    ) -> int:
        """Go back to a version or a time, as for `at`: a new version with its contents is made; its number is returned.

        Nothing is lost: what was there is a version of its own. Raises NotFoundError, CorruptionError.
        """
        self._created()

        def restore(rows: IndexedRows | None) -> int:
            restored = versioning.restored(_there(rows), version, timestamp, tag)
            self._replace_rows(restored)
            return restored.rows.manifest.version

        return self._change(restore)

    def _branch(
        self, name: str, version: int | None, timestamp: datetime | str | None, tag: str | None
    ) -> None:
        """Make another collection of what this one was; see `Database.branch`."""
        self._created()

        def branch(rows: IndexedRows | None) -> None:
            versioning.branch(_there(rows), name, version, timestamp, tag)

        self._change(branch)

    def compact(self, *, full: bool = False, progress: bool | Progress = False) -> CompactionReport:
        """Merge small segment files and drop what was deleted; `full`: all of it, whatever it costs.

        Reads and writes go on meanwhile. The space comes back once no kept version needs the old files: see `vacuum`.
        """
        with progress_of(progress, "compacting") as report:
            for attempt in range(ATTEMPTS):
                rows = self._change(lambda newest: newest)
                if rows is None:
                    break
                try:
                    return rows.compact(full=full, progress=report)
                except CommitConflictError:
                    if not rows.shared or attempt + 1 == ATTEMPTS:
                        raise
                    rows.back_off(attempt)
        return CompactionReport(0, 0, 0, 0, 0)

    def vacuum(self, retain_versions: int | None = None) -> Collected:
        """Delete the files of versions that need not be kept, and say how many.

        `retain_versions` (at least 2) instead of the options retain_versions and retain_seconds: 2 keeps the newest
        only, with one that is like it. Tagged versions stay.
        """
        if retain_versions is not None:
            check_retained(retain_versions)
        return self._change(lambda rows: Collected() if rows is None else rows.vacuum(retain_versions))

    def optimize(self, progress: bool | Progress = False) -> CompactionReport:
        """Bring everything into its best shape: compact fully, complete the graph, give space back."""
        report = self.compact(full=True, progress=progress)
        self.build_index(progress)
        self.vacuum(2)
        return report

    # -- inside ----------------------------------------------------------------------------------

    def _put_one(
        self,
        document: Document | None,
        name: str | None,
        vector: Any,
        metadata: Mapping[str, Any] | None,
        verb: str,
        *,
        replace: bool,
    ) -> str:
        existing = self._rows
        if existing is not None and document is None and not existing.shared:
            known = existing.rows
            batch = usual_row(name, vector, metadata, known.manifest.vectors, known.known_keys)
            if batch is not None:
                with self._writing() as rows:
                    there = _there(rows)
                    if not replace and there.rows.slot_of(batch.ids[0]) is not None:
                        _refuse_known(batch.ids, there, f"{self.name}.{verb}")
                    there.put(batch)
                return batch.ids[0]
        given = Given.one(document, name, vector, metadata)
        batch = given.rows(self.vector_type, f"{self.name}.{verb}", self._new_id)
        self._put_rows(batch, verb, replace=replace)
        return batch.ids[0]

    def _put(
        self, given: Given, verb: str, *, replace: bool = False, progress: bool | Progress = False
    ) -> list[str]:
        where = f"{self.name}.{verb}"
        if self.options.partition_by is not None:
            given = replace_fields(given, partition_by=self.options.partition_by)
        batch = given.rows(self.vector_type, where, self._new_id)
        if len(batch) == 0:
            return []
        with progress_of(progress, "indexing") as report:
            self._put_rows(batch, verb, replace=replace, progress=report)
        return list(batch.ids)

    def _put_rows(
        self, batch: RowBatch, verb: str, *, replace: bool, progress: Progress | None = None
    ) -> None:
        where = f"{self.name}.{verb}"

        def put(rows: IndexedRows | None) -> None:
            if rows is not None and not replace:
                _refuse_known(batch.ids, rows, where)
            self._put_batch(batch, where, rows, progress=progress)

        self._change(put)

    def _put_batch(
        self,
        batch: RowBatch,
        where: str,
        existing: IndexedRows | None,
        deleted: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        """Insert or replace, under the writers' lock; the first batch makes the collection."""
        rows = existing
        if rows is None:
            dimension = self.vector_type.like(batch.vectors).dimension
            assert dimension is not None
            rows = self._rows = self._create(dimension, self._lock)
        kind = rows.rows.manifest.vectors
        if batch.vectors.shape[1] != kind.width:  # another's first insert fixed the dimension
            check_vectors(batch.vectors, kind, where, batch.ids)
        rows.put(batch, progress, deleted)

    def _change(self, change: Callable[[IndexedRows | None], Changed]) -> Changed:
        """What `change` returns, called with the rows (None before the first insert) under the writers' lock.

        Where other processes write as well, it is called with the newest rows, and again if they were faster.
        """
        with self._writing() as existing:
            if existing is None or not existing.shared:
                return change(existing)
            with existing.turns.ours():
                return self._attempt(change, existing)

    def _attempt(self, change: Callable[[IndexedRows | None], Changed], rows: IndexedRows) -> Changed:
        """`change`, called with the newest rows until no other process is faster."""
        for attempt in range(ATTEMPTS):
            newest = rows.advanced()
            if newest is not rows:
                self._replace_rows(newest)
                rows = newest
            try:
                return change(rows)
            except CommitConflictError:
                if attempt + 1 == ATTEMPTS:
                    raise
                rows.back_off(attempt)
                rows = _there(self._rows)
        raise AssertionError("unreachable")

    def _writing(self) -> _Writing:
        if self._past:
            raise ReadOnlyError(
                f"{self.name!r} is a collection as of an earlier moment, which does not change; `restore` of the "
                "collection itself goes back to it"
            )
        if self._read_only:
            raise ReadOnlyError(f"collection {self.name!r}: the database was opened with read_only=True")
        return _Writing(self)

    def _replace_rows(self, rows: IndexedRows) -> None:
        """Show other rows of the same collection. Files of the old ones close when their last reader is done."""
        with self._lock:
            self._rows = rows

    def disown(self) -> None:
        """In a forked child the database is not open, and the lock may be held by a thread that is not there."""
        self._closed = "was opened before this process was forked"
        self._lock = RLock()

    def _close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = "is closed"
                for view in list(self._views):
                    view._close()
                if self._rows is not None:
                    self._rows.close()


class _Writing:
    """Holds the collection's lock for one write and gives its rows (None before the first insert).

    On leaving it lets go of the lock, and then waits until everything that the write did, or saw of others when it
    refused, is durable and visible. So writes of several threads share a sync.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __enter__(self) -> IndexedRows | None:
        self._collection._lock.acquire()
        try:
            self._collection._check_open()
        except ClosedError:
            self._collection._lock.release()
            raise
        return self._collection._rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        rows = self._collection._rows
        try:
            lsn = 0 if rows is None else rows.rows.last_lsn
        finally:
            self._collection._lock.release()
        if rows is not None and (kind is None or issubclass(kind, InvalidArgumentError | NotFoundError)):
            rows.wait(lsn)


def _there(rows: IndexedRows | None) -> IndexedRows:
    assert rows is not None
    return rows


def _refuse_known(ids: Sequence[str], rows: IndexedRows, where: str) -> None:
    for row, name in enumerate(ids):
        if rows.rows.slot_of(name) is not None:
            raise DuplicateIdError(
                f"{where}, row {row}: id {name!r} exists already; upsert replaces documents"
            )
