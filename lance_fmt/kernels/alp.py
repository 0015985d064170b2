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

    `e` goes up to `most`, f up to e; `limit` (at most 2^53) bounds the integers; `one` is an array of the type
    that the values were of, which sets the precision that they must come back in.
    """
    best = np.float64(np.inf)
    found = 0
    size = values.size
    far = np.int64(1) << np.int64(62)
    for e in range(most, -1, -1):
        for f in range(e + 1):
            up, down, back_up, back_down = powers[e], inverses[f], powers[f], inverses[e]
            low, high, bad = far, -far, 0
            # Integers, and no branch: so it becomes vector instructions.
            for i in range(size):
                value = values[i]
                number = np.rint(value * up * down)
                good = abs(number) < limit
                good &= np.float64(one.dtype.type(number * back_up * back_down)) == value
                whole = np.int64(number if good else 0.0)
                low = min(low, whole if good else far)
                high = max(high, whole if good else -far)
                bad += not good
            if 96.0 * bad < best:
                width = np.ceil(np.log2(np.float64(high - low) + 1.0)) if high >= low else 0.0
                cost = width * (size - bad) + 96.0 * bad
                if cost < best:
                    best = cost
                    found = e * 32 + f
    return found


@kernel
def encode_decimals(values, limit, up, down, back_up, back_down, numbers, wrong):
    """Set `numbers` to `values * up * down`, rounded to even, computed in float64; 0 where not below `limit`.

    Bool `wrong` is set where `decode_decimals` by `back_up` and `back_down` does not give the value back bit
    for bit; the sum of it is returned.
    """
    total = 0
    for i in range(values.size):
        value = np.float64(values[i])
        number = np.rint(value * up * down)
        number = number if abs(number) < limit else 0.0
        back = np.float64(values.dtype.type(number * back_up * back_down))
        # Equal floats differ in their bits only if they are zeros of two signs, and the integer 0 is no -0.0.
        bad = (back != value) | ((number == 0.0) & (np.copysign(1.0, value) < 0.0))
        numbers[i] = np.int64(number)
        wrong[i] = bad
        total += bad
    return total


@kernel
def decode_decimals(numbers, up, down, out):
    """Set float `out` to `numbers * up * down`, computed in float64."""
    for i in range(out.size):
        out[i] = np.float64(numbers[i]) * up * down


@kernel
def put_exceptions(positions, exceptions, out):
    """Set `out` to `exceptions` at uint32 `positions`; return whether these ascend and are within `out`."""
    before = np.int64(-1)
    for i in range(positions.size):
        place = np.int64(positions[i])
        if place <= before or place >= out.size:
            return False
        out[np.uint64(place)] = exceptions[i]
        before = place
    return True
