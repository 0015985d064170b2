"""ALP: floats that were decimals, as integers (FORMAT.md, "ALP").

A. Afroozeh, L. Kuffo, P. Boncz, "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2024. Written from
the paper; float32 is computed in float64 too, where two-decimal values come back without exceptions.
`powers` and `inverses` are the float64 nearest to 10^k and 10^-k. Products are rounded one by one, in the
order written: a reader must do the same.
"""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def find_exponents(values, limit, most, powers, inverses, one):
    """The (e, f) that write float64 `values` in the fewest bits, as e * 32 + f.

    `e` goes up to `most`, f up to e; `limit` bounds the integers; `one` is an array of one of the type that
    the values were of, and sets the precision that they must come back in.
    """
    best = np.float64(np.inf)
    found = 0
    for e in range(most, -1, -1):
        for f in range(e + 1):
            low, high, bad = np.inf, -np.inf, 0
            for i in range(values.size):
                value = values[i]
                number = np.rint(value * powers[e] * inverses[f])
                one[0] = number * powers[f] * inverses[e]
                if abs(number) < limit and np.float64(one[0]) == value:
                    low = min(low, number)
                    high = max(high, number)
                else:
                    bad += 1
            width = np.ceil(np.log2(high - low + 1.0)) if high >= low else 0.0
            cost = width * (values.size - bad) + 96.0 * bad
            if cost < best:
                best = cost
                found = e * 32 + f
    return found


@kernel
def round_decimals(values, limit, up, down, numbers):
    """Set `numbers` to `values * up * down`, rounded to even, computed in float64; 0 where not below `limit`."""
    for i in range(values.size):
        number = np.rint(np.float64(values[i]) * up * down)
        numbers[i] = np.int64(number) if abs(number) < limit else np.int64(0)


@kernel
def decode_decimals(numbers, up, down, out):
    """Set float `out` to `numbers * up * down`, computed in float64."""
    for i in range(out.size):
        out[i] = np.float64(numbers[i]) * up * down
