"""What is known of the values in stretches of a column without reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Zones:
    """Statistics of n consecutive zones of one column.

    `rows`, `nulls`: int64 (n,). `nans`: int64 (n,), or None: not counted. `known`: bool (n,), whether `low`
    and `high` say anything. Where known, `low <= value <= high` of every value but nulls and NaN; bounds
    may be wider than the values (`low_exact`, `high_exact` tell where they are not) but never narrower.

    `low`, `high` (n,): int64 or uint64 (bools, integers, times), float64, or objects: bytes, and the unscaled
    integers of decimals. `prefix`: uint64 of strings' first 8 bytes, zero padded, as big-endian numbers.
    """

    rows: NDArray[np.int64]
    nulls: NDArray[np.int64]
    nans: NDArray[np.int64] | None
    known: Mask
    low: NDArray[Any]
    high: NDArray[Any]
    low_exact: Mask | None = None
    high_exact: Mask | None = None
    prefix: bool = False
