"""What readers see of a collection, and the writes that wait to be seen because they are not durable yet.

A write enters slots and buffer at once, under the collection's lock, and becomes visible when a sync covers its
batch in the log (I1). Until then its snapshot waits here, with the slots that it took from the ids it replaced or
deleted: readers still find their documents there. Readers take no lock, but for an id that a write under way touches;
that lock is never held while anything is written or synced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vego.table.snapshot import RowSnapshot


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A write that is in slots and buffer; `touched` are the ids from which it took a slot."""

    lsn: int
    snapshot: RowSnapshot
    touched: list[str]


class Publication:
    """`snapshot` is what readers see. `lock` guards changing it, and whatever must change together with it.

    Slots and buffer are changed with `lock` held, as find() looks into both.
    """

    def __init__(self, snapshot: RowSnapshot) -> None:
        self.lock = RLock()
        self.snapshot = snapshot
        self._waiting: deque[_Waiting] = deque()
        self._taken: dict[
            str, list[int]
        ] = {}  # of each id, the slots that waiting writes took, in their order

    def find(self, name: str) -> tuple[RowSnapshot, int] | None:
        """A snapshot that readers see, and the slot in it of the document of that id; None if there is none."""
        snapshot = self.snapshot
        slot = snapshot.slot_of.get(name)
        if slot is None:
            if name not in self._taken:
                return None
        elif slot < snapshot.view.rows and snapshot.view.live[slot]:
            return snapshot, slot
        with self.lock:
            snapshot = self.snapshot
            slots = [*self._taken.get(name, ()), snapshot.slot_of.get(name)]
        view = snapshot.view
        # An id is live in one slot of a view at most, so no other can be meant (I4).
        found = [slot for slot in slots if slot is not None and slot < view.rows and view.live[slot]]
        return (snapshot, found[0]) if found else None

    def take(self, names: Iterable[str], slot_of: dict[str, int]) -> list[str]:
        """Remember the slots of `names` before a write takes them; the ids that have one."""
        touched = [name for name in names if name in slot_of]
        for name in touched:
            self._taken.setdefault(name, []).append(slot_of[name])
        return touched

    def wait(self, lsn: int, snapshot: RowSnapshot, touched: list[str]) -> None:
        """Show `snapshot` when batch `lsn` is durable; `touched` is what `take` returned."""
        self._waiting.append(_Waiting(lsn, snapshot, touched))

    def show_through(self, lsn: int) -> None:
        """Every batch up to `lsn` is durable: show the newest write among them."""
        waiting = self._waiting
        with self.lock:
            while waiting and waiting[0].lsn <= lsn:
                shown = waiting[0]
                self.snapshot = (
                    shown.snapshot
                )  # first: an interrupt must not lose what another thread waits for
                waiting.popleft()
                for name in shown.touched:
                    slots = self._taken.get(name, [])
                    del slots[:1]
                    if not slots:
                        self._taken.pop(name, None)

    def show(self, snapshot: RowSnapshot) -> None:
        """Show `snapshot`, with which nothing waits any more."""
        with self.lock:
            self.snapshot = snapshot
            self._waiting.clear()
            self._taken.clear()
