"""Decoded blocks and page indexes, least recently used dropped first, within a budget of bytes.

`get` is the hottest call of the reader: a document is a dozen of them. So it looks into a dict of the entries
that were touched since the last insertion, without lock or bookkeeping, and only the first touch of an entry
between two insertions goes through the lock to the order. What that changes: among entries touched between
the same two insertions, the order is that of their first touch, not of their last. What matters stays: an
entry touched since an insertion is always younger than one that was not, and entries are only dropped when
one is inserted. An "insertion" is a `put` or a `grow`.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

DEFAULT_BUDGET = 64 * 1024 * 1024
OWNER_SHIFT = 80  # the bits of a key above are its owner
_owners = itertools.count(1)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache did since it was made. `used` and `budget` are bytes; dropping by name is no eviction."""

    hits: int
    misses: int
    evictions: int
    entries: int
    used: int
    budget: int


class _Order(LRUCache[int, tuple[Any, int]]):
    """Entries with their costs, in order of use; counts what it evicts. `keys_of` are the keys of each owner."""

    evicted = 0

    def __init__(self, budget: int) -> None:
        super().__init__(budget, getsizeof=_cost)
        self.keys_of: dict[int, set[int]] = {}

    def __setitem__(self, key: int, item: tuple[Any, int]) -> None:
        super().__setitem__(key, item)
        self.keys_of.setdefault(key >> OWNER_SHIFT, set()).add(key)

    def __delitem__(self, key: int) -> None:
        super().__delitem__(key)
        owner = key >> OWNER_SHIFT
        keys = self.keys_of[owner]
        keys.discard(key)
        if not keys:
            del self.keys_of[owner]

    def popitem(self) -> tuple[int, tuple[Any, int]]:
        self.evicted += 1
        return super().popitem()


def _cost(item: tuple[Any, int]) -> int:
    return item[1]


class BlockCache:
    """May be shared by many files and threads; `budget` is in bytes."""

    __slots__ = ("_fresh", "_lock", "_order", "budget", "hits", "misses")

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self.budget = budget
        self.hits = 0
        self.misses = 0
        self._order = _Order(budget)
        self._fresh: dict[int, Any] = {}  # what was touched since the last insertion
        self._lock = threading.Lock()

    @staticmethod
    def new_keys() -> int:
        """The first of 2^OWNER_SHIFT keys that no other file uses."""
        return next(_owners) << OWNER_SHIFT

    @property
    def used(self) -> int:
        """Bytes held."""
        return int(self._order.currsize)

    @property
    def evictions(self) -> int:
        """Entries dropped because others needed their bytes."""
        return self._order.evicted

    def stats(self) -> CacheStats:
        """The counters, as of now."""
        with self._lock:
            return CacheStats(self.hits, self.misses, self.evictions, len(self), self.used, self.budget)

    def __len__(self) -> int:
        return len(self._order)

    def get(self, key: int) -> Any:
        """The entry, or None."""
        try:
            entry = self._fresh[key]
        except KeyError:
            return self._touch(key)
        self.hits += 1  # CPython switches threads at calls and jumps: none gets lost
        return entry

    def _touch(self, key: int) -> Any:
        with self._lock:
            try:
                entry = self._order[key][0]  # makes it the youngest
            except KeyError:
                self.misses += 1
                return None
            self.hits += 1
            self._fresh[key] = entry
            return entry

    def put(self, key: int, entry: Any, cost: int) -> None:
        """Keep `entry` (not None) at a cost in bytes, dropping the least recently used ones above the budget.

        An entry that costs more than the whole budget is not kept; the one it should replace goes.
        """
        with self._lock:
            self._insert(key, entry, cost)

    def grow(self, key: int, cost: int) -> None:
        """Say that the entry costs `cost` bytes by now. Nothing happens if it is not there any more."""
        with self._lock:
            item = self._order.get(key)
            if item is not None and item[1] != cost:
                self._insert(key, item[0], cost)

    def _insert(self, key: int, entry: Any, cost: int) -> None:
        # Removed first: replacing in place would count the old cost too, and could evict the entry itself.
        self._order.pop(key, None)
        self._fresh.clear()
        if cost <= self.budget:
            self._order[key] = entry, cost

    def drop(self, first: int, last: int) -> None:
        """Forget entries with keys in `first..last` (last excluded), all of one file."""
        with self._lock:
            keys = self._order.keys_of.get(first >> OWNER_SHIFT, ())
            for key in [k for k in keys if first <= k < last]:
                del self._order[key]
            self._fresh.clear()

    def forget(self, keys: int) -> None:
        """Forget all entries of the file whose `new_keys` these are."""
        self.drop(keys, keys + (1 << OWNER_SHIFT))
