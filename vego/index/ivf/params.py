"""What inverted lists are built with."""

from __future__ import annotations

from dataclasses import dataclass

from vego.errors import InvalidArgumentError
from vego.index.codes import CODE_KINDS
from vego.index.metrics import Metric

IVF_METRICS = (Metric.L2, Metric.COSINE, Metric.INNER_PRODUCT)  # those whose nearest are near the same mean
MAX_DIMENSION = 32_768
MAX_LISTS = 1 << 20
LIST_ROWS = 32  # the least average length of a list that is chosen for the caller: a block of 4-bit codes


@dataclass(frozen=True, kw_only=True)
class IvfParams:
    """Construction parameters; raises InvalidArgumentError for one out of its bounds.

    `code` is one of CODE_KINDS. `lists` is the number of lists, 1 for a scan of all codes, 0 for a number that goes
    with the rows. `seed` decides first centres and rotations.
    """

    metric: Metric
    dimension: int
    code: str = "pq"
    lists: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.code not in CODE_KINDS:
            raise InvalidArgumentError(f"code: expected one of {', '.join(CODE_KINDS)}, found {self.code!r}")
        if self.metric not in IVF_METRICS:
            known = ", ".join(metric.value for metric in IVF_METRICS)
            raise InvalidArgumentError(f"metric: inverted lists know {known}, found {self.metric.value!r}")
        bounds = {"dimension": (1, MAX_DIMENSION), "lists": (0, MAX_LISTS), "seed": (0, (1 << 64) - 1)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InvalidArgumentError(
                    f"{name}: expected a whole number, {low} to {high}, found {value!r}"
                )

    def lists_for(self, rows: int) -> int:
        """How many lists `rows` rows are put into: about 2 sqrt(rows), or what the caller asked for."""
        chosen = self.lists or round(2 * rows**0.5)
        return max(1, min(chosen, rows if self.lists else rows // LIST_ROWS, MAX_LISTS))
