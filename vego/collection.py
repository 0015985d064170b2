"""A collection: the verbs users call. Checks arguments, takes the lock, and hands over to storage and search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from numpy.typing import ArrayLike, NDArray

import lance_fmt
from vego import display, names
from vego.document import Document, Vector, check_id, check_metadata, check_vectors
from vego.errors import (
    ClosedError,
    DocumentNotFoundError,
    DuplicateIdError,
    InvalidArgumentError,
    NotFoundError,
    ReadOnlyError,
)
from vego.hits import BatchResult, Hits
from vego.index import Metric
from vego.index.indexed_rows import CompactionReport, IndexedRows, Progress, State
from vego.inputs import Given
from vego.options import CollectionOptions, check_retained
from vego.planner import Plan
from vego.progress import progress_of
from vego.queries import check_ef, check_k, check_queries
from vego.query import Expr, evaluate, fields_of, parse_filter, unknown_field_error
from vego.search import Searcher
from vego.table.batch import RowBatch
from vego.table.export import schema_of, table_of
from vego.table.garbage import Collected
from vego.table.versions import Version

if TYPE_CHECKING:
    from types import TracebackType

Filter = Expr | str | Mapping[str, Any] | None
Create = Callable[[int], IndexedRows]


class Collection:
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
        self.name = name
        self.metric = metric
        self.options = options
        self._rows = rows
        self._create = create
        self._new_id = new_id
        self._read_only = read_only
        self._closed = False
        self._lock = RLock()
        self._views: WeakSet[Collection] = WeakSet()

    # -- about -----------------------------------------------------------------------------------

    @property
    def dimension(self) -> int | None:
        """Components of every vector; None until the first insert where it was not given."""
        return None if self._rows is None else self._rows.rows.manifest.dimension

    def __len__(self) -> int:
        state = self._state()
        return 0 if state is None else state.snapshot.view.live_count

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __repr__(self) -> str:
        if self._closed:
            return f"<vego.Collection {self.name!r}, closed>"
        return f"<vego.Collection {self.name!r}: {len(self):,} documents, {self.dimension} x {self.metric.value}>"

    def _repr_html_(self) -> str:
        return display.collection_html(self, closed=self._closed)

    def stats(self) -> dict[str, Any]:
        """Rows, files, bytes and index coverage, as a dict."""
        if self._state() is None or self._rows is None:
            return {"name": self.name, "documents": 0, "dimension": None, "metric": self.metric.value}
        return {"name": self.name, **self._rows.stats()}

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
        return self._put(Given.one(document, id, vector, metadata), "insert")[0]

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
        """Add many documents, all or none, and return their ids.

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
        return self._put(Given.one(document, id, vector, metadata), "upsert", replace=True)[0]

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
        with self._writing() as rows:
            old = self.get(check_id(id, where))
            if old is None or rows is None:
                raise DocumentNotFoundError(f"{where}: no such document; upsert() adds it")
            merged = old.metadata | check_metadata(metadata or {}, where)
            new = check_vectors(
                np.asarray(old.vector if vector is None else vector)[None], self._width(), where, []
            )
            rows.put(RowBatch([id], new, rows=[merged]))

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
        with self._writing() as rows:
            found = [name for name in wanted if self._find(name) is not None]
            if found and rows is not None:
                rows.delete(found)
            return len(found)

    def flush(self) -> None:
        """Turn the write buffer into a segment file now. Nothing needs this to be safe."""
        with self._writing() as rows:
            if rows is not None:
                rows.flush()

    def build_index(self, progress: bool | Progress = False) -> None:
        """Bring the graph up to date with every row and save it, now instead of as batches come."""
        with self._writing() as rows, progress_of(progress, "indexing") as report:
            if rows is not None:
                rows.catch_up(report, all_rows=True)
                rows.save_index()

    # -- versions and maintenance ----------------------------------------------------------------

    def versions(self) -> list[Version]:
        """The versions that can be opened with `at`, oldest first.

        A commit makes one: a large batch, a flush of the write buffer, `tag`, a compaction. Single inserts are in
        none before the next commit.
        """
        return self._created().versions()

    def at(
        self, version: int | None = None, *, timestamp: datetime | str | None = None, tag: str | None = None
    ) -> Collection:
        """The collection as it was: a read-only Collection that does not change.

        Named by number, by tag, or by a time (a datetime or ISO 8601 text, UTC where it does not say), which means
        the newest version that was there then. Raises NotFoundError naming the versions or tags that there are.
        """
        old = self._created().at(version, timestamp, tag)
        name = f"{self.name}@{old.rows.manifest.version}"
        view = Collection(name, self.metric, self.options, old, self._create, self._new_id, read_only=True)
        self._views.add(view)
        return view

    def tag(self, name: str, version: int | None = None) -> int:
        """Name a version, so that it stays until `untag`, and return its number; None: what is there now.

        A tag that exists is moved. Raises NotFoundError where there is no such version (any more).
        """
        names.check_tag(name)
        self._created()
        with self._writing() as rows:
            assert rows is not None
            return rows.tag(name, version)

    def untag(self, name: str) -> None:
        """Take a tag away; raises NotFoundError where there is none of that name."""
        self._created()
        with self._writing() as rows:
            assert rows is not None
            rows.untag(name)

    def tags(self) -> dict[str, int]:
        """Every tag and the version it names."""
        return dict(self._created().rows.manifest.tags)

    def restore(
        self, version: int | None = None, *, timestamp: datetime | str | None = None, tag: str | None = None
    ) -> int:
        """Go back to a version, named as for `at`: a new version with its contents is made; its number is returned.

        Nothing is lost: what was there is a version of its own. Raises NotFoundError, CorruptionError.
        """
        self._created()
        with self._writing() as rows:
            assert rows is not None
            self._replace_rows(rows.restored(version, timestamp, tag))
            assert self._rows is not None
            return self._rows.rows.manifest.version

    def compact(self, *, full: bool = False, progress: bool | Progress = False) -> CompactionReport:
        """Merge small segment files and drop what was deleted; `full`: all of it, whatever it costs.

        Reads and writes go on meanwhile. The space comes back once no kept version needs the old files: see `vacuum`.
        """
        with self._writing() as rows:
            if rows is None:
                return CompactionReport(0, 0, 0, 0, 0)
        with progress_of(progress, "compacting") as report:
            return rows.compact(self._lock, full=full, progress=report)

    def vacuum(self, retain_versions: int | None = None) -> Collected:
        """Delete the files of versions that need not be kept, and say how many.

        `retain_versions` (at least 2) instead of the options retain_versions and retain_seconds: 2 keeps the newest
        only, with one that is like it. Tagged versions stay.
        """
        if retain_versions is not None:
            check_retained(retain_versions)
        with self._writing() as rows:
            return Collected() if rows is None else rows.vacuum(retain_versions)

    def optimize(self, progress: bool | Progress = False) -> CompactionReport:
        """Bring everything into its best shape: compact fully, complete the graph, give space back."""
        report = self.compact(full=True, progress=progress)
        self.build_index(progress)
        self.vacuum(2)
        return report

    # -- reading ---------------------------------------------------------------------------------

    def get(self, id: str) -> Document | None:
        """The document of that id exactly as inserted (its vector as float32), or None."""
        if type(id) is not str:
            check_id(id, f"{self.name}.get")
        found = self._find(id)
        if found is None:
            return None
        state, slot = found
        snapshot = state.snapshot
        return Document(id, snapshot.view.vectors[slot].copy(), snapshot.metadata(slot))

    def get_batch(self, ids: Iterable[str]) -> list[Document | None]:
        """The documents of `ids`, in that order, None where there is none."""
        if isinstance(ids, str):
            raise InvalidArgumentError(f"{self.name}.get_batch: expected a list of ids; use get({ids!r})")
        return [self.get(name) for name in ids]

    def search(
        self,
        vector: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        ef: int | None = None,
        exact: bool = False,
    ) -> Hits:
        """The k documents nearest to `vector` (d,), of those that pass `filter`; k hits whenever k rows match.

        filter: `vego.field("year") >= 2020`, "year >= 2020", or {"year": {"$gte": 2020}}.
        ef: candidates kept in the walk of the graph (default: the collection's ef_search); `exact=True` scans.
        Raises InvalidVectorError, FilterError, UnknownOptionError.
        """
        state = self._state()
        queries, ef = self._query(vector, 1, k, ef)
        if state is None:
            return Hits.empty(self.metric)
        searcher, plan, accept = self._plan(state, filter, ef, exact)
        slots, distances = searcher.run(queries[0], k, plan, accept)
        return Hits(state.snapshot, slots, distances, self.metric)

    def search_batch(
        self,
        vectors: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        ef: int | None = None,
        exact: bool = False,
        threads: int | None = None,
    ) -> BatchResult:
        """The k nearest documents to each of m queries (m, d): ids (m, k) and distances (m, k).

        threads: how many queries are answered at a time; None uses every processor this process may run on.
        """
        state = self._state()
        queries, ef = self._query(vectors, 2, k, ef)
        if state is None:
            return BatchResult(
                np.full((len(queries), k), None, object), np.full((len(queries), k), np.inf, np.float32)
            )
        searcher, plan, accept = self._plan(state, filter, ef, exact)
        slots, distances = searcher.run_batch(queries, k, plan, accept, threads)
        ids = (
            state.snapshot.view.ids[slots] if state.snapshot.view.rows else np.full(slots.shape, None, object)
        )
        ids[slots < 0] = None
        return BatchResult(ids, distances)

    def explain(
        self,
        vector: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        ef: int | None = None,
        exact: bool = False,
    ) -> Plan:
        """How `search` with these arguments is answered, and why."""
        state = self._state()
        _, ef = self._query(vector, 1, k, ef)
        if state is None:
            return Plan("empty", "the collection is empty", 0, 0, 0, ef)
        return self._plan(state, filter, ef, exact)[1]

    @property
    def schema(self) -> lance_fmt.Schema:
        """The columns of `to_table`: `id`, `vector`, and the metadata keys with their types."""
        state = self._state()
        return lance_fmt.Schema([]) if state is None else schema_of(state.snapshot, self._width())

    def to_table(self, columns: Sequence[str] | None = None, *, filter: Filter = None) -> lance_fmt.Table:
        """Columns (None: all of `schema`) of the documents (None: all) that pass `filter`, oldest first.

        Keys whose values are of several types become JSON; a document without a key has a null there. Raises
        UnknownFieldError, FilterError, CorruptionError.
        """
        state = self._state()
        if state is None:
            return lance_fmt.Table({})
        view, matching = state.snapshot.view, self._matching(filter, state)
        slots = np.flatnonzero(view.live if matching is None else matching & view.live)
        return table_of(state.snapshot, schema_of(state.snapshot, self._width()), slots, columns)

    # -- inside ----------------------------------------------------------------------------------

    def _state(self) -> State | None:
        if self._closed:
            raise ClosedError(f"collection {self.name!r} is closed; open the database again")
        return None if self._rows is None else self._rows.state

    def _created(self) -> IndexedRows:
        """The rows; there are none before the dimension is known."""
        self._state()
        if self._rows is None:
            raise NotFoundError(f"collection {self.name!r} is empty and has no version yet")
        return self._rows

    def _find(self, name: str) -> tuple[State, int] | None:
        rows = self._rows
        state = self._state()
        if rows is None or state is None:
            return None
        slot = rows.rows.slot_of(name)
        view = state.snapshot.view
        if slot is not None and slot < view.rows and view.live[slot]:
            return state, slot
        if slot is None and view.rows == rows.state.snapshot.view.rows:
            return None
        with self._lock:  # a write was under way: its slot and the snapshot agree once it is done
            slot = rows.rows.slot_of(name)
            return None if slot is None else (rows.state, slot)

    def _matching(self, filter: Filter, state: State) -> NDArray[np.bool_] | None:
        expr = parse_filter(filter)
        if expr is None:
            return None
        assert self._rows is not None
        names = fields_of(expr)
        known = self._rows.rows.keys
        for name in names:
            if name not in known:
                raise unknown_field_error(name, list(known), self.name)
        columns = state.filters.get(names, state.snapshot)
        return evaluate(expr, columns, state.snapshot.view.rows)

    def _plan(
        self, state: State, filter: Filter, ef: int, exact: bool
    ) -> tuple[Searcher, Plan, NDArray[np.bool_] | None]:
        """What answers a search of `state`, how, and the rows to accept (None: all)."""
        searcher = Searcher(state.snapshot.view, state.index, self.metric)
        return searcher, *searcher.plan(ef, self._matching(filter, state), exact)

    def _query(self, vectors: ArrayLike, ndim: int, k: int, ef: int | None) -> tuple[Vector, int]:
        where = f"search in collection {self.name!r}"
        check_k(k, where)
        return check_queries(vectors, ndim, self.dimension, where), check_ef(
            ef, self.options.ef_search, k, where
        )

    def _width(self) -> int:
        assert self._rows is not None
        return self._rows.rows.manifest.dimension

    def _put(
        self, given: Given, verb: str, *, replace: bool = False, progress: bool | Progress = False
    ) -> list[str]:
        where = f"{self.name}.{verb}"
        batch = given.rows(self.dimension, where, self._new_id)
        if len(batch) == 0:
            return []
        with self._writing() as existing, progress_of(progress, "indexing") as report:
            rows = existing
            if rows is None:
                rows = self._rows = self._create(batch.vectors.shape[1])
            elif batch.vectors.shape[1] != self._width():  # another thread's first insert fixed the dimension
                check_vectors(batch.vectors, self._width(), where, batch.ids)
            if not replace:
                _refuse_known(batch.ids, rows, where)
            rows.put(batch, report)
        return list(batch.ids)

    def _writing(self) -> _Writing:
        if self._read_only:
            raise ReadOnlyError(f"collection {self.name!r}: the database was opened with read_only=True")
        return _Writing(self)

    def _replace_rows(self, rows: IndexedRows) -> None:
        """Show other rows of the same collection. Files of the old ones close when their last reader is done."""
        with self._lock:
            self._rows = rows

    def _close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                for view in self._views:
                    view._close()
                if self._rows is not None:
                    self._rows.close()


class _Writing:
    """Holds the collection's lock for one write and gives its rows (None before the first insert)."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __enter__(self) -> IndexedRows | None:
        self._collection._lock.acquire()
        try:
            self._collection._state()
        except ClosedError:
            self._collection._lock.release()
            raise
        return self._collection._rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._collection._lock.release()


def _refuse_known(ids: Sequence[str], rows: IndexedRows, where: str) -> None:
    for row, name in enumerate(ids):
        if rows.rows.slot_of(name) is not None:
            raise DuplicateIdError(
                f"{where}, row {row}: id {name!r} exists already; upsert replaces documents"
            )
