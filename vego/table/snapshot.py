"""The rows of a collection as one reader sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vego.table.ids import SlotMap
from vego.table.memtable import MemTable
from vego.table.segment import Segment
from vego.table.slots import SlotView


@dataclass(frozen=True, slots=True)
class RowSnapshot:
    """The rows as of one moment: arrays in slot order and where each slot's metadata lies.

    `slot_of` is the writer's map from live ids to slots: it may be ahead of `view`, but its slots mean the same. The
    slots of segments mean the same in all snapshots with the same `numbering`.
    """

    version: int
    view: SlotView
    slot_of: SlotMap
    sources: tuple[tuple[int, Segment | MemTable], ...]  # first slot, rows from there on
    numbering: object = None

    @property
    def flushed_rows(self) -> int:
        """Slots of segments; those behind them are of the write buffer."""
        return self.sources[-1][0]

    def metadata(self, slot: int) -> dict[str, Any]:
        """The metadata of one slot, as it was inserted."""
        for first, source in reversed(self.sources):
            if slot >= first:
                return source.metadata(slot - first)
        raise IndexError(slot)
