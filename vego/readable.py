"""What can be asked of a collection: its reading verbs. None of them waits for a writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import lance_fmt
from vego import display
from vego.document import Document, check_id
from vego.errors import ClosedError, InvalidArgumentError, NotFoundError
from vego.hits import BatchResult, Hits
from vego.index import Accepted, Calibration, Metric, VectorIndex
from vego.index.indexed_rows import IndexedRows, State
from vego.index.vector_index import Cancel
from vego.index_report import IndexReport, report_of
from vego.options import CollectionOptions
from vego.planner import Effort, Plan
from vego.queries import Limit, check_distance, check_effort, check_k, check_queries, check_query
from vego.query import Expr, evaluate, fields_of, parse_filter, unknown_field_error
from vego.search import Searcher, up_to
from vego.table.export import schema_of, table_of
from vego.table.partition import PartitionInfo
from vego.table.pruning import PartitionFilter, partitions_of
from vego.table.snapshot import RowSnapshot
from vego.vector_type import Element, VectorType

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
        self._where = f"search in collection {name!r}"
        self._efforts: tuple[Calibration | None, dict[int, Effort]] = (None, {})

    # -- about -----------------------------------------------------------------------------------

    @property
    def dimension(self) -> int | None:
        """Components of every vector; None until the first insert where it was not given."""
        return None if self._rows is None else self._rows.rows.manifest.dimension

    @property
    def vector_type(self) -> VectorType:
        """What its vectors are made of, and how many components they have, as far as that is known."""
        if self._rows is None:
            return VectorType(Element(self.options.dtype))
        return self._rows.rows.manifest.vectors

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
        """The document of that id as inserted, its vector an array of what is stored (`dtype`), or None."""
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
        max_distance: float | None = None,
        ef: int | None = None,
        rerank: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        timeout: float | None = None,
        cancel: Cancel = None,
    ) -> Hits:
        """The k documents nearest to `vector` (d,), of those that pass `filter`; k hits whenever k rows match.

        filter: `vego.field("year") >= 2020`, "year >= 2020", or {"year": {"$gte": 2020}}.
        max_distance: only those at most so far away, which may be fewer than k.
        target_recall: share of the true nearest to find (default: the collection's), from which `ef`, candidates held
        in the walk of the graph, and `rerank`, candidates scored exactly, are chosen where they are not given;
        `exact=True` scans. Under cosine, a vector of zeros is at distance 1 from everything.
        timeout: seconds, and cancel: a callable or an Event, looked at between pieces of some milliseconds: the search
        then raises SearchTimeoutError or SearchCancelledError, and never returns part of an answer.
        Equal distances come in the order of insertion.
        Raises InvalidVectorError, FilterError, UnknownOptionError.
        """
        state, where = self._state(), self._where
        check_k(k, where)
        query, blank = check_query(vector, self.vector_type, where)
        if max_distance is not None:
            max_distance = check_distance(max_distance, where)
        index = None if state is None else state.index
        if ef is None and rerank is None and target_recall is None and not exact:
            effort = self._usual_effort(index, k, where)
        else:
            effort = check_effort(
                self.options, index, k, where, ef=ef, rerank=rerank, exact=exact, target_recall=target_recall
            )
        limit = None if timeout is None and cancel is None else self._limit(timeout, cancel)
        if state is None:
            return Hits.empty(self.metric)
        if blank and self.metric is Metric.COSINE:
            effort = effort._replace(exact=True)
        searcher = Searcher(state.snapshot.view, index, self.metric)
        accept = self._accepted(filter, state)
        plan = searcher.plan(effort, accept)
        if limit is not None:
            limit.check()
        slots, distances = searcher.run(query, k, plan, accept, limit)
        if max_distance is not None:
            slots, distances = up_to(max_distance, slots, distances)
        return Hits(state.snapshot, slots, distances, self.metric)

    def search_range(
        self,
        vector: ArrayLike,
        max_distance: float,
        *,
        filter: Filter = None,
        limit: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        timeout: float | None = None,
        cancel: Cancel = None,
    ) -> Hits:
        """All documents at most `max_distance` away from `vector` (d,) that pass `filter`, nearest first.

        With a graph, about `target_recall` of them (default: the collection's), as `search` finds of the nearest;
        where they are more than some hundred, and with `exact=True`, all. limit: the nearest so many only.
        Other arguments and errors as for `search`.
        """
        state, where = self._state(), self._where
        query, blank = check_query(vector, self.vector_type, where)
        radius = check_distance(max_distance, where)
        if limit is not None:
            check_k(limit, f"{where}: limit")
        stop = self._limit(timeout, cancel)

        def effort_of(k: int) -> Effort:
            index = None if state is None else state.index
            scanned = exact or (blank and self.metric is Metric.COSINE)
            return check_effort(self.options, index, k, where, exact=scanned, target_recall=target_recall)

        effort_of(1)
        if state is None or not len(self):
            return Hits.empty(self.metric)
        searcher = Searcher(state.snapshot.view, state.index, self.metric)
        accept = self._accepted(filter, state)
        most = state.snapshot.view.rows if limit is None else limit
        if stop is not None:
            stop.check()
        slots, distances = searcher.within(query, radius, most, effort_of, accept, stop)
        return Hits(state.snapshot, slots, distances, self.metric)

    def search_batch(
        self,
        vectors: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        ef: int | None = None,
        rerank: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        threads: int | None = None,
        timeout: float | None = None,
        cancel: Cancel = None,
    ) -> BatchResult:
        """The k nearest documents to each of m queries (m, d): ids (m, k) and distances (m, k).

        threads: how many queries are answered at a time; None uses every processor this process may run on.
        Other arguments and errors as for `search`.
        """
        state, where = self._state(), self._where
        check_k(k, where)
        queries = check_queries(vectors, 2, self.vector_type, where)
        index = None if state is None else state.index
        effort = check_effort(
            self.options, index, k, where, ef=ef, rerank=rerank, exact=exact, target_recall=target_recall
        )
        limit = self._limit(timeout, cancel)
        if state is None:
            return BatchResult(
                np.full((len(queries), k), None, object), np.full((len(queries), k), np.inf, np.float32)
            )
        searcher = Searcher(state.snapshot.view, index, self.metric)
        accept = self._accepted(filter, state)
        plan = searcher.plan(effort, accept)
        slots, distances = searcher.run_batch(queries, k, plan, accept, threads, limit)
        blank = ~queries.any(axis=1) if self.metric is Metric.COSINE else np.zeros(0, np.bool_)
        if blank.any():
            plan = searcher.plan(effort._replace(exact=True), accept)
            slots[blank], distances[blank] = searcher.run_batch(queries[blank], k, plan, accept, 1, limit)
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
        rerank: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
    ) -> Plan:
        """How `search` with these arguments is answered, why, and how many rows it visits; it carries it out."""
        state, where = self._state(), self._where
        check_k(k, where)
        query, blank = check_query(vector, self.vector_type, where)
        index = None if state is None else state.index
        effort = check_effort(
            self.options, index, k, where, ef=ef, rerank=rerank, exact=exact, target_recall=target_recall
        )
        if state is None:
            return Plan("empty", "the collection is empty", 0, 0, 0, effort.ef, effort.rerank, 0)
        searcher = Searcher(state.snapshot.view, index, self.metric)
        accept = self._accepted(filter, state)
        if blank and self.metric is Metric.COSINE:
            plan = searcher.plan(effort._replace(exact=True), accept)
            reason = "a vector of zeros has no direction: everything is at distance 1"
            return self._with_pruning(plan._replace(reason=reason, visited=plan.matches), filter, state)
        plan = searcher.plan(effort, accept)
        return self._with_pruning(searcher.explained(query, k, plan, accept), filter, state)

    def _with_pruning(self, plan: Plan, filter: Filter, state: State) -> Plan:
        expr = parse_filter(filter)
        if expr is None or self.options.partition_by is None:
            return plan
        found = PartitionFilter(expr, self.options.partition_by).pruned(state.snapshot)
        return plan._replace(partitions=found.partitions, pruned=found.none, taken=found.all)

    def partitions(self) -> list[PartitionInfo]:
        """Every partition: its value, documents, segment files and their bytes; none first, then false, true, numbers,
        text.

        Raises InvalidArgumentError where the collection was made without `partition_by`.
        """
        key = self._partition_key("partitions")
        state = self._state()
        return [] if state is None else partitions_of(state.snapshot, key)

    def index_report(self) -> IndexReport:
        """The index: what it covers, its parameters and size, and the recall that was measured on it."""
        state = self._state()
        return report_of(self.name, self.metric, self.options, None if self._rows is None else state)

    @property
    def schema(self) -> lance_fmt.Schema:
        """The columns of `to_table`: `id`, `vector`, and the metadata keys with their types."""
        state = self._state()
        return lance_fmt.Schema([]) if state is None else schema_of(state.snapshot)

    def to_table(self, columns: Sequence[str] | None = None, *, filter: Filter = None) -> lance_fmt.Table:
        """Columns (None: all of `schema`) of the documents (None: all) that pass `filter`, oldest first.

        Keys whose values are of several types become JSON; a document without a key has a null there. Raises
        UnknownFieldError, FilterError, CorruptionError.
        """
        state = self._state()
        if state is None:
            return lance_fmt.Table({})
        rows, accept = state.snapshot.view.rows, self._accepted(filter, state)
        slots = np.arange(rows) if accept is None else accept.slots(0, rows).astype(np.int64)
        return table_of(state.snapshot, schema_of(state.snapshot), slots, columns)

    # -- inside ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"collection {self.name!r} {self._closed}; open the database again")

    def _state(self) -> State | None:
        if self._closed:
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

    def _accepted(self, filter: Filter, state: State) -> Accepted | None:
        """The live slots that pass the filter; None where all slots there are do."""
        view = state.snapshot.view
        expr = None if filter is None else parse_filter(filter)
        if expr is None:
            return None if view.live_count == view.rows else Accepted(view.live, view.live_count)
        key = expr.key()
        accepted = state.accepted.get(key)
        if accepted is None:
            mask = self._matching(expr, state)
            if view.live_count < view.rows:
                np.logical_and(mask, view.live, out=mask)
            accepted = Accepted(mask)
            state.accepted.keep(key, accepted, expr.nbytes)
        return accepted

    def _matching(self, expr: Expr, state: State) -> NDArray[np.bool_]:
        """A mask of its own of the slots that pass the filter, live or dead."""
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

    def _usual_effort(self, index: VectorIndex | None, k: int, where: str) -> Effort:
        """`check_effort` where the call says nothing; kept until recall is measured anew."""
        measured = None if index is None else index.calibration
        if index is not None and measured is None:  # how hard to try goes with what is there now
            return check_effort(self.options, index, k, where)
        known = self._efforts
        if known[0] is not measured:
            self._efforts = known = (measured, {})
        effort = known[1].get(k)
        if effort is None:
            effort = known[1][k] = check_effort(self.options, index, k, where)
        return effort

    def _limit(self, timeout: float | None, cancel: Cancel) -> Limit | None:
        clock = (lambda: 0.0) if self._rows is None else self._rows.monotonic
        return Limit.of(clock, timeout, cancel, self._where)

    def _partition_key(self, verb: str) -> str:
        key = self.options.partition_by
        if key is None:
            raise InvalidArgumentError(
                f"{self.name}.{verb}: the collection has no partitions; a new one has them where it is made with "
                "partition_by=KEY"
            )
        return key
