"""Whether byte strings are text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lance_fmt.kernels import loader


def valid_text(data: NDArray[np.uint8], offsets: NDArray[Any]) -> bool:
    """Whether each of the strings (`data`, `offsets`) is UTF-8 by itself.

    `offsets` ascend and cover `data`. All are if the bytes as a whole are and no string starts within a character.
    """
    if not data.size or int(data.max()) < 0x80:
        return True
    data = np.ascontiguousarray(data).view()
    data.flags.writeable = False  # the kernel is compiled for one kind of array only
    if not loader.is_utf8()(data):
        return False
    # A start behind the last byte is that of empty strings at the end.
    starts = data[np.minimum(offsets, data.size - 1)]
    return not bool((((starts & 0xC0) == 0x80) & (offsets < data.size)).any())
