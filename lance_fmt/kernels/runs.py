"""Expanding runs (FORMAT.md, "Run-length")."""

import numpy as np
from numba import config, types
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.vectors import splat

_LANES = 16


@intrinsic
def _fill(typingctx, value, out, at):  # noqa: ARG001
    """Set the 16 items of `out` from `at` on to `value`."""

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[1])(context, builder, args[1])
        start = builder.gep(view.data, [context.cast(builder, args[2], signature.args[2], types.uint64)])
        lanes = splat(builder, args[0], _LANES)
        builder.store(lanes, builder.bitcast(start, lanes.type.as_pointer()), align=args[0].type.width // 8)
        return context.get_dummy_value()

    return types.void(value, out, at), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code

    def _fill_slowly(value, out, at):
        out[int(at) : int(at) + _LANES] = value

    _fill = _fill_slowly


@kernel
def expand_runs(values, lengths, size, out):
    """Fill the first `size` items of `out`, which has 16 more, with each of `values` as often as `lengths` says.

    `lengths` is uint32. Returns whether none is zero and they sum to `size`; nothing is written past `out`
    if not. Most runs are short: they are written as 16 values, of which those after it overwrite the rest.
    """
    at = np.uint64(0)
    lanes = np.uint64(_LANES)
    end = np.uint64(size)
    for i in range(values.size):
        value = values[i]
        length = np.uint64(lengths[i])
        if length == np.uint64(0) or length > end - at:
            return False
        _fill(value, out, at)
        for place in range(at + lanes, at + length, lanes):
            _fill(value, out, place)
        at += length
    return at == end
