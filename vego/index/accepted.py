"""The slots that a search may return: those that are live and pass its filter."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vego.index.views import accept_mask, kernel_view, marked_slots

KEPT_BYTES = 8 << 20  # of what filters accept of one snapshot
MOST_ASKED = 1_024  # filters that are remembered as asked once


class Accepted:
    """Live slots that pass a filter: `mask`, bool (slots,), not to be changed, and `count`, how many it marks."""

    __slots__ = ("_slots", "count", "mask")

    def __init__(self, mask: NDArray[np.bool_], count: int | None = None) -> None:
        self.mask = kernel_view(np.ascontiguousarray(mask))
        self.count = int(np.count_nonzero(mask)) if count is None else count
        self._slots: NDArray[np.uint32] | None = None

    @classmethod
    def of(cls, accept: Accept, total: int) -> Accepted:
        """What a caller gave for `total` slots or more; raises InvalidArgumentError for fewer, or no bool (n,)."""
        mask = mask_of(accept, total)
        return accept if isinstance(accept, Accepted) else cls(mask)

    @property
    def nbytes(self) -> int:
        """Bytes of memory it may come to take."""
        return self.mask.nbytes + 4 * self.count

    def count_below(self, stop: int) -> int:
        """How many of the slots below `stop` it marks."""
        return self.count if stop == len(self.mask) else int(np.count_nonzero(self.mask[:stop]))

    def slots(self, start: int, stop: int) -> NDArray[np.uint32]:
        """The accepted slots in [start, stop), ascending; not to be changed. What is made of all slots is kept."""
        every = self._slots
        if stop - start == len(self.mask):
            if every is None:
                self._slots = every = marked_slots(self.mask, start, stop, self.count)
            return every
        if every is None:
            return marked_slots(self.mask, start, stop)
        low, high = np.searchsorted(every, (start, stop))
        return every[low:high]


Accept = NDArray[Any] | Accepted  # what a search may return: bool, one per slot, or that with its count


def mask_of(accept: Accept | None, total: int) -> NDArray[np.bool_]:
    """`accept_mask` of either."""
    return accept_mask(accept.mask if isinstance(accept, Accepted) else accept, total)


class AcceptedByFilter:
    """What filters accept of one snapshot, kept from the second time on that one is asked; any thread may call.

    Not from the first: where each search has a filter of its own, masks that are kept only cost fresh memory.
    It lies beside the snapshot and goes with it, so a write leaves nothing in it that is out of date. The oldest go
    where all together would take more than KEPT_BYTES.
    """

    __slots__ = ("_asked", "_found", "_lock", "nbytes")

    def __init__(self) -> None:
        self.nbytes = 0  # that all may come to take
        self._found: dict[Hashable, tuple[Accepted, int]] = {}
        self._asked = set[int]()  # hashes of keys
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Hashable) -> Accepted | None:
        """What was kept for the filter of that key, a filter of another key being another one."""
        found = self._found.get(key)
        return None if found is None else found[0]

    def keep(self, key: Hashable, accepted: Accepted, key_bytes: Callable[[], int]) -> None:
        """Keep what a filter accepts, if it was asked before and is not too large, its key included."""
        asked = hash(key)
        if asked not in self._asked:
            if len(self._asked) >= MOST_ASKED:
                self._asked.clear()
            self._asked.add(asked)
            return
        size = accepted.nbytes + key_bytes()
        if size > KEPT_BYTES:
            return
        with self._lock:
            if key in self._found:
                return
            self.nbytes += size
            while self.nbytes > KEPT_BYTES:
                oldest = next(iter(self._found))
                self.nbytes -= self._found.pop(oldest)[1]
            self._found[key] = accepted, size
