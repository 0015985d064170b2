"""What two codes have in common. Which kind of codes they are is the dtype of their array, known when compiled.

Every distance of the walk is `bias[v] - 2 * agreement(v, q)`; the offset of q more makes it comparable between
different q, which only construction needs: `as_query` returns it. Rows of codes are whole cache lines, padded with 0.
Where the array `bias` is empty, the bias of a row is the int32 at its end, where queries have 0: a walk of many rows
waits for one cache line a node instead of two.

  codes    queries  agreement          it comes from                        metrics
  uint8    int8     sum of a * b       (a - b)^2 = a^2 + b^2 - 2 a b        l2, cosine, ip
  int8     int8     sum of min(a, b)   |a - b|   = a + b - 2 min(a, b)      l1
  uint64   uint64   bits in both       |a ^ b|   = |a| + |b| - 2 |a & b|    hamming
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.intrinsics import (
    INT8,
    INT32,
    INT64,
    called,
    dot_codes,
    dot_codes_loop,
    load_at,
    row_pointer,
)

BIAS_BYTES = 4  # as in vego/index/projection.py, which imports no numba
WORDS = ir.VectorType(INT64, 8)
SIGN = -128


def minima_loop(codes, row, queries, query_row):
    """Sum over j of min(codes[row, j], queries[query_row, j]), both int8, as int32."""
    a = codes[np.uint32(row)]
    b = queries[np.uint32(query_row)]
    total = np.int32(0)
    for j in range(a.shape[0]):
        total += np.int32(min(a[j], b[j]))
    return np.int32(total)


def common_bits_loop(codes, row, queries, query_row):
    """How many bits are set in both rows of uint64, as int32."""
    both = codes[row] & queries[query_row]
    return np.int32(np.unpackbits(both.view(np.uint8)).sum())


def byte_lanes(features: str) -> int:
    """Bytes of the widest `psadbw` that LLVM features such as "+avx2,+avx512bw" allow, or 0."""
    enabled = set(features.split(","))
    if "+avx512bw" in enabled:
        return 64
    return 32 if "+avx2" in enabled else 0


def _two_rows(context, builder, signature, args):
    """Pointers to the first bytes of the two rows, and how many items each has."""
    kinds = signature.args
    view, left = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
    _, right = row_pointer(context, builder, kinds[2], args[2], kinds[3], args[3])
    return left, right, cgutils.unpack_tuple(builder, view.shape, 2)[1]


def _minima(context, builder, signature, args):
    """`minima_loop` by `psadbw`, which sums bytes, where the processor has it."""
    lanes = byte_lanes(context.codegen().magic_tuple()[2])
    if lanes == 0:
        return context.compile_internal(builder, minima_loop, signature, args)
    left, right, width = _two_rows(context, builder, signature, args)
    narrow, wide = ir.VectorType(INT8, lanes), ir.VectorType(INT64, lanes // 8)
    sad = "llvm.x86.avx512.psad.bw.512" if lanes == 64 else "llvm.x86.avx2.psad.bw"
    signs, zeros = ir.Constant(narrow, [SIGN] * lanes), ir.Constant(narrow, [0] * lanes)
    total = cgutils.alloca_once_value(builder, ir.Constant(wide, [0] * (lanes // 8)))
    with cgutils.for_range(builder, builder.udiv(width, INT64(lanes))) as loop:
        place = builder.mul(loop.index, INT64(lanes))
        a, b = (load_at(builder, side, place, narrow) for side in (left, right))
        least = called(builder, f"llvm.smin.v{lanes}i8", narrow, a, b)
        summed = called(builder, sad, wide, builder.xor(least, signs), zeros)
        builder.store(builder.add(builder.load(total), summed), total)
    found = called(builder, f"llvm.vector.reduce.add.v{lanes // 8}i64", INT64, builder.load(total))
    return builder.trunc(builder.add(found, builder.mul(width, INT64(SIGN))), ir.IntType(32))


def _common_bits(context, builder, signature, args):
    """`common_bits_loop` by eight words at a time."""
    left, right, width = _two_rows(context, builder, signature, args)
    total = cgutils.alloca_once_value(builder, ir.Constant(WORDS, [0] * 8))
    with cgutils.for_range(builder, builder.udiv(width, INT64(8))) as loop:
        place = builder.mul(loop.index, INT64(64))
        a, b = (load_at(builder, side, place, WORDS) for side in (left, right))
        bits = called(builder, "llvm.ctpop.v8i64", WORDS, builder.and_(a, b))
        builder.store(builder.add(builder.load(total), bits), total)
    found = called(builder, "llvm.vector.reduce.add.v8i64", INT64, builder.load(total))
    return builder.trunc(found, ir.IntType(32))


@intrinsic
def _agreement(typingctx, codes, row, queries, query_row):  # noqa: ARG001
    """`agreement` of codes that are not for products."""
    codegen = _common_bits if codes.dtype == types.uint64 else _minima
    return types.int32(codes, row, queries, query_row), codegen


def agreement(codes, row, queries, query_row):
    """What codes[row] and queries[query_row] have in common, int32."""
    of_kind = {"uint8": dot_codes_loop, "int8": minima_loop, "uint64": common_bits_loop}
    return of_kind[codes.dtype.name](codes, row, queries, query_row)


def query_rows(codes, count):
    """Room for `count` codes in the role of queries to `codes`: (count, codes.shape[1])."""
    return np.empty((count, codes.shape[1]), np.int8 if codes.dtype == np.uint8 else codes.dtype)


def bias_of_loop(codes, bias, slot):
    """The bias of a row, int32."""
    return bias[np.uint32(slot)] if len(bias) else codes[np.uint32(slot)].view(np.int32)[-1]


@intrinsic
def _bias_of(typingctx, codes, bias, slot):  # noqa: ARG001
    """`bias_of_loop` without a branch, and without a reference counted to the array that is not read."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        view, row = row_pointer(context, builder, kinds[0], args[0], kinds[2], args[2])
        stride = cgutils.unpack_tuple(builder, view.strides, 2)[0]
        inside = builder.gep(row, [builder.sub(stride, INT64(BIAS_BYTES))])
        listed, item = row_pointer(context, builder, kinds[1], args[1], kinds[2], args[2])
        some = builder.icmp_signed(">", cgutils.unpack_tuple(builder, listed.shape, 1)[0], INT64(0))
        return load_at(builder, builder.select(some, item, inside), INT64(0), INT32)

    return types.int32(codes, bias, slot), codegen


def as_query(codes, bias, slot, out):
    """Write the code of a slot, in the role of a query, to `out`; returns its offset (kernels/distance.py)."""
    out[:] = (codes[slot] ^ np.uint8(128)).view(np.int8) if codes.dtype == np.uint8 else codes[slot]
    if len(bias) == 0:
        out[-BIAS_BYTES:] = 0
    width = len(out) if len(bias) else len(out) - BIAS_BYTES
    levels = int(codes[slot][:width].sum(dtype=np.int64)) if codes.dtype == np.uint8 else 0
    return int(bias_of_loop(codes, bias, slot)) + 256 * levels


bias_of = bias_of_loop if config.DISABLE_JIT else _bias_of

if not config.DISABLE_JIT:

    @kernel
    def _signed(codes, bias, slot, out):
        row = codes[np.uint32(slot)]
        width = out.shape[0] - (BIAS_BYTES if bias.shape[0] == 0 else 0)
        levels = np.int64(0)
        for j in range(width):
            out[j] = np.int8(row[j] ^ np.uint8(128))
            levels += np.int64(row[j])
        for j in range(width, out.shape[0]):
            out[j] = np.int8(0)
        return np.int64(bias_of(codes, bias, slot)) + 256 * levels

    @kernel
    def _copied(codes, bias, slot, out):
        row = codes[np.uint32(slot)]
        for j in range(out.shape[0]):
            out[j] = row[j]
        return np.int64(bias_of(codes, bias, slot))

    @overload(agreement)
    def _agreement_of(codes, row, queries, query_row):  # noqa: ARG001
        of_products = codes.dtype == types.uint8
        compared = dot_codes if of_products else _agreement

        def compare(codes, row, queries, query_row):
            return compared(codes, row, queries, query_row)

        return compare

    @overload(query_rows)
    def _rows_of(codes, count):  # noqa: ARG001
        kind = types.int8 if codes.dtype == types.uint8 else codes.dtype

        def make(codes, count):
            return np.empty((count, codes.shape[1]), kind)

        return make

    @overload(as_query)
    def _query_of(codes, bias, slot, out):  # noqa: ARG001
        written = _signed if codes.dtype == types.uint8 else _copied

        def write(codes, bias, slot, out):
            return written(codes, bias, slot, out)

        return write
