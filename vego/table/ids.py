"""The ids of a collection in slot order, and the slot of an id.

Ids of segments lie in compact columns, read when one of them is first asked for; those of the write buffer are
strings. The map from ids to slots keeps recent ids in a dict and all others in a hash table of 12 bytes a document,
made when a slot is first asked for. It holds 32 bits of a hash and a slot, and the id itself is always compared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from threading import RLock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lance_fmt import Column

_MANY, _DENSE = 64, 4  # so many ids, at least each fourth of a range, are taken together
_STEP = 1 << 16  # ids that are strings at a time while the table is made
_LEAST_RECENT = 1 << 16  # ids in the dict before they go into the table
_MOST_RECENT = 1 << 20
_SHARE = 8  # else an eighth of those in the table

Slot32 = NDArray[np.uint32]


class IdColumn:
    """The ids of one segment; `read` gives the column when one is first asked for."""

    __slots__ = ("_bounds", "_data", "_lock", "_read", "rows")

    def __init__(self, rows: int, read: Callable[[], Column]) -> None:
        self.rows = rows
        self._read = read
        self._lock = RLock()
        self._data: bytes | None = None
        self._bounds: memoryview[int] = memoryview(b"")

    def at(self, row: int) -> str:
        """The id of one row; raises CorruptionError."""
        data, bounds = self.content()
        return str(data[bounds[row] : bounds[row + 1]], "utf-8")

    def content(self) -> tuple[bytes, memoryview[int]]:
        """UTF-8 of all ids, one behind the other, and where each begins and the last ends; raises CorruptionError."""
        return self._data or self._loaded(), self._bounds

    def has(self, row: int, name: str) -> bool:
        """Whether the id of one row is `name`; raises CorruptionError."""
        data = self._data or self._loaded()
        bounds = self._bounds
        return data[bounds[row] : bounds[row + 1]] == name.encode()

    def some(self, start: int, stop: int) -> list[str]:
        """The ids of the rows [start, stop); raises CorruptionError."""
        data = self._data or self._loaded()
        bounds = self._bounds[start : stop + 1].tolist()
        text = data[bounds[0] : bounds[-1]]
        if text.isascii():  # one decoding, many slices
            base, whole = bounds[0], text.decode("ascii")
            return [whole[a - base : b - base] for a, b in pairwise(bounds)]
        return [str(data[a:b], "utf-8") for a, b in pairwise(bounds)]

    def pieces(self, stop: int) -> Iterator[tuple[int, list[str]]]:
        """First row and ids of the rows [0, stop), some at a time; raises CorruptionError."""
        for low in range(0, stop, _STEP):
            yield low, self.some(low, min(low + _STEP, stop))

    def _loaded(self) -> bytes:
        with self._lock:
            if self._data is None:
                column = self._read()
                bounds = column.bounds - column.bounds[0]
                small = np.uint32 if int(bounds[-1]) < 1 << 32 else np.int64
                self._bounds = _integers(bounds.astype(small))
                self._data = column.array[int(column.bounds[0]) : int(column.bounds[-1])].tobytes()
            return self._data


class Ids:
    """The ids of the slots [0, rows) as one reader sees them: columns from slot 0 on, then `tail`, maybe longer."""

    __slots__ = ("_columns", "_firsts", "_tail", "rows")

    def __init__(
        self, columns: Sequence[IdColumn], firsts: Sequence[int], tail: list[str], rows: int
    ) -> None:
        self._columns = columns
        self._firsts = firsts  # one more than columns
        self._tail = tail
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def at(self, slot: int) -> str:
        """The id of one slot; raises CorruptionError."""
        first = self._firsts[-1]
        if slot >= first:
            return self._tail[slot - first]
        position = bisect_right(self._firsts, slot) - 1
        return self._columns[position].at(slot - self._firsts[position])

    def take(self, slots: NDArray[np.integer[Any]] | Sequence[int]) -> list[str]:
        """The ids of some slots; raises CorruptionError."""
        plain = slots.tolist() if isinstance(slots, np.ndarray) else slots
        if len(plain) < _MANY or plain[0] < 0 or not 0 <= plain[-1] - plain[0] <= _DENSE * len(plain):
            return self._each(plain)
        every = self._range(plain[0], plain[-1] + 1)  # most likely ascending
        last, first = len(every), plain[0]
        return [every[slot - first] if 0 <= slot - first < last else self.at(slot) for slot in plain]

    def _each(self, slots: Sequence[int]) -> list[str]:
        """`at` for each of some slots: hits of a search, so no call for each of them."""
        found: list[str] = []
        firsts, tail = self._firsts, self._tail
        data, bounds = b"", memoryview(b"")
        low = high = 0  # the slots of the column whose content that is
        for slot in slots:
            if slot >= firsts[-1]:
                found.append(tail[slot - firsts[-1]])
                continue
            if not low <= slot < high:
                position = bisect_right(firsts, slot)
                low, high = firsts[position - 1], firsts[position]
                data, bounds = self._columns[position - 1].content()
            found.append(data[bounds[slot - low] : bounds[slot - low + 1]].decode())
        return found

    def _range(self, start: int, stop: int) -> list[str]:
        """The ids of the slots [start, stop)."""
        found: list[str] = []
        for first, column in zip(self._firsts, self._columns, strict=False):
            if first < stop and start < first + column.rows:
                found += column.some(max(start - first, 0), min(stop - first, column.rows))
        first = self._firsts[-1]
        return found + self._tail[max(start - first, 0) : max(stop - first, 0)]

    def pieces(self, live: NDArray[np.bool_]) -> Iterator[tuple[int, list[str]]]:
        """First slot and ids of the slots [0, len(live)), some at a time; raises CorruptionError.

        Columns of which `live` marks no slot are not read and left out.
        """
        stop = len(live)
        for first, column in zip(self._firsts, self._columns, strict=False):
            if not live[first : first + column.rows].any():
                continue
            for low, names in column.pieces(min(column.rows, stop - first)):
                yield first + low, names
        first = self._firsts[-1]
        if stop > first:
            yield first, self._tail[: stop - first]


class Slotted(Protocol):
    """What the map asks of the slots it leads to."""

    def id_at(self, slot: int) -> str:
        """The id of a slot."""

    def is_live(self, slot: int) -> bool:
        """Whether the document of a slot is there."""

    def has(self, slot: int, name: str) -> bool:
        """Whether the document of a slot is there and has this id."""


def _integers(array: NDArray[np.integer[Any]]) -> memoryview[int]:
    """The array as something that single numbers come faster from."""
    return memoryview(array)  # type: ignore[arg-type]


class SlotTable:
    """Slots by the hash of their ids: those of one bucket lie together, in the order of 32 bits of their hashes.

    Hashes are Python's, of this process: nobody who writes ids can make them collide.
    """

    __slots__ = ("_array", "_entries", "_shift", "_starts")

    def __init__(self, hashes: Slot32, slots: Slot32) -> None:
        """`hashes` in any order, and the slot of each."""
        self._array = np.sort(hashes.astype(np.uint64) << np.uint64(32) | slots)
        self._shift = 32 - max(len(hashes) - 1, 1).bit_length()
        starts = np.zeros((1 << (32 - self._shift)) + 1, np.uint32)
        counts = np.bincount(self.hashes >> np.uint32(self._shift), minlength=len(starts) - 1)
        np.cumsum(counts, out=starts[1:])
        self._starts, self._entries = _integers(starts), _integers(self._array)

    def __len__(self) -> int:
        return len(self._array)

    @property
    def hashes(self) -> Slot32:
        """The hashes, ascending."""
        return (self._array >> np.uint64(32)).astype(np.uint32)

    @property
    def slots(self) -> Slot32:
        """The slot of each."""
        return self._array.astype(np.uint32)

    def find(self, name: str, owner: Slotted) -> int | None:
        """The live slot of an id."""
        wanted, starts = hash(name) & 0xFFFFFFFF, self._starts
        bucket = wanted >> self._shift
        place, stop = starts[bucket], starts[bucket + 1]
        while place < stop:
            entry = self._entries[place]
            if entry >> 32 == wanted and owner.has(entry & 0xFFFFFFFF, name):
                return entry & 0xFFFFFFFF
            place += 1
        return None

    def twice(self, owner: Slotted) -> str | None:
        """An id that two slots have; None if all differ."""
        hashes, slots = self.hashes, self.slots
        seen: dict[int, set[str]] = {}
        for place in np.flatnonzero(hashes[1:] == hashes[:-1]).tolist():
            names = seen.setdefault(int(hashes[place]), {owner.id_at(int(slots[place]))})
            name = owner.id_at(int(slots[place + 1]))
            if name in names:
                return name
            names.add(name)
        return None


def hashes_of(names: Sequence[str]) -> Slot32:
    """32 bits of the hash of each id."""
    return (np.fromiter(map(hash, names), np.int64, len(names)) & 0xFFFFFFFF).astype(np.uint32)


class SlotMap:
    """The slots of live ids. One thread changes it; any may look.

    Slots below `covered` are in the table or were dead when it was made; the ids of live slots behind them are in the
    dict. Both may lead to slots that are dead by now, which count as not there. An id that two live slots have is found
    when the table is made.
    """

    __slots__ = ("_covered", "_lock", "_make", "_owner", "_state")

    def __init__(self, owner: Slotted, make: Callable[[int], SlotTable]) -> None:
        """`make(n)` gives the table of the live slots below n; called when it is first needed."""
        self._owner = owner
        self._make = make
        self._lock = RLock()
        self._covered = 0
        self._state: tuple[SlotTable | None, dict[str, int]] = None, {}

    def get(self, name: str) -> int | None:
        """The slot of a live id; None if there is none. Raises CorruptionError where two slots have one id."""
        while True:
            state = self._state
            table, recent = state
            slot = recent.get(name)
            if slot is not None:
                if self._owner.is_live(slot):
                    return slot
            elif table is not None or self._covered:
                found = (table or self._made()).find(name, self._owner)
                if found is not None:
                    return found
            # An id has its new slot before the old one dies, so what changed meanwhile may be where it is now.
            if recent.get(name) == slot and self._state is state:
                return None

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __getitem__(self, name: str) -> int:
        slot = self.get(name)
        if slot is None:
            raise KeyError(name)
        return slot

    def cover(self, rows: int) -> bool:
        """Leave all slots below `rows` to the table; False where there is one, or an id in the dict."""
        with self._lock:
            table, recent = self._state
            if table is None and not recent:
                self._covered = rows
                return True
            return False

    def add(self, names: Sequence[str], slots: Sequence[int]) -> None:
        """Ids of new live slots; the slots they had are killed next."""
        recent = self._state[1]
        if len(names) == 1:
            recent[names[0]] = slots[0]
        else:
            recent.update(zip(names, slots, strict=True))

    def tidy(self, rows: int) -> None:
        """Move the ids of the dict into the table where they have become many; there are `rows` slots.

        Reads nothing from the disk: this follows writes that are in the log.
        """
        table, recent = self._state
        if len(recent) <= _LEAST_RECENT or (table is None and self._covered):
            return
        if table is None:
            table = self._made()
        if len(recent) <= min(max(_LEAST_RECENT, len(table) // _SHARE), _MOST_RECENT):
            return
        slots, hashes = self._recent()
        merged = SlotTable(np.concatenate([table.hashes, hashes]), np.concatenate([table.slots, slots]))
        self._covered = rows
        self._state = merged, {}

    def _recent(self) -> tuple[Slot32, Slot32]:
        """Slots of the dict that are live, and the hashes of their ids."""
        live = {name: slot for name, slot in self._state[1].items() if self._owner.is_live(slot)}
        return np.fromiter(live.values(), np.uint32, len(live)), hashes_of(list(live))

    def moved_to(self, owner: Slotted, make: Callable[[int], SlotTable]) -> SlotMap:
        """This map, whose slots are the same in `owner`."""
        self._owner, self._make = owner, make
        return self

    def renumbered(
        self, owner: Slotted, make: Callable[[int], SlotTable], number: NDArray[np.int64], rows: int
    ) -> SlotMap:
        """The map for `owner`, in which slot s is number[s], or is gone where that is negative."""
        other = SlotMap(owner, make)
        table = self._state[0]
        other._covered = rows
        if table is not None:
            moved = number[table.slots]
            there = moved >= 0
            slots, hashes = self._recent()
            slots = np.concatenate([moved[there], number[slots]]).astype(np.uint32)
            other._state = SlotTable(np.concatenate([table.hashes[there], hashes]), slots), {}
        return other

    def renumbered_behind(
        self, owner: Slotted, make: Callable[[int], SlotTable], number: NDArray[np.int64], rows: int
    ) -> SlotMap:
        """The map for `owner`, of whose `rows` slots the last ones, as many as `number` has, get its numbers.

        Costs what the dict does, unless the table has some of those slots as well.
        """
        first = rows - len(number)
        if self._covered > first:
            return self.renumbered(owner, make, np.concatenate([np.arange(first), number]), rows)
        table, recent = self._state
        other = SlotMap(owner, make)
        other._covered = self._covered
        moved = {
            name: slot if slot < first else int(number[slot - first])
            for name, slot in recent.items()
            if self._owner.is_live(slot)
        }
        other._state = table, moved
        return other

    def _made(self) -> SlotTable:
        with self._lock:
            table, recent = self._state
            if table is None:
                table = self._make(self._covered)
                self._state = table, recent
            return table
