"""Expanding runs (FORMAT.md, "Run-length")."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def expand_runs(values, lengths, out):
    """Fill `out` with each of `values` as often as uint32 `lengths` says; the lengths sum to `out.size`."""
    at = np.uint64(0)
    for i in range(values.size):
        end = at + np.uint64(lengths[np.uint64(i)])
        value = values[np.uint64(i)]
        part = out[at:end]
        for j in range(part.size):
            part[j] = value
        at = end
