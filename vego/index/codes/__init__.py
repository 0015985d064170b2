"""Codes that stand for vectors in the lists of an index: 4-bit product codes, RaBitQ, 8-bit, 16-bit, none."""

from __future__ import annotations

from vego.index.codes.coder import CODE_KINDS, Coder, coder_class

__all__ = ["CODE_KINDS", "Coder", "coder_class"]
