"""Words of memory at an address, and the advice to fetch them from the disk: for kernels that look into a mapped file.

Nothing here checks a bound: the caller owns the memory, keeps it alive, and gives addresses inside it only.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, config, types
from numba.core import cgutils
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.intrinsics import INT8, INT32, INT64

WILL_NEED = 3  # MADV_WILLNEED of Linux and macOS
# `madvise` wants the start of a page of memory. Where pages are larger than this it refuses, and no harm is done.
PAGE = 4096
SYSTEMS = ("linux", "darwin")  # in the name of the target that is compiled for


@intrinsic
def _words_at(typingctx, address):  # noqa: ARG001
    """The address as a pointer to uint32."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint32)(types.int64), codegen


@intrinsic
def _advise(typingctx, address, length):  # noqa: ARG001
    """Say that `length` bytes from `address` on, the start of a page of memory, are needed soon."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        if any(system in builder.module.triple for system in SYSTEMS):
            kind = ir.FunctionType(INT32, [INT8.as_pointer(), INT64, INT32])
            function = cgutils.get_or_insert_function(builder.module, kind, "madvise")
            builder.call(function, [builder.inttoptr(args[0], INT8.as_pointer()), args[1], INT32(WILL_NEED)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code
    import ctypes

    def words_at(address, count):
        """The uint32 (count,) at an address."""
        return np.ctypeslib.as_array((ctypes.c_uint32 * int(count)).from_address(int(address)))

    def advise(address, length):
        """Nothing: interpreted code has no use for it."""
else:

    @kernel
    def words_at(address, count):
        """The uint32 (count,) at an address."""
        return carray(_words_at(np.int64(address)), (count,))

    @kernel
    def advise(address, length):
        """Have the pages that hold `length` bytes at `address` read from the disk, without waiting for them."""
        start = np.int64(address) & np.int64(-PAGE)
        _advise(start, np.int64(address) + np.int64(length) - start)
