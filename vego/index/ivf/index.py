"""IvfIndex: inverted lists as the database uses them. Vectors stay with the caller; a slot is a position."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lance_fmt import Column
from vego.errors import InvalidArgumentError
from vego.index.accepted import Accept, Accepted, mask_of
from vego.index.calibration import Calibrated, Calibration, ladder
from vego.index.codes import coder_class
from vego.index.codes.coder import Call
from vego.index.flat import exact_search
from vego.index.ivf.clustering import Run, nearest, train_centroids
from vego.index.ivf.lists import InvertedLists
from vego.index.ivf.params import IVF_METRICS, IvfParams
from vego.index.ivf.storage import FORMAT, read_lists, write_lists
from vego.index.metrics import Metric
from vego.index.threads import in_pieces, thread_count
from vego.index.vector_index import Cancel, Progress, asked_of, check_known, check_stop, kept_slots
from vego.index.views import candidate_rows, padding, trimmed, vector_rows, vectors_of
from vego.index.way import GATHER_ROWS, Way
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

DEFAULT_EF = 64
DEEPEST = 20  # rows scored exactly, in k, while recall by lists is measured
USUAL_LISTS = 64  # looked at where nobody says how many, at least
USUAL_SHARE = 8  # of so many lists one is looked at
CHUNK = 8192  # rows encoded between two reports of progress
PIECE = 2048  # rows encoded by a thread at a time
SAMPLE_OF_A_LIST = 128
LEAST_SAMPLE = 16_384
RETRAIN = 4  # lists and codes are made anew when there are so many times as many rows


class IvfIndex(Calibrated):
    """Approximate nearest neighbours by inverted lists (Sivic and Zisserman 2003; Jegou et al. 2011).

    Rows belong to the nearest of many centroids; a search scans the codes of the `nprobe` lists with the nearest
    centroids and scores the best in float32 from the caller's vectors, so distances returned are exact. With one
    list it is a scan of all codes. Searches may run in any number of threads, also while one thread extends.
    """

    kind: ClassVar[str] = "ivf"
    format: ClassVar[str] = FORMAT
    metrics: ClassVar[Collection[Metric]] = IVF_METRICS
    on_disk: ClassVar[bool] = False
    gather_rows: ClassVar[int] = GATHER_ROWS

    def __init__(
        self, metric: Metric | str, dimension: int, code: str = "pq", lists: int = 0, seed: int = 0
    ) -> None:
        self.params = IvfParams(
            metric=Metric.parse(metric), dimension=dimension, code=code, lists=lists, seed=seed
        )
        self._extending = threading.Lock()
        self._lists: InvertedLists | None = None

    def copy(self) -> IvfIndex:
        """An index of the same rows; nothing is copied, as arrays are never changed."""
        other = IvfIndex.__new__(IvfIndex)
        other.params = self.params
        other._extending = threading.Lock()
        other._lists = self._lists
        other.calibration = self.calibration
        return other

    def to_columns(self) -> tuple[dict[str, Column], dict[str, str]]:
        """Columns (one row per slot) and metadata for `lance_fmt.write`; see vego/index/ivf/storage.py."""
        columns, metadata = write_lists(self._lists, self.params)
        return columns, metadata | self.measured()

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Column], metadata: Mapping[str, str], path: str = "index"
    ) -> IvfIndex:
        """The index that `to_columns` gave.

        Raises CorruptionError naming `path` where columns and metadata contradict each other, NewerVersionError
        for a later version.
        """
        params, lists = read_lists(columns, metadata, path)
        index = cls(params.metric, params.dimension, params.code, params.lists, params.seed)
        index._lists = lists
        index.calibration = Calibration.stored_in(metadata, path)
        return index

    def __repr__(self) -> str:
        p = self.params
        kind = f"{p.metric.value}, dimension={p.dimension}, code={p.code!r}"
        return f"IvfIndex({kind}, lists={self.lists:,}, rows={self.rows:,})"

    @property
    def rows(self) -> int:
        """Slots [0, rows) are indexed."""
        return 0 if self._lists is None else self._lists.rows

    @property
    def lists(self) -> int:
        """Lists there are."""
        return 0 if self._lists is None else len(self._lists.centroids)

    @property
    def metric(self) -> Metric:
        """The metric the lists were built for."""
        return self.params.metric

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.params.dimension

    @property
    def nbytes(self) -> int:
        """Bytes of memory the index holds."""
        return 0 if self._lists is None else self._lists.nbytes

    def memory(self) -> dict[str, int]:
        """`nbytes` by part: "codes", and "other"."""
        codes = 0 if self._lists is None else sum(array.nbytes for array in self._lists.arrays.values())
        return {"codes": codes, "other": self.nbytes - codes}

    def parameters(self) -> dict[str, int]:
        """How it was built, by name."""
        return {"lists": self.lists, "seed": self.params.seed}

    def efforts(self, k: int) -> list[int]:  # noqa: ARG002
        """The numbers of lists at which recall is measured."""
        return ladder(self.lists)

    def deepest(self, k: int, ef: int) -> int:  # noqa: ARG002
        """How many rows the coarsest codes can make necessary to score exactly."""
        lists = self._lists
        exact = lists is None or lists.coder.default_rerank(k) <= k
        return k if exact else DEEPEST * k

    def effort(self, k: int, target: float) -> tuple[int, int] | None:
        """The number of lists that reaches a recall of `target`, and how many rows to score exactly."""
        if self.calibration is None or self._lists is None:
            return None
        nprobe, rerank = self.calibration.effort(k, target)
        return min(nprobe, self.lists), max(rerank, self._lists.coder.default_rerank(k))

    def usual_effort(self, k: int) -> tuple[int, int]:
        """Lists looked at by a search that does not say how many, an eighth at least 64, and rows scored exactly."""
        lists = self._lists
        depth = k if lists is None else max(k, lists.coder.default_rerank(k))
        return max(USUAL_LISTS, self.lists // USUAL_SHARE), depth

    def bounded(self, k: int, ef: int, rerank: int) -> tuple[int, int]:  # noqa: ARG002
        """Any: further lists are looked at where the first have too few rows."""
        return ef, rerank

    def way(self, slots: int, accepted: int, ef: int) -> Way:
        """The nearest lists: more of them under a mask, so that as many rows are looked at that are accepted."""
        if self.lists == 1:
            reason = "there is one list, of all rows: the codes of those that match are scanned"
            return Way("lists", reason, ef)
        ef = min(-(-ef * slots // accepted), self.lists)
        return Way("lists", f"rows of the nearest lists are scanned, of {ef:,} of {self.lists:,} lists", ef)

    def explained(
        self,
        vectors: Array | Vectors,  # noqa: ARG002
        inverse_norms: Array | None,  # noqa: ARG002
        query: Array,  # noqa: ARG002
        k: int,  # noqa: ARG002
        way: Way,
        rerank: int,  # noqa: ARG002
        accept: Accept | None = None,
    ) -> Way:
        """`way` with the rows of all lists, where it looks at all; nobody counts those of some lists."""
        if way.ef < self.lists:
            return way
        rows = self.rows
        return way._replace(visited=rows if accept is None else Accepted.of(accept, rows).count_below(rows))

    def extend(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        stop: int,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel = None,
    ) -> int:
        """Index the slots [rows, stop) of `vectors` (n >= stop, d) float32; returns `rows` afterwards.

        Where there are four times as many rows as when centroids and codes were learned, they are learned anew and
        all rows are encoded again. `progress(done, total)` is called after each 8,192 rows. When `cancel` says so
        the call returns early, with what is finished indexed. The lists do not depend on `threads`.
        """
        known = vectors_of(vectors, inverse_norms, self.dimension, self.metric)
        check_stop(self.rows, stop, len(known))
        stopped = asked_of(cancel)
        workers = thread_count(threads)
        with self._extending, ThreadPoolExecutor(workers) as pool:
            if stop <= self.rows:
                return self.rows
            run: Run = pool.map if workers > 1 else map
            lists = self._lists
            if lists is None or stop >= RETRAIN * lists.trained_rows:
                lists = self._trained(known, stop, run)
            numbers: list[Array] = []
            columns: list[dict[str, Array]] = []
            done = lists.rows
            while done < stop:
                points = self._points(known, np.arange(done, min(done + CHUNK, stop)))
                numbers.append(nearest(points, lists.centroids, lists.scale, run))
                columns.extend(_encoded(lists, points, numbers[-1], run))
                done += len(points)
                if progress is not None:
                    progress(done, stop)
                if stopped():
                    break
            if done > self.rows:  # else lists made anew have not got as far as those there are
                merged = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
                self._lists = lists.extended(np.concatenate(numbers), merged)
        return self.rows

    def _trained(self, vectors: Vectors, stop: int, run: Run) -> InvertedLists:
        """Lists without rows, learned from a sample of the first `stop` vectors."""
        p = self.params
        number = p.lists_for(stop)
        size = min(stop, max(SAMPLE_OF_A_LIST * number, LEAST_SAMPLE))
        # An even sample in an order of chance, of which every part is a sample as well.
        picks = np.linspace(0, stop - 1, size).astype(np.int64)
        picks = picks[np.argsort(np.random.PCG64(p.seed).random_raw(size), kind="stable")]
        sample = self._points(vectors, picks)
        with np.errstate(over="ignore"):  # see `_search`: such rows are found by an exact scan
            centroids, scale = train_centroids(sample, number, p.seed, run)
            own = nearest(sample, centroids, scale, run)
            coder = coder_class(p.code).train(p.metric, sample - centroids[own], sample, p.seed)
        return InvertedLists.empty(p.metric, coder, centroids, scale, stop)

    def _points(self, vectors: Vectors, slots: npt.NDArray[np.int64]) -> Array:
        """A copy of some of the vectors, of length 1 under cosine."""
        points = vectors.floats(slots)
        if self.metric is Metric.COSINE:
            points *= vectors.inverse_norms(slots)[:, None]
        return points

    def without(
        self,
        removed: Array,
        *,
        order: Array | None = None,
        threads: int | None = None,  # noqa: ARG002
    ) -> IvfIndex:
        """An index of the slots that `removed`, bool (rows,), does not mark, in the same order; this one stays.

        `order`, int64: the slots that stay, each once, in the order in which they come instead. Raises
        InvalidArgumentError for a mask of another length, or an order of other slots.
        """
        kept = kept_slots(removed, order, self.rows)
        other = self.copy()
        if other._lists is not None:
            other._lists = other._lists.only(kept) if len(kept) else None
        return other

    def search(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = 0,
        accept: Accept | None = None,
        *,
        nprobe: int | None = None,
    ) -> Found:
        """The k nearest indexed slots of one query (d,), nearest first: slots int64, distances float32.

        `nprobe` lists are looked at, `ef` if it is not given, and as many rows scored exactly as the code needs, at
        most, or `rerank` if that is more. With `accept` (bool, one per slot) only accepted slots are returned, and only
        lists that have any count; k of them come whenever k are indexed.
        Raises DimensionMismatchError, InvalidVectorError, InvalidArgumentError.
        """
        query = np.asarray(query, np.float32)
        slots, distances = self.search_batch(
            vectors, inverse_norms, query.reshape(1, -1), k, ef, rerank, accept, nprobe=nprobe
        )
        return trimmed(slots[0], distances[0])

    def search_batch(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        queries: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = 0,
        accept: Accept | None = None,
        threads: int | None = 1,
        *,
        nprobe: int | None = None,
    ) -> Found:
        """`search` for each of `queries` (m, d): slots (m, k) padded with -1, distances with infinity."""
        queries = vector_rows(queries, self.dimension, "queries")
        slots, distances = padding(len(queries), k)
        lists = self._lists
        known = vectors_of(vectors, inverse_norms, self.dimension, self.metric)
        if nprobe is not None and nprobe < 1:
            raise InvalidArgumentError(f"nprobe: expected at least 1, found {nprobe}")
        if lists is None:
            return slots, distances
        check_known(lists.rows, known)
        mask = mask_of(accept, lists.rows)
        probing = lists.probing
        if accept is not None:
            probing = probing._replace(sizes=lists.accepted_sizes(mask))
        while True:
            table, norms = known.kernel_tables()
            call = Call(
                metric=self.metric.code,
                vectors=table,
                inverse_norms=norms,
                probing=probing,
                members=lists.members,
                nprobe=max(1, ef) if nprobe is None else nprobe,
                rerank=max(rerank, k, lists.coder.default_rerank(k)),
                accept=mask,
            )
            left = self._search(lists, call, queries, slots, distances, thread_count(threads))
            if not known.unsettled(table):
                break
        if len(left):  # distances that overflowed: no bound holds for them
            rows = np.flatnonzero(mask[: lists.rows]) if len(mask) else None
            slots[left], distances[left] = exact_search(
                self.metric, known, None, queries[left], k, stop=lists.rows, rows=rows
            )
        return slots, distances

    def _search(
        self, lists: InvertedLists, call: Call, queries: Array, slots: Array, distances: Array, threads: int
    ) -> npt.NDArray[np.int64]:
        """Search, and look at more lists for queries that found fewer than there are.

        Returns the numbers of the queries for which even all lists did not help.
        """
        available = int(call.probing.sizes.sum())
        useful = int(np.count_nonzero(call.probing.sizes))
        if available == 0:
            return np.empty(0, np.int64)
        call = call._replace(rerank=min(call.rerank, available), nprobe=min(call.nprobe, useful))
        left = np.arange(len(queries))
        while True:
            part = slice(None) if len(left) == len(queries) else left
            found, far = slots[part], distances[part]
            self._probe(lists, call, queries[part], found, far, threads)
            slots[part], distances[part] = found, far
            left = left[found[:, min(slots.shape[1], available) - 1] < 0]
            if not len(left) or call.nprobe >= useful:
                return left
            call = call._replace(nprobe=min(4 * call.nprobe, useful))

    @staticmethod
    def _probe(
        lists: InvertedLists, call: Call, queries: Array, slots: Array, distances: Array, threads: int
    ) -> None:
        def task(first: int, last: int) -> None:
            part = slice(first, last)
            lists.coder.search(call, lists.arrays, queries[part], slots[part], distances[part])

        in_pieces(task, len(queries), threads)

    def scan_codes(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        rerank: int,  # noqa: ARG002
        rows: Array,
    ) -> Found:
        """The k nearest of the given indexed slots (uint32, no repeats), all scored exactly.

        Codes of 4 bits are quick to scan by the block only, and lists keep no way from a slot to its code.
        """
        query = vector_rows(np.asarray(query, np.float32).reshape(1, -1), self.dimension, "query")
        picked = candidate_rows(rows, self.rows)
        slots, distances = exact_search(self.metric, vectors, inverse_norms, query, k, rows=picked)
        return trimmed(slots[0], distances[0])


def _encoded(lists: InvertedLists, points: Array, numbers: Array, run: Run) -> list[dict[str, Array]]:
    """The columns of codes of `points`, piece by piece."""

    def task(first: int) -> dict[str, Array]:
        piece = slice(first, first + PIECE)
        return lists.coder.encode(points[piece], lists.centroids, numbers[piece])

    return list(run(task, range(0, len(points), PIECE)))
