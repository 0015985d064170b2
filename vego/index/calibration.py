"""What recall an index reaches at what effort, measured on the index itself when it is built and when it has grown.

The effort `ef` is the candidates of a graph walk, or the lists looked at. Queries are made up: rows moved a third of
the way towards another row, so that they are neither in the index nor as easy as a row that is. For the ten nearest of
real queries (text, images), recall was higher than these say. The outcome is kept in the metadata of the index file,
and is what searches go by that name no `ef`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vego.errors import CorruptionError
from vego.index.accepted import Accept
from vego.index.flat import exact_search
from vego.index.metrics import Metric
from vego.index.views import vectors_of
from vego.options import MAX_EF, MAX_K
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

QUERIES = 128
TOWARDS = np.float32(0.35)
DEPTHS = (1.2, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)  # candidates scored exactly, in k
NEIGHBOURS = (10, 100)  # the k that are measured; between them, and beyond, efforts are interpolated
ENOUGH = 0.995  # a curve ends here
LOSS = 0.002  # of recall, that scoring fewer candidates exactly may cost
ENTRY = "calibration"  # in the metadata of an index file
MOST_TEXT = 16_384  # characters of a stored calibration
MARGIN = 0.25  # of the misses that a target allows are not made use of: queries differ
MOST_POINTS = 32
GROWTH = 1.5  # an index that has grown by so much is measured again


class Searchable(Protocol):
    """What is calibrated: the part of a `VectorIndex` that measuring needs."""

    @property
    def rows(self) -> int:
        """Slots [0, rows) are indexed."""

    @property
    def metric(self) -> Metric:
        """The metric the index was built for."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def efforts(self, k: int) -> Sequence[int]:
        """Rising efforts that are worth measuring, at most MOST_POINTS; the last one finds what there is to find."""

    def deepest(self, k: int, ef: int) -> int:
        """How many candidates to score exactly where none that `ef` finds is to be lost."""

    def search_batch(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        queries: Array,
        k: int,
        ef: int = ...,
        rerank: int = ...,
        accept: Accept | None = None,
        threads: int | None = 1,
    ) -> Found:
        """The k nearest indexed slots of each of `queries` (m, d), int64 (m, k) padded with -1, and their distances.

        Those are float32 (m, k), padded with infinity. With `accept` (bool, one per slot) only accepted slots are
        returned, k of them whenever k are.
        """


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall of the k nearest: `points` of (ef, recall), ef rising; `rerank` of them have to be scored exactly."""

    k: int
    points: tuple[tuple[int, float], ...]
    rerank: int

    def ef(self, target: float) -> int:
        """The least ef that reaches `target`, between points by a straight line; the last where none does."""
        if self.points[0][1] >= target:
            return self.points[0][0]
        for (low, below), (high, reached) in pairwise(self.points):
            if reached >= target:
                return int(np.ceil(low + (high - low) * (target - below) / (reached - below)))
        return self.points[-1][0]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Curves measured at `when` (ISO 8601, UTC) on an index of `rows` rows with `queries` made-up queries."""

    rows: int
    when: str
    queries: int
    curves: tuple[Curve, ...]

    def effort(self, k: int, target: float) -> tuple[int, int]:
        """The ef that reaches a recall of `target` for k neighbours, and how many to score exactly."""
        target += MARGIN * (1 - target)
        low, high = self.curves[0], self.curves[-1]
        if k <= low.k or low is high:
            scale = max(1.0, k / low.k)
            ef, rerank = low.ef(target) * scale, low.rerank * scale
        elif k <= high.k:
            share = (k - low.k) / (high.k - low.k)
            ef = low.ef(target) + share * (high.ef(target) - low.ef(target))
            rerank = low.rerank + share * (high.rerank - low.rerank)
        else:
            ef, rerank = high.ef(target) * k / high.k, high.rerank * k / high.k
        return min(int(np.ceil(ef)), MAX_EF), min(int(np.ceil(rerank)), MAX_EF)

    def to_text(self) -> str:
        """As kept in an index file."""
        curves = [{"k": one.k, "rerank": one.rerank, "points": one.points} for one in self.curves]
        described = {"rows": self.rows, "when": self.when, "queries": self.queries, "curves": curves}
        return json.dumps(described)

    @classmethod
    def stored_in(cls, metadata: Mapping[str, str], path: str) -> Calibration | None:
        """That of an index file, None where nobody had measured; raises as `from_text`."""
        return cls.from_text(metadata[ENTRY], path) if ENTRY in metadata else None

    @classmethod
    def from_text(cls, text: str, path: str) -> Calibration:
        """What `to_text` gave; raises CorruptionError naming `path` for anything else."""
        try:
            if len(text) > MOST_TEXT:
                raise ValueError(f"{len(text)} characters")
            stored = json.loads(text)
            curves = tuple(_curve(one) for one in _list(stored["curves"], len(NEIGHBOURS)))
            if any(first.k >= second.k for first, second in pairwise(curves)):
                raise ValueError("curves out of order")
            when = stored["when"]
            if not isinstance(when, str) or len(when) > 40 or not when.isascii() or not when.isprintable():
                raise ValueError("when")
            return cls(_number(stored["rows"], 1 << 31), when, _number(stored["queries"], 1 << 20), curves)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            way_out = "The index can be built again from the rows."
            raise CorruptionError(path, 0, f"calibration: {error}", way_out) from error


def _number(value: object, high: int) -> int:
    if type(value) is not int or not 1 <= value <= high:
        raise ValueError(f"expected a number up to {high}, found {value!r:.40}")
    return value


def _list(value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise ValueError(f"expected 1 to {most} entries")
    return value


def _curve(stored: Any) -> Curve:
    k = _number(stored["k"], MAX_K)
    points = []
    for ef, recall in _list(stored["points"], MOST_POINTS):
        if type(recall) is not float or not 0 <= recall <= 1:
            raise ValueError(f"recall {recall!r:.40}")
        points.append((_number(ef, MAX_EF), recall))
    if any(first[0] >= second[0] for first, second in pairwise(points)):
        raise ValueError("ef does not rise")
    if any(first[1] > second[1] for first, second in pairwise(points)):
        raise ValueError("recall falls")
    return Curve(k, tuple(points), _number(stored["rerank"], MAX_EF))


def ladder(most: int) -> list[int]:
    """Efforts 1, 2, 3, 4, 6, 8, 12, ... and `most`, where those below are looked at one after the other."""
    most = min(most, MAX_EF)
    steps = sorted({1 << power for power in range(14)} | {3 << power for power in range(13)})
    return [*(step for step in steps if step < most), most]


def made_up_queries(metric: Metric, vectors: Vectors, rows: int) -> Array:
    """QUERIES float32 vectors (m, d), each between two of the first `rows`; the same for the same rows.

    Of bits: as uint8 (m, d / 8), each with that share of the bits of another.
    """
    random = np.random.default_rng(rows)
    picks = random.integers(0, rows, (2, QUERIES))
    if metric is Metric.HAMMING:
        bits, others = vectors.take(picks[0]), vectors.take(picks[1])
        moved = np.packbits(random.random((QUERIES, vectors.dimension)) < TOWARDS, axis=1)
        mixed: Array = (bits & ~moved) | (others & moved)
        return mixed
    some, others = vectors.floats(picks[0]), vectors.floats(picks[1])
    if metric is Metric.COSINE:
        some = some * vectors.inverse_norms(picks[0])[:, None]
        others = others * vectors.inverse_norms(picks[1])[:, None]
    return np.ascontiguousarray(some + TOWARDS * (others - some), np.float32)


def measured_anew(
    index: Searchable,
    known: Calibration | None,
    vectors: Vectors,
    when: str,
    stopped: Callable[[], bool] | None = None,
) -> Calibration | None:
    """Measure an index over the first `index.rows` of `vectors`, of which `known` is known.

    None where it has not grown enough since, has too few rows, or `stopped` says so. Costs QUERIES exact scans and a
    few hundred searches a step: some hundredths of what building a graph does.
    """
    rows = index.rows
    if known is not None and rows < GROWTH * known.rows:
        return None
    sizes = [k for k in NEIGHBOURS if k <= rows // 4]
    if not sizes:
        return None
    queries = made_up_queries(index.metric, vectors, rows)
    _, truth = exact_search(index.metric, vectors, None, queries, sizes[-1], stop=rows)
    curves = []
    for k in sizes:
        limits = truth[:, k - 1 : k] + 1e-6 * (1 + np.abs(truth[:, k - 1 : k]))

        def recall(ef: int, rerank: int, k: int = k, limits: Array = limits) -> float:
            found = index.search_batch(vectors, None, queries, k, ef, rerank)[1]
            return float((found <= limits).mean())

        points: list[tuple[int, float]] = []
        for ef in index.efforts(k):
            if stopped is not None and stopped():
                return None
            best = points[-1][1] if points else 0.0
            points.append((ef, max(best, recall(ef, index.deepest(k, ef)))))
            if points[-1][1] >= ENOUGH:
                break
        curves.append(Curve(k, tuple(points), _rerank(index, k, points, recall)))
    return Calibration(rows, when, QUERIES, tuple(curves))


class Calibrated(Searchable):
    """An index that knows what recall it reaches at what effort."""

    calibration: Calibration | None = None  # None: not measured

    def calibrate(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        when: str,
        cancel: Callable[[], bool] | None = None,
    ) -> bool:
        """Measure recall anew where there are many more rows than when it was last measured; whether it was.

        `when` is the time, ISO 8601; vectors and norms as for `search`.
        """
        known = vectors_of(vectors, inverse_norms, self.dimension, self.metric)
        measured = measured_anew(self, self.calibration, known, when, cancel)
        if measured is not None:
            self.calibration = measured
        return measured is not None

    def measured(self) -> dict[str, str]:
        """What of the metadata of an index file `Calibration.stored_in` reads."""
        return {} if self.calibration is None else {ENTRY: self.calibration.to_text()}


def _rerank(
    index: Searchable, k: int, points: list[tuple[int, float]], recall: Callable[[int, int], float]
) -> int:
    """How many candidates to score exactly, at the middle of the curve, without losing recall."""
    ef, full = points[len(points) // 2]
    deepest = index.deepest(k, ef)
    for step in DEPTHS:
        depth = int(np.ceil(step * k))
        if depth >= deepest or recall(ef, depth) >= full - LOSS:
            return max(min(depth, deepest), k)
    return max(deepest, k)
