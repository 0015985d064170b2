"""Squarified treemaps: rectangles whose areas are as given, as near to squares as a simple rule gets them.

After M. Bruls, K. Huizing, J. J. van Wijk, "Squarified Treemaps", VisSym 2000.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float


def squarify(sizes: Sequence[float], box: Box) -> list[Box]:
    """One box for each size, in order, that tile `box`; sizes are positive and best given largest first."""
    total = sum(sizes)
    if not sizes or total <= 0 or box.width <= 0 or box.height <= 0:
        return [Box(box.x, box.y, 0, 0) for _ in sizes]
    scale = box.width * box.height / total
    areas = [size * scale for size in sizes]
    found: list[Box] = []
    start = 0
    while start < len(areas):
        side = min(box.width, box.height)
        stop, row = start + 1, areas[start]
        worst = _worst(areas, start, stop, row, side)
        while stop < len(areas):
            wider = _worst(areas, start, stop + 1, row + areas[stop], side)
            if wider > worst:
                break
            worst, row, stop = wider, row + areas[stop], stop + 1
        box = _lay(areas[start:stop], row, box, found)
        start = stop
    return found


def _worst(areas: Sequence[float], start: int, stop: int, row: float, side: float) -> float:
    """The worst ratio of sides in a row laid along `side`."""
    if row <= 0 or side <= 0:
        return float("inf")
    thick = row / side
    part = areas[start:stop]
    return max(
        max(thick * thick / area, area / (thick * thick)) for area in (min(part), max(part)) if area > 0
    )


def _lay(areas: Sequence[float], row: float, box: Box, found: list[Box]) -> Box:
    """Lay a row along the shorter side; returns what is left of the box."""
    if box.width >= box.height:
        thick, at = row / box.height if box.height else 0.0, box.y
        for area in areas:
            long = area / thick if thick else 0.0
            found.append(Box(box.x, at, thick, long))
            at += long
        return Box(box.x + thick, box.y, max(box.width - thick, 0.0), box.height)
    thick, at = row / box.width if box.width else 0.0, box.x
    for area in areas:
        long = area / thick if thick else 0.0
        found.append(Box(at, box.y, long, thick))
        at += long
    return Box(box.x, box.y + thick, box.width, max(box.height - thick, 0.0))
