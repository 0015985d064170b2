"""16-bit floats as uint16: rounding to them, and back. Sums from them are in vego/index/kernels/scoring.py.

bfloat16 is the upper half of a float32. float16 is widened by moving its bits and adding to the exponent, exact for
every finite value. Rounding is to nearest, ties to even; what is too large becomes the largest finite value.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel

FLOAT16, BFLOAT16 = 0, 1


@kernel
def widened(kind, bits):
    """The float32 that 16 bits stand for."""
    if kind == BFLOAT16:
        return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)
    magnitude = np.uint32(bits & np.uint16(0x7FFF))
    shifted = np.uint32(magnitude << np.uint32(13))
    normal = np.uint32(shifted + np.uint32(112 << 23)).view(np.float32)
    # Below 2^-14 the exponent is that of 2^-14 without the leading one; no subnormal float32 is ever touched.
    small = np.uint32(shifted + np.uint32(113 << 23)).view(np.float32) - np.float32(2.0**-14)
    value = small if magnitude < np.uint32(0x400) else normal
    return -value if bits & np.uint16(0x8000) else value


@kernel
def round_rows(kind, rows, out):
    """Round rows (n, d) float32, all finite, to 16 bits in `out` (n, d) uint16."""
    for i in range(rows.shape[0]):
        row, target = rows[np.uint32(i)], out[np.uint32(i)]
        for j in range(row.shape[0]):
            bits = np.float32(row[j]).view(np.uint32)
            sign = np.uint32(bits >> np.uint32(16)) & np.uint32(0x8000)
            magnitude = bits & np.uint32(0x7FFFFFFF)
            if kind == BFLOAT16:
                rounded = (
                    magnitude + np.uint32(0x7FFF) + ((magnitude >> np.uint32(16)) & np.uint32(1))
                ) >> np.uint32(16)
                rounded = min(rounded, np.uint32(0x7F7F))
            else:
                # In units of the last place at 2^-14 and above; below that, steps of 2^-24.
                value = np.float32(abs(row[j]))
                if value < np.float32(2.0**-14):
                    rounded = np.uint32(np.rint(value * np.float32(2.0**24)))
                else:
                    shifted = magnitude - np.uint32(112 << 23)
                    rounded = (
                        shifted + np.uint32(0xFFF) + ((shifted >> np.uint32(13)) & np.uint32(1))
                    ) >> np.uint32(13)
                    rounded = min(rounded, np.uint32(0x7BFF))
            target[j] = np.uint16(sign | rounded)
