"""Hash tables over the bits of vectors of bits; see `LshIndex`."""

from __future__ import annotations

from vego.index.lsh.index import LshIndex

__all__ = ["LshIndex"]
