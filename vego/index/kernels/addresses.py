"""Memory at an address: arrays over it, and the advice to fetch it into the cache, or from the disk.

Nothing here checks a bound: the caller owns the memory, keeps it alive, and gives addresses inside it only.
"""

from __future__ import annotations

import numpy as np
from numba import carray, config, types
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.intrinsics import INT8, INT32, called, prefetch_lines

WILL_NEED = 3  # MADV_WILLNEED of Linux and macOS
# `madvise` wants the start of a page of memory. Where pages are larger than this it refuses, and no harm is done.
PAGE = 4096
SYSTEMS = ("linux", "darwin")  # in the name of the target that is compiled for


@intrinsic
def _pointer(typingctx, kind, address):  # noqa: ARG001
    """The address as a pointer to items of `kind`, a type of NumPy."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[1], context.get_value_type(signature.return_type))

    return types.CPointer(kind.dtype)(kind, types.int64), codegen


@intrinsic
def _prefetch_bytes(typingctx, address, size):  # noqa: ARG001
    """Ask for every cache line of `size` bytes ahead of their use."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        prefetch_lines(builder, builder.inttoptr(args[0], INT8.as_pointer()), args[1])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _advise(typingctx, address, length):  # noqa: ARG001
    """Say that `length` bytes from `address` on, the start of a page of memory, are needed soon."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        if any(system in builder.module.triple for system in SYSTEMS):
            start = builder.inttoptr(args[0], INT8.as_pointer())
            called(builder, "madvise", INT32, start, args[1], INT32(WILL_NEED))
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

    def words_at(address, count):
        """The uint32 (count,) at an address."""
        return np.asarray(_Memory(address, count, "<u4"))

    def bytes_at(address, count):
        """The uint8 (count,) at an address."""
        return np.asarray(_Memory(address, count, "|u1"))

    def prefetch_bytes(address, size):
        """Nothing: interpreted code has no use for it."""

    def advise(address, length):
        """Nothing: interpreted code has no use for it."""
else:

    @kernel
    def floats_at(address, count):
        """The float32 (count,) at an address."""
        return carray(_pointer(np.float32, np.int64(address)), (count,))

    @kernel
    def words_at(address, count):
        """The uint32 (count,) at an address."""
        return carray(_pointer(np.uint32, np.int64(address)), (count,))

    @kernel
    def bytes_at(address, count):
        """The uint8 (count,) at an address."""
        return carray(_pointer(np.uint8, np.int64(address)), (count,))

    @kernel
    def prefetch_bytes(address, size):
        """Ask for every cache line of `size` bytes ahead of their use."""
        _prefetch_bytes(np.int64(address), np.int64(size))

    @kernel
    def advise(address, length):
        """Have the pages that hold `length` bytes at `address` read from the disk, without waiting for them."""
        start = np.int64(address) & np.int64(-PAGE)
        _advise(start, np.int64(address) + np.int64(length) - start)
