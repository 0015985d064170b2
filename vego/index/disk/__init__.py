"""The graph on the disk; see `DiskIndex`."""

from __future__ import annotations

from vego.index.disk.index import DiskIndex

__all__ = ["DiskIndex"]
