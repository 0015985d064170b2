"""LEB128 of zigzagged differences (FORMAT.md, "Varint"). T is the width in bits of the values' unsigned type."""

import numpy as np

from lance_fmt.kernels.decorator import kernel

TRUNCATED = -1
TOO_LARGE = -2
OVERLONG = -3


@kernel
def write_varints(values, out):
    """Write unsigned `values` to uint8 `out`, which has ceil(T / 7) bytes for each; return the bytes used."""
    bits = np.uint64(np.iinfo(values.dtype).bits)
    one, seven, more = np.uint64(1), np.uint64(7), np.uint64(0x80)
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - bits)
    before = np.uint64(0)
    at = np.uint64(0)
    for i in range(values.size):
        value = np.uint64(values[np.uint64(i)])
        step = (value - before) & mask
        before = value
        number = ((step << one) ^ (np.uint64(0) - (step >> (bits - one)))) & mask
        while number >= more:
            out[at] = (number & np.uint64(0x7F)) | more
            at += one
            number >>= seven
        out[at] = number
        at += one
    return np.int64(at)


@kernel
def read_varints(data, out):
    """Read `out.size` values from uint8 `data`; return the bytes used, or one of the negative codes above."""
    bits = np.uint64(np.iinfo(out.dtype).bits)
    one, seven, more = np.uint64(1), np.uint64(7), np.uint64(0x80)
    size = np.uint64(data.size)
    total = np.uint64(0)
    at = np.uint64(0)
    for i in range(out.size):
        if at >= size:
            return np.int64(TRUNCATED)
        byte = np.uint64(data[at])
        at += one
        number = byte
        if byte >= more:
            number = byte & np.uint64(0x7F)
            shift = np.uint64(0)
            while byte >= more:
                if at >= size:
                    return np.int64(TRUNCATED)
                shift += seven
                byte = np.uint64(data[at])
                at += one
                part = byte & np.uint64(0x7F)
                # A number of T bits has no digit at or past bit T, and its highest one is cut there.
                if shift >= bits or (part >> one) >> (min(bits - shift, np.uint64(8)) - one) != np.uint64(0):
                    return np.int64(TOO_LARGE)
                number |= part << shift
            if byte == np.uint64(0):
                return np.int64(OVERLONG)
        elif (number >> one) >> (bits - one) != np.uint64(0):
            return np.int64(TOO_LARGE)
        total += (number >> one) ^ (np.uint64(0) - (number & one))
        out[np.uint64(i)] = total
    return np.int64(at)
