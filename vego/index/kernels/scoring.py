"""One float32 row against one query, as LLVM is to have it: 16 lanes, four sums at a time, no references counted.

A kernel that is given arrays counts references to them, with locked instructions that cost more than the distance
of a short row, wherever numba cannot prove them away. What is written here takes addresses.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from vego.index.kernels.intrinsics import INT8, INT64, row_pointer

FLOAT, LANES, SUMS = ir.FloatType(), 16, 4
VECTOR = ir.VectorType(FLOAT, LANES)
FAST = ("nsz", "arcp", "contract", "afn", "reassoc")


def _term(builder, product, a, b, total):
    """total + a b, or total + (a - b)^2."""
    if product:
        return builder.fadd(total, builder.fmul(a, b, FAST), FAST)
    difference = builder.fsub(a, b, FAST)
    return builder.fadd(total, builder.fmul(difference, difference, FAST), FAST)


def _sum(builder, product, row, query, length):
    """The sum over `length` (i64) components of `_term`; row and query point to float32."""
    zeros = ir.Constant(VECTOR, [0.0] * LANES)
    totals = [cgutils.alloca_once_value(builder, zeros) for _ in range(SUMS)]
    rest = cgutils.alloca_once_value(builder, FLOAT(0.0))

    def add(place, total, kind):
        a, b = (
            builder.load(builder.bitcast(builder.gep(side, [place]), kind.as_pointer()), align=4)
            for side in (row, query)
        )
        builder.store(_term(builder, product, a, b, builder.load(total)), total)

    def steps(start, stop, width):
        return builder.udiv(builder.sub(stop, start), INT64(width))

    wide = steps(INT64(0), length, LANES * SUMS)
    with cgutils.for_range(builder, wide) as loop:
        for number, total in enumerate(totals):
            place = builder.add(builder.mul(loop.index, INT64(LANES * SUMS)), INT64(LANES * number))
            add(place, total, VECTOR)
    done = builder.mul(wide, INT64(LANES * SUMS))
    narrow = steps(done, length, LANES)
    with cgutils.for_range(builder, narrow) as loop:
        add(builder.add(done, builder.mul(loop.index, INT64(LANES))), totals[0], VECTOR)
    done = builder.add(done, builder.mul(narrow, INT64(LANES)))
    with cgutils.for_range(builder, builder.sub(length, done)) as loop:
        add(builder.add(done, loop.index), rest, FLOAT)
    parts = [builder.load(total) for total in totals]
    whole = builder.fadd(builder.fadd(parts[0], parts[1], FAST), builder.fadd(parts[2], parts[3], FAST), FAST)
    reduce = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(FLOAT, [FLOAT, VECTOR]), f"llvm.vector.reduce.fadd.v{LANES}f32"
    )
    return builder.call(reduce, [builder.load(rest), whole], fastmath=FAST)


@intrinsic
def _row_sum(typingctx, product, address, query):  # noqa: ARG001
    """`row_sum` from vector instructions."""

    def codegen(context, builder, signature, args):
        view, start = row_pointer(context, builder, signature.args[2], args[2], types.uint64, INT64(0))
        query = builder.bitcast(start, FLOAT.as_pointer())
        row = builder.inttoptr(args[1], FLOAT.as_pointer())
        length = cgutils.unpack_tuple(builder, view.shape, 1)[0]
        result = cgutils.alloca_once(builder, FLOAT)
        with builder.if_else(cgutils.is_true(builder, args[0])) as (products, squares):
            with products:
                builder.store(_sum(builder, True, row, query, length), result)
            with squares:
                builder.store(_sum(builder, False, row, query, length), result)
        return builder.load(result)

    return types.float32(types.boolean, types.int64, query), codegen


@intrinsic
def _row_address(typingctx, array, row):  # noqa: ARG001
    """`row_address` of an array of any number of dimensions."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        _, pointer = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
        return builder.ptrtoint(builder.bitcast(pointer, INT8.as_pointer()), INT64)

    return types.int64(array, row), codegen


def row_sum_loop(product, address, query):
    """The sum over j of row[j] query[j] if `product`, else of (row[j] - query[j])^2, in float32.

    The row of query.shape[0] float32 begins at `address`.
    """
    row = np.ctypeslib.as_array((ctypes.c_float * len(query)).from_address(int(address)))
    return np.float32((row * query).sum() if product else ((row - query) ** 2).sum())


def address_of_row(array, row):
    """The address of array[row]; the caller keeps the array alive."""
    return array.ctypes.data + int(row) * array.strides[0]


# Intrinsics exist only in compiled code. They are not wrapped in kernels, which would count references again.
row_sum = row_sum_loop if config.DISABLE_JIT else _row_sum
row_address = address_of_row if config.DISABLE_JIT else _row_address
