"""Loads, stores and copies of 8 and 16 bytes at any place of a byte array: what byte loops are slow without.

Nothing here checks bounds: every caller says why its places lie within the arrays. Words are in the order of
the processor; numba runs on little-endian ones only.
"""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_LANES = ir.VectorType(_BYTE, 16)


def _pointer(context, builder, array_type, array, index_type, index, item):
    view = context.make_array(array_type)(context, builder, array)
    place = context.cast(builder, index, index_type, types.uint64)
    start = builder.bitcast(view.data, _BYTE.as_pointer())
    return builder.bitcast(builder.gep(start, [place]), item.as_pointer())


def _copies(item):
    def codegen(context, builder, signature, args):
        kinds = signature.args
        source = _pointer(context, builder, kinds[0], args[0], kinds[1], args[1], item)
        target = _pointer(context, builder, kinds[2], args[2], kinds[3], args[3], item)
        builder.store(builder.load(source, align=1), target, align=1)
        return context.get_dummy_value()

    return codegen


@intrinsic
def load64(typingctx, array, index):  # noqa: ARG001
    """The 8 bytes from `array[index]` on as uint64."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        return builder.load(_pointer(context, builder, kinds[0], args[0], kinds[1], args[1], _WORD), align=1)

    return types.uint64(array, index), codegen


@intrinsic
def store64(typingctx, array, index, word):  # noqa: ARG001
    """Set the 8 bytes from `array[index]` on to the uint64 `word`."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        place = _pointer(context, builder, kinds[0], args[0], kinds[1], args[1], _WORD)
        builder.store(context.cast(builder, args[2], kinds[2], types.uint64), place, align=1)
        return context.get_dummy_value()

    return types.void(array, index, word), codegen


@intrinsic
def copy16(typingctx, source, start, out, target):  # noqa: ARG001
    """Copy 16 bytes from `source[start]` on to `out[target]` on."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        place = _pointer(context, builder, kinds[0], args[0], kinds[1], args[1], _LANES)
        to = _pointer(context, builder, kinds[2], args[2], kinds[3], args[3], _LANES)
        builder.store(builder.load(place, align=1), to, align=1)
        return context.get_dummy_value()

    return types.void(source, start, out, target), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code

    def load64(array, index):
        """The 8 bytes from `array[index]` on as uint64."""
        return np.uint64(int.from_bytes(array[int(index) : int(index) + 8].tobytes(), "little"))

    def store64(array, index, word):
        """Set the 8 bytes from `array[index]` on to the uint64 `word`."""
        array[int(index) : int(index) + 8] = np.frombuffer(int(word).to_bytes(8, "little"), np.uint8)

    def copy16(source, start, out, target):
        """Copy 16 bytes from `source[start]` on to `out[target]` on."""
        out[int(target) : int(target) + 16] = source[int(start) : int(start) + 16]
