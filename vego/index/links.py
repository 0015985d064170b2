"""Rows of links as graphs have them in memory, and as slots.

Link j of row i is the little-endian number links[i, j] of three bytes where slots are below SHORT_ROWS, else of four;
all ones, NONE, end a row. Kernels read a link as a word of four bytes (kernels/links.py), so that behind the last one
of three bytes there is at least one more: `empty_links` alone makes such arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.views import aligned_empty

NONE = 0xFFFFFFFF
WORD = 4  # bytes of a slot
SHORT = 3  # bytes of a link between few slots
SHORT_ROWS = 1 << 23  # slots below it have the highest of three bytes' bits clear, which NONE has set

Links = npt.NDArray[np.uint8]  # (rows, width, bytes of a link)


def link_bytes(rows: int) -> int:
    """Bytes of a link between so many slots."""
    return SHORT if rows <= SHORT_ROWS else WORD


def empty_links(rows: int, width: int, size: int) -> Links:
    """Room for `rows` rows of `width` links of `size` bytes, not filled in."""
    # The next cache line begins behind the last link, not with it.
    return aligned_empty((rows + 1, width, size), np.uint8)[:rows]


def wide_links(slots: npt.NDArray[np.uint32]) -> Links:
    """Rows of slots (rows, width) as links of four bytes, the same memory."""
    return slots.view(np.uint8).reshape(*slots.shape, WORD)


def links_of(slots: npt.NDArray[np.uint32], size: int) -> Links:
    """Rows of slots (rows, width) as links of `size` bytes, a copy."""
    links = empty_links(len(slots), slots.shape[1], size)
    put_slots(links, slots)
    return links


def put_slots(links: Links, slots: npt.NDArray[Any]) -> None:
    """Fill rows of links with rows of slots uint32 of the same shape."""
    wide = wide_links(np.ascontiguousarray(slots, np.uint32))
    for byte in range(links.shape[2]):  # NumPy would copy the bytes of each link in a loop of their own
        links[..., byte] = wide[..., byte]


def slots_of(links: Links) -> npt.NDArray[np.uint32]:
    """The slots (rows, width) that rows of links lead to, NONE behind the last; a view of links of four bytes."""
    rows, width, size = links.shape
    if size == WORD:
        return links.view(np.uint32).reshape(rows, width)
    wide = np.empty((rows, width, WORD), np.uint8)
    for byte in range(size):
        wide[..., byte] = links[..., byte]
    np.negative(links[..., -1] >> 7, out=wide[..., size])
    return wide.view(np.uint32).reshape(rows, width)
