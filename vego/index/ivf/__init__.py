"""Inverted lists over any code; see `IvfIndex`."""

from __future__ import annotations

from vego.index.ivf.index import IvfIndex

__all__ = ["IvfIndex"]
