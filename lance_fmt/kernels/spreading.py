"""Rows that are stored, put where they belong among nulls (FORMAT.md, "Blocks")."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def spread_values(values, places, out):
    """Set `out[i]` to the next of unsigned `values` where `places[i]`, and to 0 elsewhere."""
    following = np.uint64(0)
    last = np.uint64(values.size - 1)
    for i in range(out.size):
        # No branch: which rows are null is hard to foresee.
        here = np.uint64(places[np.uint64(i)])
        out[np.uint64(i)] = values[min(following, last)] * values.dtype.type(here)
        following += here


@kernel
def spread_offsets(offsets, places, out):
    """Offsets int64 `(n + 1,)` of n rows of which those where `places` is True have the given `offsets`."""
    following = np.uint64(0)
    out[np.uint64(0)] = offsets[np.uint64(0)]
    for i in range(places.size):
        following += np.uint64(places[np.uint64(i)])
        out[np.uint64(i) + np.uint64(1)] = offsets[following]
