"""Whether bytes are UTF-8 (RFC 3629, section 4)."""

import numpy as np

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.unaligned import load64


@kernel
def is_utf8(data):
    """Whether uint8 `data` is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF."""
    at = np.uint64(0)
    end = np.uint64(data.size)
    one, eight = np.uint64(1), np.uint64(8)
    while at < end:
        if at + eight <= end and load64(data, at) & np.uint64(0x8080808080808080) == np.uint64(0):
            at += eight
            continue
        lead = data[at]
        at += one
        if lead < 0x80:
            continue
        if lead < 0xC2 or lead > 0xF4:
            return False
        more = np.uint64(1) + np.uint64(lead >= 0xE0) + np.uint64(lead >= 0xF0)
        if end - at < more:
            return False
        second = data[at]
        if (
            (lead == 0xE0 and second < 0xA0)
            or (lead == 0xED and second > 0x9F)
            or (lead == 0xF0 and second < 0x90)
            or (lead == 0xF4 and second > 0x8F)
        ):
            return False
        for place in range(more):
            if data[at + np.uint64(place)] & 0xC0 != 0x80:
                return False
        at += more
    return True
