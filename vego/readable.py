"""What can be asked of a collection: its reading verbs. None of them waits for a writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import lance_fmt
from vego import display
from vego.document import Document, Vector, check_id
from vego.errors import ClosedError, InvalidArgumentError, NotFoundError
from vego.hits import BatchResult, Hits
from vego.index import Metric
from vego.index.indexed_rows import IndexedRows, State
from vego.options import CollectionOptions
from vego.planner import Plan
from vego.queries import check_ef, check_k, check_queries
from vego.query import Expr, evaluate, fields_of, parse_filter, unknown_field_error
from vego.search import Searcher
from vego.table.export import schema_of, table_of
from vego.table.partition import PartitionInfo
from vego.table.pruning import PartitionFilter, partitions_of
from vego.table.snapshot import RowSnapshot

Filter = Expr | str | Mapping[str, Any] | None


class Readable:
    """Documents of one dimension and metric, as a search sees them: rows and graph as they were when it began."""

    def __init__(
        self, name: str, metric: Metric, options: CollectionOptions, rows: IndexedRows | None
    ) -> None:
        self.name = name
        self.metric = metric
        self.options = options
        self._rows = rows
        self._closed: str | None = None

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
        return display.collection_html(self, closed=self._closed is not None)

    def stats(self) -> dict[str, Any]:
        """Rows, files, bytes and index coverage, as a dict."""
        if self._state() is None or self._rows is None:
            return {"name": self.name, "documents": 0, "dimension": None, "metric": self.metric.value}
        return {"name": self.name, **self._rows.stats()}

    # -- reading ---------------------------------------------------------------------------------

    def get(self, id: str) -> Document | None:
        """The document of that id exactly as inserted (its vector as float32), or None."""
        if type(id) is not str:
            check_id(id, f"{self.name}.get")
        found = self._find(id)
        if found is None:
            return None
        snapshot, slot = found
        return Document(id, snapshot.view.vectors.row(slot).copy(), snapshot.metadata(slot))

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
        ids = np.full(slots.shape, None, object)
        ids[slots >= 0] = state.snapshot.view.ids.take(slots[slots >= 0])
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
        plan, expr = self._plan(state, filter, ef, exact)[1], parse_filter(filter)
        if expr is None or self.options.partition_by is None:
            return plan
        found = PartitionFilter(expr, self.options.partition_by).pruned(state.snapshot)
        return replace(plan, partitions=found.partitions, pruned=found.none, taken=found.all)

    def partitions(self) -> list[PartitionInfo]:
        """Every partition: its value, documents, segment files and their bytes; none first, then false, true, numbers,
        text.

        Raises InvalidArgumentError where the collection was made without `partition_by`.
        """
        key = self._partition_key("partitions")
        state = self._state()
        return [] if state is None else partitions_of(state.snapshot, key)

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

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"collection {self.name!r} {self._closed}; open the database again")

    def _state(self) -> State | None:
        self._check_open()
        return None if self._rows is None else self._rows.state

    def _created(self) -> IndexedRows:
        """The rows; there are none before the dimension is known."""
        self._check_open()
        if self._rows is None:
            raise NotFoundError(f"collection {self.name!r} is empty and has no version yet")
        return self._rows

    def _find(self, name: str) -> tuple[RowSnapshot, int] | None:
        return None if self._state() is None or self._rows is None else self._rows.rows.publication.find(name)

    def _matching(self, filter: Filter, state: State) -> NDArray[np.bool_] | None:
        expr = parse_filter(filter)
        if expr is None:
            return None
        assert self._rows is not None
        names = fields_of(expr)
        known, key = self._rows.rows.keys, self.options.partition_by
        for name in names:
            if name not in known and name != key:
                raise unknown_field_error(name, list(known), self.name)
        if key is not None:
            return PartitionFilter(expr, key).mask(state.snapshot, state.filters.by_source)
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

    def _partition_key(self, verb: str) -> str:
        key = self.options.partition_by
        if key is None:
            raise InvalidArgumentError(
                f"{self.name}.{verb}: the collection has no partitions; a new one has them where it is made with "
                "partition_by=KEY"
            )
        return key

    def _width(self) -> int:
        assert self._rows is not None
        return self._rows.rows.manifest.dimension
