"""DiskIndex: a graph that is searched where it lies, on the disk, with codes in memory to find the way.

The slots are cut into parts, each a graph of its own. What was extended is in memory until it is saved; then the caller
takes the index from its file (`vego/index/index_file.py`), and all of it is on the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lance_fmt import Column
from vego.errors import InvalidArgumentError
from vego.index.accepted import Accept, mask_of
from vego.index.calibration import Calibration
from vego.index.disk.parts import FreshPart, Part, source_of
from vego.index.disk.storage import FORMAT, read_parts, write_parts
from vego.index.hnsw.index import DEFAULT_EF, DEFAULT_RERANK, HnswIndex
from vego.index.hnsw.params import HnswParams
from vego.index.kernels.filter_costs import scan_beats_reads
from vego.index.metrics import Metric
from vego.index.threads import thread_count
from vego.index.vector_index import MAX_ROWS, Cancel, Progress, check_known, check_removed, check_stop
from vego.index.views import (
    ALL,
    candidate_rows,
    merged,
    padding,
    result_arrays,
    trimmed,
    vector_rows,
    vectors_of,
)
from vego.index.walked import ALL_MATCH, Walked
from vego.index.way import Way
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

DISK_METRICS = (Metric.L2, Metric.COSINE, Metric.INNER_PRODUCT)
PART_ROWS = 1 << 25  # a graph of so many rows is built in 7 GB of memory
WIDEST_CODE = 128
SHARE = 4  # a part is joined with what comes behind it once that is a quarter of it


class DiskIndex(Walked):
    """Approximate nearest neighbours by graphs in a file, in bounded memory (Subramanya et al., DiskANN, NeurIPS 2019).

    The graphs are those of `HnswIndex`, their codes at most 128 bytes a row where the metric lets dimensions be left
    out. A node's record holds its links and its vector, so a walk reads `ef` records, several at once, and scores each
    exactly; vectors that the caller has are looked at for what is not saved yet. One file holds all parts; a part has
    at most `part_rows` rows, which bounds the memory for building.
    """

    kind: ClassVar[str] = "disk"
    format: ClassVar[str] = FORMAT
    metrics: ClassVar[Collection[Metric]] = DISK_METRICS
    on_disk: ClassVar[bool] = True
    gather_rows: ClassVar[int] = 0  # vectors are on the disk, codes are not

    def __init__(
        self,
        metric: Metric | str,
        dimension: int,
        m: int = 16,
        ef_construction: int = 128,
        seed: int = 0,
        part_rows: int = PART_ROWS,
    ) -> None:
        params = HnswParams(
            metric=Metric.parse(metric), dimension=dimension, m=m, ef_construction=ef_construction, seed=seed,
            widest_code=WIDEST_CODE,
        )  # fmt: skip
        if params.metric not in DISK_METRICS:
            known = ", ".join(metric.value for metric in DISK_METRICS)
            raise InvalidArgumentError(
                f"metric: a graph on the disk knows {known}, found {params.metric.value!r}"
            )
        if isinstance(part_rows, bool) or not isinstance(part_rows, int) or not 1 <= part_rows <= MAX_ROWS:
            raise InvalidArgumentError(f"part_rows: expected 1 to {MAX_ROWS:,}, found {part_rows!r}")
        self._begin(params, part_rows, ())

    def _begin(self, params: HnswParams, part_rows: int, parts: tuple[Part, ...]) -> None:
        self.params = params
        self.part_rows = part_rows
        self._parts = parts
        self._extending = threading.Lock()

    def _with(self, parts: tuple[Part, ...]) -> DiskIndex:
        other = DiskIndex.__new__(DiskIndex)
        other._begin(self.params, self.part_rows, parts)
        other.calibration = self.calibration
        return other

    def copy(self) -> DiskIndex:
        """An index of the same rows; what is on the disk is not copied."""
        with self._extending:
            return self._with(tuple(_copied(part) for part in self._parts))

    def to_columns(self) -> tuple[dict[str, Column], dict[str, str]]:
        """Columns (one row per slot) and metadata for `lance_fmt.write`, which makes records as it writes them.

        Whoever writes them gets CorruptionError where records or vectors are damaged. See vego/index/disk/storage.py.
        """
        columns, metadata = write_parts(self._parts, self.params, self.part_rows)
        return columns, metadata | self.measured()

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Column], metadata: Mapping[str, str], path: str = "index"
    ) -> DiskIndex:
        """The index that `to_columns` gave; its records may be a view of a file, and are not looked at here.

        Raises CorruptionError naming `path` where columns and metadata contradict each other, NewerVersionError for a
        later version.
        """
        params, part_rows, parts = read_parts(columns, metadata, path, WIDEST_CODE)
        index = cls.__new__(cls)
        index._begin(params, part_rows, parts)
        index.calibration = Calibration.stored_in(metadata, path)
        return index

    def __repr__(self) -> str:
        p = self.params
        kind = f"{p.metric.value}, dimension={p.dimension}, m={p.m}"
        return f"DiskIndex({kind}, parts={len(self._parts)}, rows={self.rows:,})"

    @property
    def rows(self) -> int:
        """Slots [0, rows) are indexed."""
        return sum(part.rows for part in self._parts)

    @property
    def metric(self) -> Metric:
        """The metric the graphs were built for."""
        return self.params.metric

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.params.dimension

    @property
    def code_width(self) -> int:
        """Bytes of the code of one row, of the widest part."""
        return max((part.graph.scale.code_width for part in self._parts), default=0)

    @property
    def nbytes(self) -> int:
        """Bytes of memory or mapped file the index holds."""
        return sum(self.memory().values())

    def memory(self) -> dict[str, int]:
        """`nbytes` by part: "codes", "links", "other" in memory, "records" in the file."""
        total = dict.fromkeys(("codes", "links", "other", "records"), 0)
        for part in self._parts:
            for name, size in part.memory().items():
                total[name] += size
        return total

    def parameters(self) -> dict[str, int]:
        """How it was built, by name."""
        p = self.params
        return {"m": p.m, "ef_construction": p.ef_construction, "seed": p.seed, "parts": len(self._parts)}

    # -- building --------------------------------------------------------------------------------

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

        New rows go to a part in memory; one before it that is no more than four times as large is read into memory and
        extended instead. The call ends early, with `part_rows` rows in the last part, where the rest would make that
        larger: it is to be saved before more are indexed. `progress(done, total)` is called after each batch of up to
        1,024 rows. When `cancel` says so the call returns early. The graph does not depend on `threads`.
        Raises CorruptionError where what is read is damaged.
        """
        known = vectors_of(vectors, inverse_norms, self.dimension, self.metric)
        with self._extending:
            check_stop(self.rows, stop, len(known))
            if stop <= self.rows:
                return self.rows
            before, index = self._begun(stop)
            first = sum(part.rows for part in before)
            behind = known.behind(first)
            report = None if progress is None else lambda done, _: progress(first + done, stop)
            last = min(stop - first, self.part_rows)
            index.extend(behind, None, last, threads=threads, progress=report, cancel=cancel)
            if first + index.rows >= self.rows:  # else rows that were in two parts are not yet in one
                self._parts = (*before, FreshPart(index, source_of(behind, self.metric)))
        return self.rows

    def _begun(self, stop: int) -> tuple[tuple[Part, ...], HnswIndex]:
        """The parts that stay as they are, and the graph behind them, which is to be extended up to `stop`."""
        parts = self._parts
        while parts:
            last, start = parts[-1], sum(part.rows for part in parts[:-1])
            fresh = isinstance(last, FreshPart)
            if not fresh and (stop - start - last.rows) * SHARE < last.rows:
                break
            if stop - start > self.part_rows and not (fresh and last.rows < self.part_rows):
                break
            parts = parts[:-1]
        kept = len(parts)
        if kept == len(self._parts):
            return parts, HnswIndex.of(self.params)
        last = self._parts[kept]
        if isinstance(last, FreshPart):
            return parts, last.index
        room = min(stop - sum(part.rows for part in parts), self.part_rows)
        return parts, last.in_memory(max(room, last.rows))

    def without(self, removed: Array, *, order: Array | None = None, threads: int | None = None) -> DiskIndex:
        """An index of slots that `removed`, bool (rows,), does not mark, in the same order; this one stays.

        A part that loses slots is read into memory. `order`, int64: the slots that stay, each once, in the order in
        which they come instead. Where that mixes slots of several parts, the outcome has only the rows before these:
        the others are to be indexed anew. Raises CorruptionError, and InvalidArgumentError for a mask of another
        length, or an order of other slots.
        """
        removed = check_removed(removed, order, self.rows)
        parts: list[Part] = []
        first = done = 0
        for part in self._parts:
            stop = first + part.rows
            gone = removed[first:stop]
            count = part.rows - int(np.count_nonzero(gone))
            mine = None if order is None else np.asarray(order[done : done + count], np.int64) - first
            if mine is not None and len(mine) and not 0 <= int(mine.min()) <= int(mine.max()) < part.rows:
                break
            in_order = mine is None or bool((np.diff(mine) > 0).all())
            if count == part.rows and in_order:
                parts.append(part)
            elif count:
                parts.append(part.without(gone, None if in_order else mine, threads))
            first, done = stop, done + count
        return self._with(tuple(parts))

    # -- how to search ---------------------------------------------------------------------------

    @staticmethod
    def bounded(k: int, ef: int, rerank: int) -> tuple[int, int]:
        """A walk holds all that it finds; `rerank` is of scans of codes, which score more than that."""
        return max(ef, k), rerank

    def way(self, slots: int, accepted: int, ef: int) -> Way:
        """A walk, or a scan of codes where that costs less than the reads of a walk past what is not accepted."""
        if accepted == slots:
            return Way("graph", ALL_MATCH, ef)
        if scan_beats_reads(accepted, slots, self.code_width, ef):
            reason = "scanning the codes of the matches costs less than reading nodes that do not match"
            return Way("codes", reason, ef)
        return Way("filtered graph", "so many rows match that a walk reads few others", ef)

    def explained(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        way: Way,
        rerank: int,
        accept: Accept | None = None,
    ) -> Way:
        """`way`, a walk, after it has been gone: with the records it read. Under a mask nobody counts them."""
        if accept is not None:
            return way
        return way._replace(visited=self.visited(vectors, inverse_norms, query, k, way.ef, rerank))

    # -- searching -------------------------------------------------------------------------------

    def search(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = DEFAULT_RERANK,
        accept: Accept | None = None,
    ) -> Found:
        """The k nearest indexed slots of one query (d,), nearest first: slots int64, distances float32.

        `ef` candidates are held on the walk (at least k), and each is scored exactly; `rerank` counts for parts in
        memory, and where codes are scanned. With `accept` (bool, one per slot) only accepted slots are returned, k
        of them whenever k are indexed. Raises DimensionMismatchError, InvalidVectorError, InvalidArgumentError;
        CorruptionError where a record is damaged.
        """
        query = np.asarray(query, np.float32)
        slots, distances = self.search_batch(
            vectors, inverse_norms, query.reshape(1, -1), k, ef, rerank, accept
        )
        return trimmed(slots[0], distances[0])

    def search_batch(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        queries: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = DEFAULT_RERANK,
        accept: Accept | None = None,
        threads: int | None = 1,
    ) -> Found:
        """`search` for each of `queries` (m, d): slots (m, k) padded with -1, distances with infinity."""
        queries = vector_rows(queries, self.dimension, "queries")
        parts = self._parts
        known = self._known(vectors, inverse_norms)
        mask = mask_of(accept, sum(part.rows for part in parts))
        found = []
        for first, part in _numbered(parts):
            some = mask[first:] if len(mask) else ALL
            slots, distances = part.search(
                known.behind(first), queries, k, max(ef, k), max(rerank, k), some, thread_count(threads)
            )
            found.append((np.where(slots >= 0, slots + first, -1), distances))
        if not found:
            return padding(len(queries), k)
        return merged(found, k)

    def scan_codes(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        rerank: int,
        rows: Array,
    ) -> Found:
        """`search` among the given indexed slots (uint32, no repeats), by a scan of all their codes."""
        query = vector_rows(np.asarray(query, np.float32).reshape(1, -1), self.dimension, "query")
        result_arrays(1, k)
        known, parts = self._known(vectors, inverse_norms), self._parts
        candidates = candidate_rows(rows, self.rows)
        slots, distances = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for first, part in _numbered(parts):
            inside = (candidates >= first) & (candidates < first + part.rows)
            mine = candidates if inside.all() and first == 0 else candidates[inside] - np.uint32(first)
            if len(mine):
                near, far = part.scan(known.behind(first), query[0], k, max(rerank, k), mine)
                slots.append(near + first)
                distances.append(far)
        order = np.lexsort((np.concatenate(slots), np.concatenate(distances)))[:k]
        return np.concatenate(slots)[order], np.concatenate(distances)[order]

    def visited(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int,
        rerank: int,
    ) -> int:
        """How many records `search` reads for one query (d,); of what is in memory, how many nodes it scores."""
        query = vector_rows(np.asarray(query, np.float32).reshape(1, -1), self.dimension, "query")[0]
        known = self._known(vectors, inverse_norms)
        return sum(
            part.visited(known.behind(first), query, k, max(ef, k), max(rerank, k))
            for first, part in _numbered(self._parts)
        )

    def _known(self, vectors: Array | Vectors, inverse_norms: Array | None) -> Vectors:
        known = vectors_of(vectors, inverse_norms, self.dimension, self.metric)
        check_known(self.rows, known)
        return known


def _copied(part: Part) -> Part:
    return FreshPart(part.index.copy(), part.source, part.places) if isinstance(part, FreshPart) else part


def _numbered(parts: Sequence[Part]) -> list[tuple[int, Part]]:
    """First slot of each part, and the part."""
    return list(zip(accumulate((part.rows for part in parts), initial=0), parts, strict=False))
