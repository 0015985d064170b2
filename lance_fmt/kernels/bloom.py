"""Filling split-block Bloom filters (FORMAT.md, "Bloom filters")."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def fill_bloom(hashes, salts, blocks):
    """Set the bits of uint64 `hashes` in the zeroed uint32 `blocks` `(n, 8)`; `salts` is uint32 `(8,)`."""
    count = np.uint64(blocks.shape[0])
    for i in range(hashes.size):
        value = hashes[np.uint64(i)]
        block = blocks[((value >> np.uint64(32)) * count) >> np.uint64(32)]
        key = np.uint32(value)
        for j in range(8):
            block[j] |= np.uint32(1) << (np.uint32(key * salts[j]) >> np.uint32(27))
