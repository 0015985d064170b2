"""Running sums: what differences are turned back with (FORMAT.md, "Delta")."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def running_sum(differences, smallest, first, out):
    """Set `out[0]` to `first`, each next value to the one before plus its difference plus `smallest`.

    All of one unsigned type, whose width is the modulus; `out` is one longer than `differences`.
    """
    total = np.uint64(first)
    out[0] = first
    rest = out[1:]
    for i in range(differences.size):
        total += np.uint64(differences[i]) + np.uint64(smallest)
        rest[i] = total
