"""Sums of table entries chosen by 4-bit codes, 32 rows at a time, in 16-bit arithmetic.

Andre, Kermarrec and Le Scouarnec, "Quicker ADC" (2018). A block holds 32 rows; its bytes 16 m .. 16 m + 15 are
the codes of sub-quantiser m: byte i has row i in its low four bits and row 16 + i in its high ones. A table has
16 bytes for each sub-quantiser, in that order, with every sum of one entry each at most 65,535. Rows of blocks and
tables are whole cache lines, so the number of sub-quantisers is a multiple of 4.

The lookup is the byte shuffle `vpshufb` of the widest kind there is (AVX-512BW, AVX2, SSSE3), else the plain loop
`sum_block_loop`, which gives the same sums. See vego/index/kernels/intrinsics.py for how the choice is made.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.intrinsics import INT8, INT64, called, load_at, row_pointer

INT16 = ir.IntType(16)


def sum_block_loop(blocks, block, table, sums):
    """Write the 32 sums of one block to `sums` (uint16): the portable form of `sum_block`."""
    row = blocks[np.uint32(block)]
    for i in range(32):
        sums[i] = np.uint16(0)
    for m in range(row.shape[0] >> 4):
        for i in range(16):
            byte = np.int64(row[16 * m + i])
            sums[i] = np.uint16(sums[i] + table[16 * m + (byte & 15)])
            sums[16 + i] = np.uint16(sums[16 + i] + table[16 * m + (byte >> 4)])


def shuffle_bytes(features: str) -> int:
    """Bytes of the widest in-lane byte shuffle that LLVM features such as "+avx2,+ssse3" allow, or 0."""
    enabled = set(features.split(","))
    for width, feature in ((64, "+avx512bw"), (32, "+avx2"), (16, "+ssse3")):
        if feature in enabled:
            return width
    return 0


SHUFFLES = {64: "llvm.x86.avx512.pshuf.b.512", 32: "llvm.x86.avx2.pshuf.b", 16: "llvm.x86.ssse3.pshuf.b.128"}


def _folded(builder, even, odd, lanes):
    """Sums of 16 rows, in order, from accumulators of 16-bit words; see `_sum_block`."""
    even = builder.sub(even, builder.shl(odd, ir.Constant(odd.type, [8] * (lanes // 2))))
    halves = []
    for side in (even, odd):
        total, width = side, lanes // 2
        while width > 8:  # every 128-bit lane has summed other sub-quantisers for the same rows
            width //= 2
            low, high = (
                builder.shuffle_vector(total, total, ir.Constant(ir.VectorType(ir.IntType(32), width), picks))
                for picks in (list(range(width)), list(range(width, 2 * width)))
            )
            total = builder.add(low, high)
        halves.append(total)
    order = [i // 2 + 8 * (i % 2) for i in range(16)]
    return builder.shuffle_vector(*halves, ir.Constant(ir.VectorType(ir.IntType(32), 16), order))


@intrinsic
def _sum_block(typingctx, blocks, block, table, sums):  # noqa: ARG001
    """`sum_block_loop` with byte shuffles.

    Words of an accumulator take byte pairs: `even` adds both bytes of a pair as they are, `odd` the upper one, so
    that even - 256 odd is the sum of the lower ones, modulo 65,536, which no sum exceeds.
    """

    def codegen(context, builder, signature, args):
        lanes = shuffle_bytes(context.codegen().magic_tuple()[2])
        if lanes == 0:
            return context.compile_internal(builder, sum_block_loop, signature, args)
        kinds = signature.args
        view, codes = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
        _, entries = row_pointer(context, builder, kinds[2], args[2], types.uint64, INT64(0))
        _, out = row_pointer(context, builder, kinds[3], args[3], types.uint64, INT64(0))
        vector, words = ir.VectorType(INT8, lanes), ir.VectorType(INT16, lanes // 2)
        zero = ir.Constant(words, [0] * (lanes // 2))
        totals = [cgutils.alloca_once_value(builder, zero) for _ in range(4)]
        width = cgutils.unpack_tuple(builder, view.shape, 2)[1]
        nibble, four = ir.Constant(vector, [15] * lanes), ir.Constant(vector, [4] * lanes)
        eight = ir.Constant(words, [8] * (lanes // 2))
        with cgutils.for_range(builder, builder.udiv(width, INT64(lanes))) as loop:
            offset = builder.mul(loop.index, INT64(lanes))
            packed, lookup = (load_at(builder, side, offset, vector) for side in (codes, entries))
            for part, chosen in enumerate((builder.and_(packed, nibble), builder.lshr(packed, four))):
                found = builder.bitcast(called(builder, SHUFFLES[lanes], vector, lookup, chosen), words)
                for total, term in zip(
                    totals[2 * part : 2 * part + 2], (found, builder.lshr(found, eight)), strict=True
                ):
                    builder.store(builder.add(builder.load(total), term), total)
        for part in range(2):
            even, odd = (builder.load(total) for total in totals[2 * part : 2 * part + 2])
            result = _folded(builder, even, odd, lanes)
            place = builder.gep(out, [INT64(32 * part)])
            builder.store(result, builder.bitcast(place, result.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(blocks, block, table, sums), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code
    sum_block = sum_block_loop
else:

    @kernel
    def sum_block(blocks, block, table, sums):
        """Write the 32 sums (uint16) of blocks[block] (u8, a row) by the entries of `table` (u8, as long as a row)."""
        _sum_block(blocks, block, table, sums)
