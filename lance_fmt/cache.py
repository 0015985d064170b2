"""Decoded blocks and page indexes, least recently used dropped first, within a budget of bytes.

Lookups take no lock: each is one or two dictionary operations, which CPython makes whole.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import Any

DEFAULT_BUDGET = 64 * 1024 * 1024
_owners = itertools.count(1)


class BlockCache:
    """May be shared by many files and threads; `budget` is in bytes."""

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self.budget = budget
        self._entries: OrderedDict[int, Any] = OrderedDict()
        self._costs: dict[int, int] = {}
        self._used = 0
        self._lock = threading.Lock()

    @staticmethod
    def new_owner() -> int:
        """A number no other file uses; the upper bits of a file's keys."""
        return next(_owners)

    @property
    def used(self) -> int:
        """Bytes held."""
        return self._used

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: int) -> Any:
        """The entry, or None."""
        entry = self._entries.get(key)
        if entry is not None:
            try:
                self._entries.move_to_end(key)
            except KeyError:  # dropped by another thread since
                return entry
        return entry

    def put(self, key: int, entry: Any, cost: int) -> None:
        """Keep `entry`, dropping the least recently used ones above the budget."""
        with self._lock:
            self._used += cost - self._costs.get(key, 0)
            self._entries[key] = entry
            self._costs[key] = cost
            while self._used > self.budget and self._entries:
                oldest, _ = self._entries.popitem(last=False)
                self._used -= self._costs.pop(oldest)

    def drop(self, first: int, last: int) -> None:
        """Forget entries with keys in `first..last` (last excluded)."""
        with self._lock:
            for key in [k for k in self._costs if first <= k < last]:
                self._entries.pop(key, None)
                self._used -= self._costs.pop(key)
