"""Taking numbers apart into byte planes, and putting them together again (FORMAT.md, "Byte stream split")."""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.vectors import splat

_LANES = 16


def _join(context, builder, kinds, args):
    """Emit `_join2` and its like: planes are interleaved two by two until whole numbers are left."""
    *planes, turn, at, out = [
        context.make_array(kind)(context, builder, arg) if isinstance(kind, types.Array) else arg
        for kind, arg in zip(kinds, args, strict=True)
    ]
    at = context.cast(builder, at, kinds[-2], types.uint64)

    def pointer(array, vector):
        return builder.bitcast(builder.gep(array.data, [at]), vector.as_pointer())

    bits = 8
    vector = ir.VectorType(ir.IntType(bits), _LANES)
    parts = [builder.load(pointer(plane, vector), align=1) for plane in planes]
    picks = [pick for lane in range(_LANES) for pick in (lane, _LANES + lane)]
    index = ir.Constant(ir.VectorType(ir.IntType(32), 2 * _LANES), picks)
    while len(parts) > 1:
        bits *= 2
        vector = ir.VectorType(ir.IntType(bits), _LANES)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [builder.bitcast(builder.shuffle_vector(a, b, index), vector) for a, b in pairs]
    word = vector.element
    right = context.cast(builder, turn, kinds[-3], types.uint64)
    right = right if bits == 64 else builder.trunc(right, word)
    left = builder.and_(builder.neg(right), ir.Constant(word, bits - 1))
    numbers = builder.or_(
        builder.lshr(parts[0], splat(builder, right, _LANES)),
        builder.shl(parts[0], splat(builder, left, _LANES)),
    )
    builder.store(numbers, pointer(out, vector), align=bits // 8)
    return context.get_dummy_value()


def _codegen(context, builder, signature, args):
    return _join(context, builder, signature.args, args)


@intrinsic
def _join2(typingctx, a, b, turn, at, out):  # noqa: ARG001
    """Set the 16 numbers of `out` from `at` on to those of the byte planes, rotated right by `turn` (0 or 1)."""
    return types.void(a, b, turn, at, out), _codegen


@intrinsic
def _join4(typingctx, a, b, c, d, turn, at, out):  # noqa: ARG001
    """Like `_join2` for four planes."""
    return types.void(a, b, c, d, turn, at, out), _codegen


@intrinsic
def _join8(typingctx, a, b, c, d, e, f, g, h, turn, at, out):  # noqa: ARG001
    """Like `_join2` for eight planes."""
    return types.void(a, b, c, d, e, f, g, h, turn, at, out), _codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code

    def _join_slowly(*given):
        *planes, turn, at, out = given
        part = slice(int(at), int(at) + _LANES)
        bits = 8 * out.itemsize
        for place in range(*part.indices(out.size)):
            value = sum(int(plane[place]) << (8 * k) for k, plane in enumerate(planes))
            out[place] = (value >> turn | value << (bits - turn)) & ((1 << bits) - 1)

    _join2 = _join4 = _join8 = _join_slowly


@kernel
def join2(a, b, turn, out):
    """Set uint16 `out` to the numbers of byte planes `a` (lowest) and `b`, rotated right by `turn` (0 or 1).

    There are 16 at least: the last 16 may overlap those before them.
    """
    last = np.uint64(out.size) - np.uint64(_LANES)
    for at in range(np.uint64(0), last, np.uint64(_LANES)):
        _join2(a, b, turn, at, out)
    _join2(a, b, turn, last, out)


@kernel
def join4(a, b, c, d, turn, out):
    """Like `join2` for uint32 `out` and four planes."""
    last = np.uint64(out.size) - np.uint64(_LANES)
    for at in range(np.uint64(0), last, np.uint64(_LANES)):
        _join4(a, b, c, d, turn, at, out)
    _join4(a, b, c, d, turn, last, out)


@kernel
def join8(a, b, c, d, e, f, g, h, turn, out):
    """Like `join2` for uint64 `out` and eight planes."""
    last = np.uint64(out.size) - np.uint64(_LANES)
    for at in range(np.uint64(0), last, np.uint64(_LANES)):
        _join8(a, b, c, d, e, f, g, h, turn, at, out)
    _join8(a, b, c, d, e, f, g, h, turn, last, out)


@kernel
def byte_plane(numbers, shift, out):
    """Set uint8 `out` to the low bytes of unsigned `numbers`, rotated right by `shift` (less than T) first."""
    bits = np.iinfo(numbers.dtype).bits
    right = numbers.dtype.type(shift)
    left = numbers.dtype.type((bits - shift) & (bits - 1))
    for i in range(numbers.size):
        out[i] = (numbers[i] >> right) | (numbers[i] << left)
