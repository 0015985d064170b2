"""What codes of one row each have in common: arrays by place are columns by row, in another order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from vego.index.views import aligned_empty

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


class RowCoder:
    """A code whose unit is one row."""

    unit_rows: ClassVar[int] = 1

    def columns(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """Type and shape of one entry of each column."""
        return {}

    def room(self, units: int) -> Arrays:
        """Arrays of `units` rows, with any content."""
        return {name: aligned_empty((units, *shape), kind) for name, (kind, shape) in self.columns().items()}

    def put(self, arrays: Arrays, places: Array, columns: Mapping[str, Array]) -> None:
        """Write columns to places."""
        for name, column in columns.items():
            arrays[name][places] = column

    def take(self, arrays: Arrays, places: Array) -> Arrays:
        """The columns of the rows at some places."""
        return {name: arrays[name][places] for name in self.columns()}
