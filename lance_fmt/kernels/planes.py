"""Putting the byte planes of numbers together again (FORMAT.md, "Byte stream split")."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def join2(a, b, turn, out):
    """Set uint16 `out` to the numbers of byte planes `a` (lowest) and `b`, rotated right by `turn` (0 or 1)."""
    back = np.uint16(np.uint16(16 - turn) & np.uint16(15))
    for i in range(out.size):
        value = np.uint16(np.uint16(a[i]) | np.uint16(np.uint16(b[i]) << 8))
        out[i] = (value >> np.uint16(turn)) | np.uint16(value << back)


@kernel
def join4(a, b, c, d, turn, out):
    """Like `join2` for uint32 `out` and four planes."""
    back = np.uint32(32 - turn) & np.uint32(31)
    right = np.uint32(turn)
    for i in range(out.size):
        low = np.uint32(a[i]) | (np.uint32(b[i]) << np.uint32(8))
        value = low | (np.uint32(c[i]) << np.uint32(16)) | (np.uint32(d[i]) << np.uint32(24))
        out[i] = (value >> right) | (value << back)


@kernel
def join8(a, b, c, d, e, f, g, h, turn, out):
    """Like `join2` for uint64 `out` and eight planes."""
    back = np.uint64(64 - turn) & np.uint64(63)
    right = np.uint64(turn)
    for i in range(out.size):
        low = np.uint32(a[i]) | (np.uint32(b[i]) << np.uint32(8))
        low = low | (np.uint32(c[i]) << np.uint32(16)) | (np.uint32(d[i]) << np.uint32(24))
        high = np.uint32(e[i]) | (np.uint32(f[i]) << np.uint32(8))
        high = high | (np.uint32(g[i]) << np.uint32(16)) | (np.uint32(h[i]) << np.uint32(24))
        value = np.uint64(low) | (np.uint64(high) << np.uint64(32))
        out[i] = (value >> right) | (value << back)
