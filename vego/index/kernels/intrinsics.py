"""LLVM reached directly: cache-line prefetch of a row, memmove, and the u8 x i8 dot product of two code rows.

`dot_codes` uses the VNNI instruction `vpdpbusd` where the processor that numba compiles for has it (512 bits
wide with AVX512-VNNI, 256 with AVX-VNNI), else the plain loop `dot_codes_loop`, which gives the same integer.
The choice reads the feature string numba itself compiles with, so NUMBA_CPU_NAME and NUMBA_CPU_FEATURES hold,
and numba's disk cache, keyed by that string, never hands a kernel to a processor that lacks the instruction.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel

CACHE_LINE = 64  # bytes; code rows are padded to a multiple of it
INT8, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def dot_codes_loop(codes, row, queries, query_row):
    """Sum over j of codes[row, j] (u8) * queries[query_row, j] (i8): the portable form of `dot_codes`."""
    a = codes[np.uint32(row)]
    b = queries[np.uint32(query_row)]
    total = np.int32(0)
    for j in range(a.shape[0]):
        total += np.int32(a[j]) * np.int32(b[j])
    return np.int32(total)


def shift_up_loop(items, low, end):
    """items[low + 1 : end + 1] = items[low:end]: the portable form of `shift_up`."""
    for i in range(end, low, -1):
        items[i] = items[i - 1]


def vnni_lanes(features: str) -> int:
    """32-bit lanes of the widest `vpdpbusd` that LLVM features such as "+avx2,+avxvnni" allow, or 0."""
    enabled = set(features.split(","))
    if "+avx512vnni" in enabled:
        return 16
    return 8 if "+avxvnni" in enabled else 0


def row_pointer(context, builder, array_type, array, row_type, row):
    """Pointer to the first byte of a row of a 2-D array, or of an item of a 1-D one."""
    view = context.make_array(array_type)(context, builder, array)
    index = context.cast(builder, row, row_type, types.uint64)
    stride = cgutils.unpack_tuple(builder, view.strides, array_type.ndim)[0]
    start = builder.bitcast(view.data, INT8.as_pointer())
    return view, builder.gep(start, [builder.mul(index, stride)])


def called(builder, name, result, *arguments):
    """The call of a function of LLVM, or of C, by its name."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def load_at(builder, pointer, offset, kind):
    """A value of an LLVM type from `offset` bytes behind a pointer to bytes, wherever that is."""
    return builder.load(builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer()), align=1)


def prefetch_line(builder, pointer):
    """Emit `llvm.prefetch` for the cache line of a pointer, wherever that is: a wrong one is no fault."""
    called(builder, "llvm.prefetch.p0", ir.VoidType(), pointer, INT32(0), INT32(3), INT32(1))


def prefetch_lines(builder, pointer, size):
    """Emit `prefetch_line` for every cache line of `size` (int64) bytes at a pointer to bytes."""
    lines = builder.udiv(builder.add(size, INT64(CACHE_LINE - 1)), INT64(CACHE_LINE))
    with cgutils.for_range(builder, lines) as loop:
        prefetch_line(builder, builder.gep(pointer, [builder.mul(loop.index, INT64(CACHE_LINE))]))


@intrinsic
def _prefetch(typingctx, array, row):  # noqa: ARG001
    """Ask for every cache line of `array[row]` ahead of its use."""

    def codegen(context, builder, signature, args):
        view, pointer = row_pointer(context, builder, signature.args[0], args[0], signature.args[1], args[1])
        strides = cgutils.unpack_tuple(builder, view.strides, signature.args[0].ndim)
        prefetch_lines(builder, pointer, strides[0])
        return context.get_dummy_value()

    return types.void(array, row), codegen


@intrinsic
def _shift_up(typingctx, items, low, end):  # noqa: ARG001
    """`shift_up_loop` by memmove; `items` is a contiguous int64 array."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        _, source = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
        _, stop = row_pointer(context, builder, kinds[0], args[0], kinds[2], args[2])
        size = builder.sub(builder.ptrtoint(stop, INT64), builder.ptrtoint(source, INT64))
        above = builder.gep(source, [INT64(8)])
        called(builder, "llvm.memmove.p0.p0.i64", ir.VoidType(), above, source, size, ir.IntType(1)(0))
        return context.get_dummy_value()

    return types.void(items, low, end), codegen


@intrinsic
def _dot_codes(typingctx, codes, row, queries, query_row):  # noqa: ARG001
    """`dot_codes_loop` with the widest instruction there is; rows are whole cache lines long."""

    def codegen(context, builder, signature, args):
        lanes = vnni_lanes(context.codegen().magic_tuple()[2])
        if lanes == 0:
            return context.compile_internal(builder, dot_codes_loop, signature, args)
        kinds = signature.args
        view, left = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
        _, right = row_pointer(context, builder, kinds[2], args[2], kinds[3], args[3])
        vector = ir.VectorType(INT32, lanes)
        multiply = f"llvm.x86.avx512.vpdpbusd.{lanes * 32}"
        width = cgutils.unpack_tuple(builder, view.shape, 2)[1]
        total = cgutils.alloca_once_value(builder, ir.Constant(vector, [0] * lanes))
        with cgutils.for_range(builder, builder.udiv(width, INT64(lanes * 4))) as loop:
            offset = builder.mul(loop.index, INT64(lanes * 4))
            a, b = (load_at(builder, side, offset, vector) for side in (left, right))
            builder.store(called(builder, multiply, vector, builder.load(total), a, b), total)
        return called(builder, f"llvm.vector.reduce.add.v{lanes}i32", INT32, builder.load(total))

    return types.int32(codes, row, queries, query_row), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code

    def prefetch(array, row):
        """Nothing: interpreted code has no use for it."""

    dot_codes = dot_codes_loop
    shift_up = shift_up_loop
else:

    @kernel
    def prefetch(array, row):
        """Ask for every cache line of `array[row]` (2-D: the row, 1-D: the item) ahead of its use."""
        _prefetch(array, row)

    @kernel
    def shift_up(items, low, end):
        """Move items[low:end] of a contiguous int64 array, 0 <= low <= end < length, up by one."""
        _shift_up(items, low, end)

    @kernel
    def dot_codes(codes, row, queries, query_row):
        """Dot product of codes[row] (u8) and queries[query_row] (i8) as int32; rows are padded with 0."""
        return _dot_codes(codes, row, queries, query_row)
