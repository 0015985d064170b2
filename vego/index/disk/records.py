"""The records of a graph's nodes as one array in a mapped file; see vego/index/kernels/records.py for their words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.errors import CorruptionError
from vego.index.hnsw.graph import NONE
from vego.index.hnsw.params import LINKS_PER_LINE
from vego.index.views import aligned_empty, kernel_view
from vego.table.vectors import address_of

Array = npt.NDArray[Any]

HEADER_WORDS, NORM, COUNT = 4, 2, 3
LINE_WORDS = 16  # uint32 in a cache line
CHUNK = 1 << 22  # bytes of records looked at together where all are
WAY_OUT = "The rows are whole: drop the index with `vego repair --drop-index`; it can be built again."


@dataclass(frozen=True)
class RecordLayout:
    """Records with room for `width` links and a float32 vector of `dimension` components."""

    dimension: int
    width: int

    @property
    def words(self) -> int:
        """uint32 words of a record: whole cache lines."""
        return -(-(HEADER_WORDS + self.width + self.dimension) // LINE_WORDS) * LINE_WORDS

    @cached_property
    def keys(self) -> npt.NDArray[np.uint64]:
        """The odd keys of the checksum, one for each word.

        They are the first numbers of splitmix64 (Steele, Lea and Flood, 2014) with seed 0.
        """
        x = np.arange(1, self.words + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (x ^ (x >> np.uint64(31))) | np.uint64(1)

    def filled(
        self, links: Array, vectors: Array, inverse_norms: Array, first: int
    ) -> npt.NDArray[np.uint32]:
        """The records (n, words) of the nodes from `first` on; links (n, >= width), vectors (n, d), norms (n,)."""
        from vego.index.kernels.records import fill_records  # numba loads on first use

        records = np.empty((len(vectors), self.words), np.uint32)
        fill_records(
            kernel_view(links), self.width, kernel_view(vectors), kernel_view(inverse_norms), self.keys, first, records
        )  # fmt: skip
        return records


class Records:
    """The records uint32 (n, layout.words) of the nodes 0 to n - 1, which may be in a mapped file, `path`.

    Node 0 is slot `first` of the index. None is looked at before it is needed, and each time one is, it is held
    against its checksum.
    """

    def __init__(self, layout: RecordLayout, array: Array, path: str, first: int = 0) -> None:
        self.layout = layout
        self.array = kernel_view(array)
        self.path = path
        self.first = first

    def __len__(self) -> int:
        return len(self.array)

    @property
    def place(self) -> tuple[int, int, int, Array]:
        """How kernels find and check a record: address of the first, words, links, keys."""
        layout = self.layout
        return address_of(self.array), layout.words, layout.width, layout.keys

    def damaged(self, node: int) -> CorruptionError:
        """The error of a node whose record is not what was written."""
        return CorruptionError(self.path, 0, f"the record of slot {self.first + node} is damaged", WAY_OUT)

    def checked(self, first: int, stop: int) -> npt.NDArray[np.uint32]:
        """A view of some records that are intact; raises CorruptionError."""
        from vego.index.kernels.records import ask_for, first_damaged  # numba loads on first use

        some = self.array[first:stop]
        # Page by page a mapping is read slowly.
        ask_for(address_of(self.array), self.layout.words, first, stop - first)
        node = first_damaged(some, self.layout.keys, np.arange(first, stop))
        if node >= 0:
            raise self.damaged(node)
        return some

    def links(self, capacity: int) -> npt.NDArray[np.uint32]:
        """The links as a graph of `capacity` nodes has them, (capacity, width in whole cache lines), ended by NONE.

        Raises CorruptionError, also for a link past the last node.
        """
        width = self.layout.width
        room = -(-width // LINKS_PER_LINE) * LINKS_PER_LINE
        links = aligned_empty((capacity, room), np.uint32)
        links[: len(self)] = NONE
        step = max(1, CHUNK // (4 * self.layout.words))
        for first in range(0, len(self), step):
            some = self.checked(first, min(first + step, len(self)))
            used = np.arange(width) < some[:, COUNT : COUNT + 1]
            found = some[:, HEADER_WORDS : HEADER_WORDS + width]
            wild = (used & (found >= len(self))).any(axis=1)
            if wild.any():
                raise self.damaged(first + int(np.argmax(wild)))
            links[first : first + len(some), :width][used] = found[used]
        return links

    def vectors(self, nodes: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """Vectors (m, d) and inverse norms (m,) of some nodes, copies; raises CorruptionError."""
        from vego.index.kernels.records import first_damaged  # numba loads on first use

        some = self.array[nodes]
        node = first_damaged(some, self.layout.keys, nodes)
        if node >= 0:
            raise self.damaged(node)
        begin = HEADER_WORDS + self.layout.width
        vectors = some[:, begin : begin + self.layout.dimension]
        return np.ascontiguousarray(vectors).view(np.float32), some[:, NORM].copy().view(np.float32)
