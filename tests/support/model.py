"""What a collection should answer: a dict of documents and brute force over them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Model:
    """A collection as a Python dict from id to (vector, metadata)."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.documents: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}

    def distance(self, a: np.ndarray, b: np.ndarray) -> float:
        """In float64, straight from the definition."""
        a, b = a.astype(np.float64), b.astype(np.float64)
        if self.metric == "l2":
            return math.sqrt(float(((a - b) ** 2).sum()))
        if self.metric == "l1":
            return float(np.abs(a - b).sum())
        if self.metric == "ip":
            return -float(a @ b)
        norms = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
        return 1.0 - (float(a @ b) / norms if norms > 0 else 0.0)

    def nearest(self, query: np.ndarray, k: int, keep: set[str] | None = None) -> list[tuple[float, str]]:
        """The k nearest (distance, id) of all documents, or of those in `keep`."""
        found = [
            (self.distance(query, vector), name)
            for name, (vector, _) in self.documents.items()
            if keep is None or name in keep
        ]
        return sorted(found)[:k]


def same_value(a: Any, b: Any) -> bool:
    """Equal, of the same type all the way down, and NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a != a and b != b) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_value(a[key], b[key]) for key in a)
    if hasattr(a, "tzinfo"):
        return a == b and a.utcoffset() == b.utcoffset() and getattr(a, "fold", 0) == getattr(b, "fold", 0)
    return bool(a == b)
