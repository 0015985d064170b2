"""The lists as arrays: an immutable value, of which extending and removing make another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.codes import Coder
from vego.index.codes.coder import Arrays, Probing
from vego.index.ivf.clustering import Codes
from vego.index.metrics import Metric
from vego.index.quantize import CodeScale, train_scale
from vego.index.views import kernel_view
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]

NONE = 0xFFFFFFFF  # the slot of a place that no row has


@dataclass(frozen=True)
class InvertedLists:
    """Rows [0, rows) by list; within a list by slot.

    centroids (lists, d) float32; `scale` is that of their codes and the rows' when lists are looked for. list_of
    (rows,) uint32: the list of each slot. starts (lists + 1,) int64, in units of the code. members uint32: the slot
    of each place, NONE for none. `arrays` are the coder's.
    """

    coder: Coder
    centroids: npt.NDArray[np.float32]
    scale: CodeScale
    trained_rows: int
    list_of: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    members: npt.NDArray[np.uint32]
    arrays: Arrays
    metric: Metric

    @classmethod
    def empty(
        cls, metric: Metric, coder: Coder, centroids: Array, scale: CodeScale, trained_rows: int
    ) -> InvertedLists:
        """Lists without rows."""
        starts = np.zeros(len(centroids) + 1, np.int64)
        return cls(
            coder=coder,
            centroids=kernel_view(centroids),
            scale=scale,
            trained_rows=trained_rows,
            list_of=np.empty(0, np.uint32),
            starts=starts,
            members=np.empty(0, np.uint32),
            arrays=coder.room(0),
            metric=metric,
        )

    @property
    def rows(self) -> int:
        """Rows in the lists."""
        return len(self.list_of)

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        held = (self.centroids, self.list_of, self.members, *self.arrays.values())
        return sum(array.nbytes for array in held)

    @cached_property
    def probing(self) -> Probing:
        """How a search finds lists; made by the first one, as opening a database loads no compiled code."""
        # Codes of centroids as queries are compared with them: products need a scale without a centre.
        kind = Metric.INNER_PRODUCT if self.metric is Metric.INNER_PRODUCT else Metric.L2
        with np.errstate(
            over="ignore"
        ):  # values near the largest float: codes then say nothing, and that is known
            known = Vectors.of(self.centroids, None)
            scale = train_scale(kind, known, len(self.centroids), all_dimensions=True)
        codes = Codes.of(kind, self.centroids, scale)
        return Probing(
            centroids=self.centroids,
            centre_codes=codes.rows,
            centre_bias=codes.bias,
            frame=scale.frame,
            inverse_step=scale.inverse_step,
            starts=self.starts,
            sizes=np.bincount(self.list_of, minlength=len(self.centroids)).astype(np.int64),
        )

    def places(self) -> npt.NDArray[np.int64]:
        """The place of each slot."""
        used = np.flatnonzero(self.members != NONE)
        places = np.empty(self.rows, np.int64)
        places[self.members[used]] = used
        return places

    def columns(self) -> Arrays:
        """The columns of the code, by slot."""
        return self.coder.take(self.arrays, self.places())

    def extended(self, lists: Array, columns: Arrays) -> InvertedLists:
        """With more rows at the end, given their lists and codes."""
        unit = self.coder.unit_rows
        number = len(self.centroids)
        list_of = np.concatenate([self.list_of, lists.astype(np.uint32)])
        before = np.bincount(self.list_of, minlength=number)
        sizes = np.bincount(list_of, minlength=number)
        starts = np.zeros(number + 1, np.int64)
        np.cumsum(-(-sizes // unit), out=starts[1:])
        arrays = self.coder.room(int(starts[-1]))
        units = np.full((int(starts[-1]), unit), NONE, np.uint32)
        # Units that are there keep their order within the list: a list ends with a unit that has room.
        moved = np.repeat(starts[:-1] - self.starts[:-1], np.diff(self.starts)) + np.arange(self.starts[-1])
        for name, array in self.arrays.items():
            arrays[name][moved] = array
        units[moved] = self.members.reshape(-1, unit)
        members = units.reshape(-1)
        order = np.argsort(lists, kind="stable")
        counts = sizes - before
        within = np.arange(len(lists)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.empty(len(lists), np.int64)
        sorted_lists = lists[order].astype(np.int64)
        places[order] = starts[sorted_lists] * unit + before[sorted_lists] + within
        self.coder.put(arrays, places, columns)
        members[places] = np.arange(self.rows, len(list_of), dtype=np.uint32)
        return replace(self, list_of=list_of, starts=starts, members=members, arrays=arrays)

    def only(self, kept: npt.NDArray[np.int64]) -> InvertedLists:
        """The slots `kept`, each once, numbered anew in the order in which they are given."""
        columns = self.coder.take(self.arrays, self.places()[kept])
        none = InvertedLists.empty(self.metric, self.coder, self.centroids, self.scale, self.trained_rows)
        return none.extended(self.list_of[kept], columns)

    def accepted_sizes(self, accept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """How many rows of each list a mask of slots accepts."""
        found = np.bincount(self.list_of[accept[: self.rows]], minlength=len(self.centroids))
        return found.astype(np.int64)
