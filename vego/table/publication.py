"""What readers see of a collection, and the writes that wait to be seen because they are not durable yet.

A write enters slots and buffer at once, under the collection's lock, and becomes visible when a sync covers its
batch in the log (I1). Until then its snapshot waits here, with the slots that it took from the ids it replaced or
deleted: readers still find their documents there. Readers take no lock, but for an id that a write under way touches,
and where they are the first to look since a write; that lock is never held while anything is written or synced.

Most writes only add rows, and nobody looks between them. So what waits, or is shown, is a `Mark`, from which the
snapshot is made when a reader first asks for it, as long as slots have only been added. Whoever is about to do
anything else to slots, buffer or segments calls `settle` before, which makes all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import RLock
from typing import NamedTuple

from vego.table.ids import SlotMap
from vego.table.snapshot import RowSnapshot


class Mark(NamedTuple):
    """The first `rows` slots of those there are, of which `live_count` are live."""

    rows: int
    live_count: int


class _Waiting(NamedTuple):
    """A write that is in slots and buffer; `touched` are the ids from which it took a slot."""

    lsn: int
    shown: RowSnapshot | Mark
    touched: list[str]


class Publication:
    """`lock` guards changing what readers see, and whatever must change together with it.

    Slots and buffer are changed with `lock` held, as find() looks into both. `capture` makes the snapshot of a mark.
    """

    def __init__(self, snapshot: RowSnapshot, capture: Callable[[Mark], RowSnapshot], lock: RLock) -> None:
        self.lock = lock
        self._shown: RowSnapshot | Mark = snapshot
        self._capture = capture
        self._waiting: deque[_Waiting] = deque()
        self._taken: dict[
            str, list[int]
        ] = {}  # of each id, the slots that waiting writes took, in their order

    @property
    def snapshot(self) -> RowSnapshot:
        """What readers see. Any thread may ask."""
        shown = self._shown
        if not isinstance(shown, Mark):
            return shown
        with self.lock:
            shown = self._shown
            if isinstance(shown, Mark):
                self._shown = shown = self._capture(shown)
            return shown

    def settle(self) -> None:
        """Make every snapshot that is still a mark: what they are made from is about to change."""
        with self.lock:
            if isinstance(self._shown, Mark):
                self._shown = self._capture(self._shown)
            for place, waiting in enumerate(self._waiting):
                if isinstance(waiting.shown, Mark):
                    self._waiting[place] = waiting._replace(shown=self._capture(waiting.shown))

    def find(self, name: str) -> tuple[RowSnapshot, int] | None:
        """A snapshot that readers see, and the slot in it of the document of that id; None if there is none."""
        snapshot = self.snapshot
        slot = snapshot.slot_of.get(name)
        if slot is None:
            if name not in self._taken:
                return None
        elif slot < snapshot.view.rows and snapshot.view.is_live(slot):
            return snapshot, slot
        with self.lock:
            snapshot = self.snapshot
            slots = [*self._taken.get(name, ()), snapshot.slot_of.get(name)]
        view = snapshot.view
        # An id is live in one slot of a view at most, so no other can be meant (I4).
        found = [slot for slot in slots if slot is not None and slot < view.rows and view.is_live(slot)]
        return (snapshot, found[0]) if found else None

    def take(self, names: Iterable[str], slot_of: SlotMap) -> None:
        """Remember the slots of `names`, all of which have one, before a write takes them."""
        for name in names:
            self._taken.setdefault(name, []).append(slot_of[name])

    def wait(self, lsn: int, shown: RowSnapshot | Mark, touched: list[str]) -> None:
        """Show `shown` when batch `lsn` is durable; `touched` is what `take` was given."""
        self._waiting.append(_Waiting(lsn, shown, touched))

    def show_through(self, lsn: int) -> None:
        """Every batch up to `lsn` is durable: show the newest write among them."""
        waiting = self._waiting
        with self.lock:
            while waiting and waiting[0].lsn <= lsn:
                first = waiting[0]
                self._shown = first.shown  # before popleft: an interrupt must not lose what another waits for
                waiting.popleft()
                for name in first.touched:
                    slots = self._taken.get(name, [])
                    del slots[:1]
                    if not slots:
                        self._taken.pop(name, None)

    def show(self, shown: RowSnapshot | Mark) -> None:
        """Show `shown`, with which nothing waits any more."""
        with self.lock:
            self._shown = shown
            self._waiting.clear()
            self._taken.clear()
