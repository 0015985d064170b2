"""The records of a graph's nodes in a mapped file: where each lies, and what it takes to believe it.

See vego/index/kernels/records.py for the words of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vego.errors import CorruptionError
from vego.index.hnsw.params import LINKS_PER_LINE
from vego.index.links import NONE, Links, empty_links, link_bytes, put_slots
from vego.index.views import kernel_view
from vego.table.vectors import address_of

Array = npt.NDArray[Any]

HEADER_WORDS, NORM, COUNT = 4, 2, 3
LINE_WORDS = 16  # uint32 in a cache line
BLOCK_WORDS = (
    1024  # uint32 in a block of 4,096 bytes, which is what a disk reads and memory caches at the least
)
CHUNK = 1 << 22  # bytes of records looked at together where all are
WAY_OUT = "The rows are whole: drop the index with `vego repair --drop-index`; it can be built again."


class Place(NamedTuple):
    """How kernels find a record: those of `nodes` nodes are in `group` bytes from `address` on, `step` bytes apart."""

    address: int
    nodes: int
    group: int
    step: int


@dataclass(frozen=True)
class RecordLayout:
    """Records with room for `width` links and a float32 vector of `dimension` components.

    They lie in blocks so that each touches as few of these as its length allows: of records no larger than a block, as
    many as fit are in one; of larger ones, each is a number of whole blocks and a rest, and as many rests as fit share
    a block. A group is the records up to the next one that begins at a block. Without `blocks` they lie one behind the
    other in whole cache lines, as in files of version 1.
    """

    dimension: int
    width: int
    blocks: bool = True

    @property
    def words(self) -> int:
        """uint32 words of a record."""
        words = HEADER_WORDS + self.width + self.dimension
        return words if self.blocks else -(-words // LINE_WORDS) * LINE_WORDS

    @property
    def whole_blocks(self) -> int:
        """Blocks that a record fills; its rest, of at least one word and at most a block, comes behind them."""
        return (self.words - 1) // BLOCK_WORDS

    @property
    def group_nodes(self) -> int:
        """Records in a group."""
        return BLOCK_WORDS // (self.words - self.whole_blocks * BLOCK_WORDS) if self.blocks else 1

    @property
    def group_words(self) -> int:
        """uint32 words of a group: whole blocks."""
        return (self.group_nodes * self.whole_blocks + 1) * BLOCK_WORDS if self.blocks else self.words

    @property
    def step(self) -> int:
        """uint32 words from a record to the next in its group: whole cache lines where as many fit in a block so."""
        whole = self.whole_blocks * BLOCK_WORDS
        room = BLOCK_WORDS // self.group_nodes // LINE_WORDS * LINE_WORDS
        return max(whole + room, self.words) if self.blocks else self.words

    def starts(self, nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The word at which the record of each of some nodes begins."""
        return nodes // self.group_nodes * self.group_words + nodes % self.group_nodes * self.step

    def size(self, nodes: int) -> int:
        """uint32 words of the records of that many nodes: whole blocks."""
        groups, rest = divmod(nodes, self.group_nodes)
        last = rest and (rest - 1) * self.step + self.words
        unit = BLOCK_WORDS if self.blocks else 1
        return groups * self.group_words + -(-last // unit) * unit

    def node_at(self, word: int) -> int:
        """The node whose record is at a word, or the one behind it."""
        group, rest = divmod(word, self.group_words)
        return group * self.group_nodes + min(rest // self.step, self.group_nodes)

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

    def laid(self, records: npt.NDArray[np.uint32], first: int) -> npt.NDArray[np.uint32]:
        """The records (n, words) of the nodes from `first` on as they lie, from the first word of `first` on."""
        from vego.index.kernels.records import lay_records  # numba loads on first use

        starts = self.starts(np.arange(first, first + len(records)))
        starts -= starts[0]
        laid = np.zeros(starts[-1] + self.words, np.uint32)
        lay_records(records, starts, laid)
        return laid


class Records:
    """The records of the nodes 0 to n - 1, uint32 (layout.size(n),), which may be in a mapped file, `path`.

    Node 0 is slot `first` of the index. None is looked at before it is needed, and each time one is, it is held
    against its checksum.
    """

    def __init__(self, layout: RecordLayout, array: Array, nodes: int, path: str, first: int = 0) -> None:
        if array.shape != (layout.size(nodes),):
            raise ValueError(f"records: expected {layout.size(nodes)} words, found {array.shape}")
        self.layout = layout
        self.array = kernel_view(array)
        self.path = path
        self.first = first
        self._nodes = nodes

    def __len__(self) -> int:
        return self._nodes

    @cached_property
    def place(self) -> tuple[Place, int, int, Array]:
        """How kernels find and check a record: where they are, words, links, keys."""
        layout = self.layout
        where = Place(address_of(self.array), layout.group_nodes, 4 * layout.group_words, 4 * layout.step)
        return where, layout.words, layout.width, layout.keys

    def damaged(self, node: int) -> CorruptionError:
        """The error of a node whose record is not what was written."""
        return CorruptionError(self.path, 0, f"the record of slot {self.first + node} is damaged", WAY_OUT)

    def taken(self, nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        """Copies (m, words) of the records of some nodes, which are intact; raises CorruptionError."""
        from vego.index.kernels.records import take_records  # numba loads on first use

        if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < len(self):
            raise IndexError(f"nodes: expected 0 to {len(self) - 1}, found {nodes.min()} to {nodes.max()}")
        some = np.empty((len(nodes), self.layout.words), np.uint32)
        node = take_records(self.array, self.layout.starts(nodes), nodes, self.layout.keys, some)
        if node >= 0:
            raise self.damaged(node)
        return some

    def run(self, first: int, stop: int) -> npt.NDArray[np.uint32]:
        """`taken` of the nodes [first, stop)."""
        from vego.index.kernels.records import ask_for  # numba loads on first use

        if first < stop <= len(self):
            ask_for(
                self.place[0], self.layout.words, first, stop - first
            )  # page by page a mapping is read slowly
        return self.taken(np.arange(first, stop))

    def links(self, capacity: int) -> Links:
        """The links as a graph of `capacity` nodes has them, (capacity, width in whole cache lines, bytes of a link).

        Raises CorruptionError, also for a link past the last node.
        """
        width = self.layout.width
        room = -(-width // LINKS_PER_LINE) * LINKS_PER_LINE
        links = empty_links(capacity, room, link_bytes(capacity))
        step = max(1, CHUNK // (4 * self.layout.words))
        for first in range(0, len(self), step):
            some = self.run(first, min(first + step, len(self)))
            used = np.arange(width) < some[:, COUNT : COUNT + 1]
            found = some[:, HEADER_WORDS : HEADER_WORDS + width]
            wild = (used & (found >= len(self))).any(axis=1)
            if wild.any():
                raise self.damaged(first + int(np.argmax(wild)))
            slots = np.full((len(some), room), NONE, np.uint32)
            slots[:, :width][used] = found[used]
            put_slots(links[first : first + len(some)], slots)
        return links

    def vectors(self, nodes: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """Vectors (m, d) and inverse norms (m,) of some nodes, copies; raises CorruptionError."""
        some = self.taken(nodes)
        begin = HEADER_WORDS + self.layout.width
        vectors = some[:, begin : begin + self.layout.dimension]
        return np.ascontiguousarray(vectors).view(np.float32), some[:, NORM].copy().view(np.float32)
