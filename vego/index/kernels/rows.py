"""Rows of vectors by slot, where the vectors are several arrays: a table of their addresses.

`vectors` int64 (c + 1, 4) has one line for each of c arrays, in slot order: first slot, address of the rows,
address of the states uint8 of their blocks, shift (a block is `2^shift` rows). The last line begins with the number
of slots; its second entry is set to 1 where a kernel met a block whose state is not SETTLED; then come the kind of
the rows (vego/vector_type.py) and their length in bytes.
`inverse_norms` int64 (c,) are the addresses of the float32 inverse norms of each. The caller keeps the arrays
alive and sees to it that every slot is below the number of slots. See `vego/table/vectors.py`.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.addresses import bytes_at, floats_at, prefetch_bytes

UNSETTLED, SETTLED, ASKED = 0, 1, 2


@kernel
def chunk_of(vectors, slot):
    """The line of the array that holds a slot."""
    low, high = np.uint64(0), np.uint64(vectors.shape[0] - 1)
    while high - low > np.uint64(1):
        middle = (low + high) >> np.uint64(1)
        if vectors[middle, 0] <= slot:
            low = middle
        else:
            high = middle
    return low


@kernel
def array_with(vectors, chunk, slot):
    """`chunk_of`, which is not asked where the slot is in `chunk`, as the one before often is."""
    if slot < vectors[chunk, 0] or slot >= vectors[chunk + np.uint64(1), 0]:
        return chunk_of(vectors, slot)
    return chunk


@kernel
def kind_of(vectors):
    """What the rows are made of: see vego/vector_type.py."""
    return vectors[np.uint64(vectors.shape[0] - 1), 2]


@kernel
def row_bytes(vectors):
    """Length of a row."""
    return vectors[np.uint64(vectors.shape[0] - 1), 3]


@kernel
def address_at(vectors, chunk, slot):
    """The address of the vector of a slot that lies in array `chunk`."""
    return address_in(vectors, chunk, slot, row_bytes(vectors))


@kernel
def address_in(vectors, chunk, slot, size):
    """`address_at` where the length of a row is known."""
    return vectors[chunk, 1] + (np.int64(slot) - vectors[chunk, 0]) * size


@kernel
def vector_at(vectors, chunk, slot, dimension):
    """The float32 vector (dimension,) of a slot that lies in array `chunk`."""
    return floats_at(address_at(vectors, chunk, slot), dimension)


@kernel
def norm_at(vectors, inverse_norms, chunk, slot):
    """The inverse norm of a slot that lies in array `chunk`."""
    return floats_at(inverse_norms[chunk] + np.int64(4) * (np.int64(slot) - vectors[chunk, 0]), 1)[0]


@kernel
def prefetch_row(vectors, chunk, slot, size):
    """`prefetch_vector` where the array that the row is in and the length of a row are known."""
    place = np.int64(slot) - vectors[chunk, 0]
    prefetch_bytes(address_in(vectors, chunk, slot, size), size)
    state = bytes_at(vectors[chunk, 2] + (place >> vectors[chunk, 3]), 1)
    if state[0] != SETTLED:
        state[0] = ASKED
        vectors[vectors.shape[0] - 1, 1] = 1


@kernel
def prefetch_norm(vectors, inverse_norms, chunk, slot):
    """Ask for the inverse norm of a slot ahead of its use."""
    prefetch_bytes(inverse_norms[chunk] + np.int64(4) * (np.int64(slot) - vectors[chunk, 0]), np.int64(4))


@kernel
def prefetch_vector(vectors, slot):
    """Ask for the vector of a slot ahead of its use; notes where its block is not settled."""
    prefetch_row(vectors, chunk_of(vectors, slot), slot, row_bytes(vectors))
