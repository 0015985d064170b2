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
from llvmlite import ir
from numba import carray, config, types
from numba.core import cgutils
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel

UNSETTLED, SETTLED, ASKED = 0, 1, 2
CACHE_LINE = 64  # bytes
INT8, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


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


@intrinsic
def _floats_at(typingctx, address):  # noqa: ARG001
    """The address as a pointer to float32."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), codegen


@intrinsic
def _bytes_at(typingctx, address):  # noqa: ARG001
    """The address as a pointer to uint8."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.int64), codegen


@intrinsic
def _prefetch_bytes(typingctx, address, size):  # noqa: ARG001
    """Ask for every cache line of `size` bytes ahead of their use."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        pointer = builder.inttoptr(args[0], INT8.as_pointer())
        lines = builder.udiv(builder.add(args[1], INT64(CACHE_LINE - 1)), INT64(CACHE_LINE))
        kind = ir.FunctionType(ir.VoidType(), [INT8.as_pointer(), INT32, INT32, INT32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        with cgutils.for_range(builder, lines) as loop:
            line = builder.gep(pointer, [builder.mul(loop.index, INT64(CACHE_LINE))])
            builder.call(function, [line, INT32(0), INT32(3), INT32(1)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code

    class _Memory:
        """Memory as NumPy takes it."""

        def __init__(self, address, count, kind):
            self.__array_interface__ = {
                "data": (int(address), False), "shape": (int(count),), "typestr": kind, "version": 3
            }  # fmt: skip

    def floats_at(address, count):
        """The float32 (count,) at an address."""
        return np.asarray(_Memory(address, count, "<f4"))

    def states_at(address, count):
        """The uint8 (count,) at an address."""
        return np.asarray(_Memory(address, count, "|u1"))

    def prefetch_bytes(address, size):
        """Nothing: interpreted code has no use for it."""
else:

    @kernel
    def floats_at(address, count):
        """The float32 (count,) at an address."""
        return carray(_floats_at(np.int64(address)), (count,))

    @kernel
    def states_at(address, count):
        """The uint8 (count,) at an address."""
        return carray(_bytes_at(np.int64(address)), (count,))

    @kernel
    def prefetch_bytes(address, size):
        """Ask for every cache line of `size` bytes ahead of their use."""
        _prefetch_bytes(np.int64(address), np.int64(size))


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
def prefetch_vector(vectors, slot):
    """Ask for the vector of a slot ahead of its use; notes where its block is not settled."""
    chunk = chunk_of(vectors, slot)
    place = np.int64(slot) - vectors[chunk, 0]
    prefetch_bytes(address_at(vectors, chunk, slot), row_bytes(vectors))
    state = states_at(vectors[chunk, 2] + (place >> vectors[chunk, 3]), 1)
    if state[0] != SETTLED:
        state[0] = ASKED
        vectors[vectors.shape[0] - 1, 1] = 1
