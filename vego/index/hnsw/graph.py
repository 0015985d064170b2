"""The graph as arrays, nothing else. See vego/index/kernels/walk.py for how they are read.

A graph value is a snapshot: `rows` nodes count, though the arrays may be longer and another thread may be
writing to entries past them. Growing never changes what an older snapshot holds beyond adding links to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.hnsw.params import HnswParams
from vego.index.links import WORD, Links, empty_links, link_bytes, put_slots, slots_of
from vego.index.metrics import Metric
from vego.index.projection import BIAS_BYTES
from vego.index.quantize import CodeScale
from vego.index.views import aligned_empty


@dataclass(frozen=True)
class HnswGraph:
    """Nodes [0, rows) with their codes and links; the arrays have room for `capacity` nodes.

    codes (capacity, whole cache lines) are of `code_type`; bias (capacity,) int32 is empty where it is in
    the rows of codes; levels (capacity,) uint8;
    links (capacity, link_width, bytes of a link) of vego/index/links.py; upper (*, m, 4): the links of node v on
    layer l >= 1 are upper[upper_start[v] + l - 1]; upper_start (capacity + 1,) uint32.
    """

    scale: CodeScale
    scale_rows: int
    codes: npt.NDArray[Any]
    bias: npt.NDArray[np.int32]
    links: Links
    levels: npt.NDArray[np.uint8]
    upper_start: npt.NDArray[np.uint32]
    upper: Links
    rows: int
    entry: int
    top: int
    checked: int = 0  # rows when last every node was made reachable
    shared: bool = False  # another index or a file has these arrays too: growing copies them

    @property
    def capacity(self) -> int:
        """Nodes the arrays have room for."""
        return len(self.codes)

    @property
    def biases(self) -> npt.NDArray[np.int32]:
        """The bias of each node (capacity,), a view of the codes or of `bias`."""
        return self.codes[:, -BIAS_BYTES:].view(np.int32)[:, 0] if self.scale.bias_in_rows else self.bias

    @property
    def levels_of_codes(self) -> npt.NDArray[Any]:
        """The codes without the biases in their rows, a view."""
        return self.codes[:, :-BIAS_BYTES] if self.scale.bias_in_rows else self.codes

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        arrays = (self.codes, self.bias, self.links, self.levels, self.upper_start, self.upper)
        return sum(array.nbytes for array in arrays)


def code_type(metric: Metric) -> np.dtype[Any]:
    """What codes are made of, which says how two are compared (kernels/agreement.py)."""
    return np.dtype({Metric.L1: np.int8, Metric.HAMMING: np.uint64}.get(metric, np.uint8))


def code_rows(metric: Metric, scale: CodeScale, rows: int) -> npt.NDArray[Any]:
    """Room for the codes of so many rows, not filled in."""
    kind = code_type(metric)
    return aligned_empty((rows, scale.code_width // kind.itemsize), kind)


def bias_room(scale: CodeScale, rows: int) -> npt.NDArray[np.int32]:
    """Room for the biases that are not in the rows of codes."""
    return np.empty(0 if scale.bias_in_rows else rows, np.int32)


def empty_graph(params: HnswParams) -> HnswGraph:
    """A graph of no nodes."""
    scale = CodeScale(np.zeros(params.row_width, np.float32), 1.0)
    return HnswGraph(
        scale=scale,
        scale_rows=0,
        codes=code_rows(params.metric, scale, 0),
        bias=np.empty(0, np.int32),
        links=empty_links(0, params.link_width, link_bytes(0)),
        levels=np.empty(0, np.uint8),
        upper_start=np.zeros(1, np.uint32),
        upper=empty_links(0, params.m, WORD),
        rows=0,
        entry=0,
        top=0,
    )


def with_room(graph: HnswGraph, new_levels: npt.NDArray[np.uint8]) -> HnswGraph:
    """The same nodes in arrays with room for `len(new_levels)` more, whose levels are filled in.

    The arrays are used again where they are large enough and not shared. They grow by half at least, so that
    adding row by row copies each row a bounded number of times; a copy of shared ones has no room to spare.
    """
    rows = graph.rows
    stop = rows + len(new_levels)
    used = int(graph.upper_start[rows])
    starts = used + np.cumsum(new_levels, dtype=np.int64)
    needed = int(starts[-1])
    capacity = graph.capacity
    if stop > capacity or needed > len(graph.upper) or graph.shared:
        capacity = stop if graph.shared else max(stop, rows * 3 // 2)
        graph = replace(
            graph,
            codes=_grown(graph.codes, rows, capacity),
            bias=graph.bias if graph.scale.bias_in_rows else _grown(graph.bias, rows, capacity),
            links=_with_more_links(graph.links, rows, capacity),
            levels=_grown(graph.levels, rows, capacity),
            upper_start=_grown(graph.upper_start, rows + 1, capacity + 1),
            upper=_grown(graph.upper, used, needed * capacity // stop + 64),
            shared=False,
        )
    graph.levels[rows:stop] = new_levels
    graph.upper_start[rows + 1 : stop + 1] = starts
    return graph


def _grown(array: npt.NDArray[Any], used: int, capacity: int) -> npt.NDArray[Any]:
    larger = aligned_empty((capacity, *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    return larger


def _with_more_links(links: Links, used: int, capacity: int) -> Links:
    larger = empty_links(capacity, links.shape[1], link_bytes(capacity))
    if links.shape[2] == larger.shape[2]:
        larger[:used] = links[:used]
    else:
        put_slots(larger[:used], slots_of(links[:used]))
    return larger
