"""One row of 32-bit or 16-bit floats against one float32 query: 16 lanes, four sums at a time, no references counted.

A kernel that is given arrays counts references to them, with locked instructions that cost more than the distance
of a short row, wherever numba cannot prove them away. What is written here takes the address of the row.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from vego.index.kernels.intrinsics import INT8, INT32, INT64, row_pointer

INT16, FLOAT, LANES, SUMS = ir.IntType(16), ir.FloatType(), 16, 4
VECTOR = ir.VectorType(FLOAT, LANES)
FAST = ("nsz", "arcp", "contract", "afn", "reassoc")


def _term(builder, product, a, b, total):
    """total + a b, or total + (a - b)^2."""
    if product:
        return builder.fadd(total, builder.fmul(a, b, FAST), FAST)
    difference = builder.fsub(a, b, FAST)
    return builder.fadd(total, builder.fmul(difference, difference, FAST), FAST)


def _float32(builder, row, place, count):
    """`count` components of a row of float32, as a vector or, for 1, a scalar."""
    kind = FLOAT if count == 1 else ir.VectorType(FLOAT, count)
    start = builder.bitcast(builder.gep(row, [builder.mul(place, INT64(4))]), kind.as_pointer())
    return builder.load(start, align=4)


def _bits(builder, row, place, count):
    """`count` 16-bit components of a row as i32, and a maker of constants like them."""
    kind = INT16 if count == 1 else ir.VectorType(INT16, count)
    wide = INT32 if count == 1 else ir.VectorType(INT32, count)
    start = builder.bitcast(builder.gep(row, [builder.mul(place, INT64(2))]), kind.as_pointer())
    bits = builder.zext(builder.load(start, align=2), wide)
    return bits, lambda value: ir.Constant(wide, value if count == 1 else [value] * count)


def _bfloat16(builder, row, place, count):
    """`_float32` of bfloat16."""
    bits, constant = _bits(builder, row, place, count)
    kind = FLOAT if count == 1 else ir.VectorType(FLOAT, count)
    return builder.bitcast(builder.shl(bits, constant(16)), kind)


def _float16(builder, row, place, count):
    """`_float32` of float16, as `widened` of vego/index/kernels/halves.py does it."""
    bits, constant = _bits(builder, row, place, count)
    kind = FLOAT if count == 1 else ir.VectorType(FLOAT, count)
    magnitude = builder.and_(bits, constant(0x7FFF))
    shifted = builder.shl(magnitude, constant(13))
    least = ir.Constant(kind, 2.0**-14 if count == 1 else [2.0**-14] * count)
    small = builder.fsub(builder.bitcast(builder.add(shifted, constant(113 << 23)), kind), least)
    normal = builder.bitcast(builder.add(shifted, constant(112 << 23)), kind)
    value = builder.select(builder.icmp_unsigned("<", magnitude, constant(0x400)), small, normal)
    sign = builder.shl(builder.and_(bits, constant(0x8000)), constant(16))
    return builder.bitcast(builder.or_(builder.bitcast(value, sign.type), sign), kind)


def _sum(builder, product, load, row, query, length):
    """The sum over `length` (i64) components of `_term`; `load` reads those of the row, query points to float32."""
    zeros = ir.Constant(VECTOR, [0.0] * LANES)
    totals = [cgutils.alloca_once_value(builder, zeros) for _ in range(SUMS)]
    rest = cgutils.alloca_once_value(builder, FLOAT(0.0))

    def add(place, total, count):
        a, b = load(builder, row, place, count), _float32(builder, query, place, count)
        builder.store(_term(builder, product, a, b, builder.load(total)), total)

    def steps(start, stop, width):
        return builder.udiv(builder.sub(stop, start), INT64(width))

    wide = steps(INT64(0), length, LANES * SUMS)
    with cgutils.for_range(builder, wide) as loop:
        for number, total in enumerate(totals):
            place = builder.add(builder.mul(loop.index, INT64(LANES * SUMS)), INT64(LANES * number))
            add(place, total, LANES)
    done = builder.mul(wide, INT64(LANES * SUMS))
    narrow = steps(done, length, LANES)
    with cgutils.for_range(builder, narrow) as loop:
        add(builder.add(done, builder.mul(loop.index, INT64(LANES))), totals[0], LANES)
    done = builder.add(done, builder.mul(narrow, INT64(LANES)))
    with cgutils.for_range(builder, builder.sub(length, done)) as loop:
        add(builder.add(done, loop.index), rest, 1)
    parts = [builder.load(total) for total in totals]
    whole = builder.fadd(builder.fadd(parts[0], parts[1], FAST), builder.fadd(parts[2], parts[3], FAST), FAST)
    reduce = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(FLOAT, [FLOAT, VECTOR]), f"llvm.vector.reduce.fadd.v{LANES}f32"
    )
    return builder.call(reduce, [builder.load(rest), whole], fastmath=FAST)


def _choose(context, builder, signature, args, loads):
    """The sum of a row by the flag `product`, args[0], read by the first of `loads`, or the second by args[1]."""
    view, query = row_pointer(context, builder, signature.args[-1], args[-1], types.uint64, INT64(0))
    row = builder.inttoptr(args[-2], INT8.as_pointer())
    length = cgutils.unpack_tuple(builder, view.shape, 1)[0]
    result = cgutils.alloca_once(builder, FLOAT)
    for number, load in enumerate(loads):
        for product in (True, False):
            wanted = args[0] if product else builder.not_(args[0])
            if len(loads) > 1:
                wanted = builder.and_(wanted, builder.icmp_signed("==", args[1], INT64(number)))
            with builder.if_then(wanted):
                builder.store(_sum(builder, product, load, row, query, length), result)
    return builder.load(result)


@intrinsic
def _row_sum(typingctx, product, address, query):  # noqa: ARG001
    """`row_sum` from vector instructions."""

    def codegen(context, builder, signature, args):
        return _choose(context, builder, signature, args, (_float32,))

    return types.float32(types.boolean, types.int64, query), codegen


@intrinsic
def _half_sum(typingctx, product, kind, address, query):  # noqa: ARG001
    """`half_sum` from vector instructions."""

    def codegen(context, builder, signature, args):
        return _choose(context, builder, signature, args, (_float16, _bfloat16))

    return types.float32(types.boolean, types.int64, types.int64, query), codegen


@intrinsic
def _row_address(typingctx, array, row):  # noqa: ARG001
    """`row_address` of an array of any number of dimensions."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        _, pointer = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
        return builder.ptrtoint(builder.bitcast(pointer, INT8.as_pointer()), INT64)

    return types.int64(array, row), codegen


@intrinsic
def _as_written(typingctx, value):  # noqa: ARG001
    """The value, computed before and apart from what is computed from it, also where sums may be reordered."""

    def codegen(context, builder, signature, args):  # noqa: ARG001
        kind = ir.FunctionType(FLOAT, [FLOAT])
        fence = cgutils.get_or_insert_function(builder.module, kind, "llvm.arithmetic.fence.f32")
        return builder.call(fence, [args[0]])

    return types.float32(types.float32), codegen


def row_sum_loop(product, address, query):
    """The sum over j of row[j] query[j] if `product`, else of (row[j] - query[j])^2, in float32.

    The row of query.shape[0] float32 begins at `address`.
    """
    row = np.ctypeslib.as_array((ctypes.c_float * len(query)).from_address(int(address)))
    return np.float32((row * query).sum() if product else ((row - query) ** 2).sum())


def half_sum_loop(product, kind, address, query):
    """`row_sum` where the row is of 16-bit floats, of FLOAT16 (0) or BFLOAT16 (1); see vego/index/kernels/halves.py."""
    bits = np.ctypeslib.as_array((ctypes.c_uint16 * len(query)).from_address(int(address)))
    row = (
        (bits.astype(np.uint32) << 16).view(np.float32) if kind else bits.view(np.float16).astype(np.float32)
    )
    return np.float32((row * query).sum() if product else ((row - query) ** 2).sum())


def address_of_row(array, row):
    """The address of array[row]; the caller keeps the array alive."""
    return array.ctypes.data + int(row) * array.strides[0]


# Intrinsics exist only in compiled code. They are not wrapped in kernels, which would count references again.
row_sum = row_sum_loop if config.DISABLE_JIT else _row_sum
half_sum = half_sum_loop if config.DISABLE_JIT else _half_sum
as_written = np.float32 if config.DISABLE_JIT else _as_written
row_address = address_of_row if config.DISABLE_JIT else _row_address
