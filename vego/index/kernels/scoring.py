"""One row against one query: 16 lanes, four sums at a time, no references counted.

Rows of float32, float16, uint8, int8 (and bfloat16, of codes) have a float32 query; rows of bits a query of bits.
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

from vego.index.kernels.intrinsics import INT8, INT32, INT64, called, load_at, prefetch_line, row_pointer

INT16, FLOAT, LANES, SUMS = ir.IntType(16), ir.FloatType(), 16, 4
VECTOR = ir.VectorType(FLOAT, LANES)
WORDS = ir.VectorType(INT64, 8)
FAST = ("nsz", "arcp", "contract", "afn", "reassoc")
FLOAT32, FLOAT16, UINT8, INT8_ROWS = 0, 1, 2, 3  # kinds of rows; see vego/vector_type.py
SQUARES, PRODUCTS, ABSOLUTES = 0, 1, 2  # what is summed


def _term(builder, operation, a, b, total):
    """total + a b, total + (a - b)^2, or total + |a - b|."""
    if operation == PRODUCTS:
        return builder.fadd(total, builder.fmul(a, b, FAST), FAST)
    difference = builder.fsub(a, b, FAST)
    if operation == SQUARES:
        return builder.fadd(total, builder.fmul(difference, difference, FAST), FAST)
    kind = difference.type
    name = "f32" if kind == FLOAT else f"v{kind.count}f32"
    return builder.fadd(total, called(builder, f"llvm.fabs.{name}", kind, difference), FAST)


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


def _bytes(signed):
    """`_float32` of uint8 or int8."""

    def load(builder, row, place, count):
        narrow = INT8 if count == 1 else ir.VectorType(INT8, count)
        wide = INT32 if count == 1 else ir.VectorType(INT32, count)
        kind = FLOAT if count == 1 else ir.VectorType(FLOAT, count)
        start = builder.bitcast(builder.gep(row, [place]), narrow.as_pointer())
        values = builder.load(start, align=1)
        return builder.sitofp(builder.sext(values, wide) if signed else builder.zext(values, wide), kind)

    return load


def _sum(builder, operation, load, row, query, length, ahead=None):
    """The sum over `length` (i64) components of `_term`; `load` reads those of the row, query points to float32.

    Of a row of float32, memory `ahead` (i64) bytes on is asked for while it is read: a line with each line.
    """
    zeros = ir.Constant(VECTOR, [0.0] * LANES)
    totals = [cgutils.alloca_once_value(builder, zeros) for _ in range(SUMS)]
    rest = cgutils.alloca_once_value(builder, FLOAT(0.0))

    def add(place, total, count):
        if ahead is not None and count == LANES:
            prefetch_line(builder, builder.gep(row, [builder.add(builder.mul(place, INT64(4)), ahead)]))
        a, b = load(builder, row, place, count), _float32(builder, query, place, count)
        builder.store(_term(builder, operation, a, b, builder.load(total)), total)

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


LOADS = (_float32, _float16, _bytes(signed=False), _bytes(signed=True))
INLINE = ((FLOAT32, SQUARES), (FLOAT32, PRODUCTS))


def _seldom_used(module):
    """A function of the module with all sums but those INLINE: (kind, operation, row, query, length) -> float."""
    kind = ir.FunctionType(FLOAT, [INT64, INT64, INT8.as_pointer(), INT8.as_pointer(), INT64])
    name = "vego.sum_of_narrow_row"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    entry = function.append_basic_block()
    builder = ir.IRBuilder(entry)
    rows, operation, row, query, length = function.args
    other = function.append_basic_block()
    number = builder.add(builder.mul(rows, INT64(3)), operation)
    choice = builder.switch(number, other)
    for wanted, load in enumerate(LOADS):
        for term in (SQUARES, PRODUCTS, ABSOLUTES):
            if (wanted, term) not in INLINE:
                block = function.append_basic_block()
                choice.add_case(INT64(3 * wanted + term), block)
                builder.position_at_end(block)
                builder.ret(_sum(builder, term, load, row, query, length))
    builder.position_at_end(other)
    builder.ret(FLOAT(0.0))
    return function


def _sum_of_floats(context, builder, signature, args):
    """`row_sum`, or `streamed_sum`, of a float32 query."""
    operation, rows, address, _, *streamed = args
    ahead = streamed[0] if streamed else None
    view, query = row_pointer(context, builder, signature.args[3], args[3], types.uint64, INT64(0))
    row = builder.inttoptr(address, INT8.as_pointer())
    length = cgutils.unpack_tuple(builder, view.shape, 1)[0]
    result = cgutils.alloca_once(builder, FLOAT)

    def usual():
        product = builder.icmp_signed("==", operation, INT64(PRODUCTS))
        with builder.if_else(product) as (products, squares):
            with products:
                builder.store(_sum(builder, PRODUCTS, _float32, row, query, length, ahead), result)
            with squares:
                builder.store(_sum(builder, SQUARES, _float32, row, query, length, ahead), result)

    if signature.args[1] == types.none:
        usual()
        return builder.load(result)
    seldom = builder.or_(
        builder.icmp_signed("!=", rows, INT64(FLOAT32)),
        builder.icmp_signed("==", operation, INT64(ABSOLUTES)),
    )
    with builder.if_else(seldom) as (then, otherwise):
        with then:
            arguments = [rows, operation, row, query, length]
            builder.store(builder.call(_seldom_used(builder.module), arguments), result)
        with otherwise:
            usual()
    return builder.load(result)


def _differing_bits(context, builder, signature, args):
    """`row_sum` of a query of bits, whatever the operation: how many differ."""
    view, query = row_pointer(context, builder, signature.args[-1], args[-1], types.uint64, INT64(0))
    row = builder.inttoptr(args[2], INT8.as_pointer())
    length = cgutils.unpack_tuple(builder, view.shape, 1)[0]
    many = cgutils.alloca_once_value(builder, ir.Constant(WORDS, [0] * 8))
    rest = cgutils.alloca_once_value(builder, INT64(0))

    def add(place, kind, total):
        a, b = (load_at(builder, side, place, kind) for side in (row, query))
        name = f"v8i{INT64.width}" if kind == WORDS else f"i{kind.width}"
        bits = called(builder, f"llvm.ctpop.{name}", kind, builder.xor(a, b))
        bits = builder.zext(bits, INT64) if kind == INT8 else bits
        builder.store(builder.add(builder.load(total), bits), total)

    done = INT64(0)
    for size, kind, total in ((64, WORDS, many), (8, INT64, rest), (1, INT8, rest)):
        steps = builder.udiv(builder.sub(length, done), INT64(size))
        with cgutils.for_range(builder, steps) as loop:
            add(builder.add(done, builder.mul(loop.index, INT64(size))), kind, total)
        done = builder.add(done, builder.mul(steps, INT64(size)))
    words = called(builder, "llvm.vector.reduce.add.v8i64", INT64, builder.load(many))
    found = builder.add(words, builder.load(rest))
    return builder.sitofp(found, FLOAT)


@intrinsic
def _row_sum(typingctx, operation, kind, address, query):  # noqa: ARG001
    """`row_sum` from vector instructions."""
    codegen = _differing_bits if query.dtype == types.uint8 else _sum_of_floats
    known = types.none if isinstance(kind, types.NoneType) else types.int64
    return types.float32(types.int64, known, types.int64, query), codegen


@intrinsic
def _streamed_sum(typingctx, operation, kind, address, query, ahead):  # noqa: ARG001
    """`streamed_sum` from vector instructions."""
    known = types.none if isinstance(kind, types.NoneType) else types.int64
    return types.float32(types.int64, known, types.int64, query, types.int64), _sum_of_floats


@intrinsic
def _half_sum(typingctx, product, kind, address, query):  # noqa: ARG001
    """`half_sum` from vector instructions."""

    def codegen(context, builder, signature, args):
        view, query = row_pointer(context, builder, signature.args[-1], args[-1], types.uint64, INT64(0))
        row = builder.inttoptr(args[2], INT8.as_pointer())
        length = cgutils.unpack_tuple(builder, view.shape, 1)[0]
        result = cgutils.alloca_once(builder, FLOAT)
        for number, load in enumerate((_float16, _bfloat16)):
            for term in (PRODUCTS, SQUARES):
                wanted = args[0] if term == PRODUCTS else builder.not_(args[0])
                with builder.if_then(builder.and_(wanted, builder.icmp_signed("==", args[1], INT64(number)))):
                    builder.store(_sum(builder, term, load, row, query, length), result)
        return builder.load(result)

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
        return called(builder, "llvm.arithmetic.fence.f32", FLOAT, args[0])

    return types.float32(types.float32), codegen


def row_sum_loop(operation, kind, address, query):
    """The sum over j of (row[j] - query[j])^2, row[j] query[j] or |row[j] - query[j]|, in float32.

    `operation` is SQUARES, PRODUCTS or ABSOLUTES. The row of query.shape[0] components begins at `address`; `kind`
    says what they are; None, compiled for itself: float32, and no ABSOLUTES. Where the query is uint8, both are bits,
    and the sum is how many of them differ.
    """
    if query.dtype == np.uint8:
        row = np.ctypeslib.as_array((ctypes.c_uint8 * len(query)).from_address(int(address)))
        return np.float32(np.unpackbits(row ^ query).sum())
    item = (ctypes.c_float, ctypes.c_uint16, ctypes.c_uint8, ctypes.c_int8)[kind or FLOAT32]
    row = np.ctypeslib.as_array((item * len(query)).from_address(int(address)))
    row = (row.view(np.float16) if kind == FLOAT16 else row).astype(np.float32)
    if operation == PRODUCTS:
        return np.float32((row * query).sum())
    return np.float32(((row - query) ** 2).sum() if operation == SQUARES else np.abs(row - query).sum())


def streamed_sum_loop(operation, kind, address, query, ahead):  # noqa: ARG001
    """`row_sum` of a float32 query and a row that others follow: memory `ahead` bytes on is asked for."""
    return row_sum_loop(operation, kind, address, query)


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
streamed_sum = streamed_sum_loop if config.DISABLE_JIT else _streamed_sum
half_sum = half_sum_loop if config.DISABLE_JIT else _half_sum
as_written = np.float32 if config.DISABLE_JIT else _as_written
row_address = address_of_row if config.DISABLE_JIT else _row_address
