"""The graph on the disk; see `DiskIndex`."""

from __future__ import annotations

from vego.index.disk.index import DISK_METRICS, DiskIndex

__all__ = ["DISK_METRICS", "DiskIndex"]
