"""Running sums: what differences are turned back with (FORMAT.md, "Delta")."""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.vectors import splat

_LANES = 8


@intrinsic
def _sum_lanes(typingctx, values, at, total):  # noqa: ARG001
    """Set each of the 8 `values` from `at` on to `total` plus those before it; return the sum of all as uint64.

    Each addition but that of the total is one of vectors, so only one addition in eight waits for another.
    """

    def codegen(context, builder, signature, args):
        kinds = signature.args
        word = ir.IntType(kinds[0].dtype.bitwidth)
        vector = ir.VectorType(word, _LANES)
        view = context.make_array(kinds[0])(context, builder, args[0])
        start = builder.gep(view.data, [context.cast(builder, args[1], kinds[1], types.uint64)])
        place = builder.bitcast(start, vector.as_pointer())
        zeros = ir.Constant(vector, [0] * _LANES)

        def moved(lanes, step):
            """Up by `step` lanes, zeros coming in."""
            picks = [i - step if i >= step else _LANES for i in range(_LANES)]
            index = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), picks)
            return builder.shuffle_vector(lanes, zeros, index)

        sums = builder.load(place, align=word.width // 8)
        for step in (1, 2, 4):
            sums = builder.add(sums, moved(sums, step))
        total = args[2] if word.width == 64 else builder.trunc(args[2], word)
        builder.store(
            builder.add(moved(sums, 1), splat(builder, total, _LANES)), place, align=word.width // 8
        )
        last = builder.add(total, builder.extract_element(sums, ir.Constant(ir.IntType(32), _LANES - 1)))
        return last if word.width == 64 else builder.zext(last, ir.IntType(64))

    return types.uint64(values, at, types.uint64), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code

    def _sum_slowly(values, at, total):
        return _sum_one_by_one(values[int(at) : int(at) + _LANES], total)

    _sum_lanes = _sum_slowly


@kernel
def _sum_one_by_one(values, total):
    for i in range(values.size):
        value = values[i]
        values[i] = total
        total += np.uint64(value)
    return total


@kernel
def running_sum(first, values):
    """Set each of unsigned `values` to `first` plus the sum of those before it, modulo 2^T."""
    total = np.uint64(first)
    size = np.uint64(values.size)
    whole = size - size % np.uint64(_LANES)
    for at in range(np.uint64(0), whole, np.uint64(_LANES)):
        total = _sum_lanes(values, at, total)
    _sum_one_by_one(values[whole:], total)
