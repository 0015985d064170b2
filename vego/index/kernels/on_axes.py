"""Queries put on the axes that codes keep: products of 8-bit axes with queries in 8 bits, four queries at a time.

The axes come in the layout of `CodeScale.frame`, uint8 (n, 4 * STRIP): the axes by strips of STRIP; of a strip a row
for every four dimensions, with those four of each axis beside each other. So one instruction adds four products to the
sums of 16 axes, none has to be summed up across a register, and what is read of the axes serves four queries. (The axes
of one query alone take as long to come from the second-level cache as four take to be computed.)
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from vego.index.kernels.intrinsics import INT8, INT32, INT64, called, load_at, row_pointer, vnni_lanes

STRIP = 64  # as STEP in vego/index/projection.py, which imports no numba
TOGETHER = 4  # queries
PLAIN_LANES = 8


def axis_products_loop(axes, strip, queries, out):
    """out[q, a] = sum of axis a (u8) * queries[q] (i8), int32, for the axes a of a strip and 1 or TOGETHER queries."""
    groups = queries.shape[1] // 4
    for q in range(queries.shape[0]):
        sums = out[q, strip * STRIP : (strip + 1) * STRIP]
        sums[:] = 0
        for g in range(groups):
            row = axes[strip * groups + g]
            for a in range(STRIP):
                for k in range(4):
                    sums[a] += np.int32(row[4 * a + k]) * np.int32(queries[q, 4 * g + k])


def _splat(builder, item, count):
    """A vector of `count` times the same item."""
    kind = ir.VectorType(item.type, count)
    undefined = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(undefined, item, INT32(0))
    return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(INT32, count), [0] * count))


def _plus_products(builder, lanes, instruction, total, part, four):
    """total + the products of four levels a lane of `part` with the four numbers (i8) of `four`."""
    if instruction:
        return called(builder, instruction, total.type, total, part, _splat(builder, four, lanes))
    for place in range(0, 32, 8):
        shift, mask = (ir.Constant(total.type, [number] * lanes) for number in (place, 255))
        levels = builder.and_(builder.lshr(part, shift), mask)
        factor = builder.sext(builder.trunc(builder.lshr(four, INT32(place)), INT8), INT32)
        total = builder.add(total, builder.mul(levels, _splat(builder, factor, lanes)))
    return total


def _emit_products(builder, lanes, axes, groups, queries, outs):
    """Write the sums of one strip, whose axes begin at `axes`, for some queries to where `outs` point.

    By `vpdpbusd` of so many lanes; 0: by what any processor has.
    """
    instruction = f"llvm.x86.avx512.vpdpbusd.{lanes * 32}" if lanes else None
    lanes = lanes or PLAIN_LANES
    vector = ir.VectorType(INT32, lanes)
    # Bytes of a row whose sums stay in registers: half of those there are, for all queries.
    width = lanes * lanes
    for first in range(0, 4 * STRIP, width):
        places = range(first, first + width, 4 * lanes)
        none = ir.Constant(vector, [0] * lanes)
        sums = [[cgutils.alloca_once_value(builder, none) for _ in places] for _ in queries]
        with cgutils.for_range(builder, groups) as loop:
            row = builder.mul(loop.index, INT64(4 * STRIP))
            parts = [load_at(builder, axes, builder.add(row, INT64(place)), vector) for place in places]
            for query, totals in zip(queries, sums, strict=True):
                four = load_at(builder, query, builder.mul(loop.index, INT64(4)), INT32)
                for part, total in zip(parts, totals, strict=True):
                    more = _plus_products(builder, lanes, instruction, builder.load(total), part, four)
                    builder.store(more, total)
        for out, totals in zip(outs, sums, strict=True):
            for place, total in zip(places, totals, strict=True):
                pointer = builder.bitcast(builder.gep(out, [INT64(place)]), vector.as_pointer())
                builder.store(builder.load(total), pointer, align=4)


@intrinsic
def _axis_products(typingctx, axes, strip, queries, out):  # noqa: ARG001
    """`axis_products_loop` with the widest instruction there is."""

    def codegen(context, builder, signature, args):
        lanes = vnni_lanes(context.codegen().magic_tuple()[2])
        kinds = signature.args
        view = context.make_array(kinds[2])(context, builder, args[2])
        count, length = cgutils.unpack_tuple(builder, view.shape, 2)
        groups = builder.udiv(length, INT64(4))
        number = context.cast(builder, args[1], kinds[1], types.uint64)
        _, start = row_pointer(context, builder, kinds[0], args[0], types.uint64, builder.mul(number, groups))
        queries, outs = (
            [
                row_pointer(context, builder, kinds[i], args[i], types.uint64, INT64(q))[1]
                for q in range(TOGETHER)
            ]
            for i in (2, 3)
        )
        outs = [builder.gep(out, [builder.mul(number, INT64(4 * STRIP))]) for out in outs]
        with builder.if_else(builder.icmp_unsigned("==", count, INT64(1))) as (one, several):
            with one:
                _emit_products(builder, lanes, start, groups, queries[:1], outs[:1])
            with several:
                _emit_products(builder, lanes, start, groups, queries, outs)
        return context.get_dummy_value()

    return types.void(axes, strip, queries, out), codegen


axis_products = axis_products_loop if config.DISABLE_JIT else _axis_products
