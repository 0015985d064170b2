"""Bit-packing in rows of 128 bytes (FORMAT.md, "Bit-packed").

T is the width in bits of the words, which are the values' own unsigned type, and 1024 / T the number of lanes.
Value i is number i // lanes of lane i % lanes, and word k of all lanes is adjacent: a row of values needs one
shift everywhere, and is one vector of 1024 bits, which LLVM cuts to what the processor has. Rows are handled as
such vectors by intrinsics: from loops over slices LLVM makes vectors too, but the slicing then costs more
than the row.
"""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.vectors import splat

_ROW_BITS = 1024
_BYTE = ir.IntType(8)


class _Rows:
    """Emits code for rows of the words `array_type`; the arguments of an intrinsic are `kinds` and `args`."""

    def __init__(self, context, builder, kinds, args):
        self.context, self.builder, self.kinds, self.args = context, builder, kinds, args
        self.word = ir.IntType(kinds[0].dtype.bitwidth)
        self.lanes = _ROW_BITS // self.word.width
        self.vector = ir.VectorType(self.word, self.lanes)

    def number(self, position):
        """An argument as a word."""
        value = self.context.cast(self.builder, self.args[position], self.kinds[position], types.uint64)
        return self.builder.trunc(value, self.word) if self.word.width < 64 else value

    def everywhere(self, value):
        """A word in every lane."""
        return splat(self.builder, value, self.lanes)

    def pointer(self, array, row, vector):
        """To row number `args[row]`, a `vector`, of the array `args[array]`."""
        builder = self.builder
        view = self.context.make_array(self.kinds[array])(self.context, builder, self.args[array])
        place = self.context.cast(builder, self.args[row], self.kinds[row], types.uint64)
        start = builder.bitcast(view.data, vector.as_pointer())
        return builder.gep(start, [place])

    def load(self, array, row):
        """A row of words."""
        return self.builder.load(self.pointer(array, row, self.vector), align=self.word.width // 8)

    def unpacked(self):
        """The values of rows `args[1]` and, behind it, `args[2]`: from bit `args[3]` on, by the mask `args[4]`."""
        builder = self.builder
        shift = self.number(3)
        rest = builder.sub(ir.Constant(self.word, self.word.width - 1), shift)
        one = self.everywhere(ir.Constant(self.word, 1))
        low = builder.lshr(self.load(0, 1), self.everywhere(shift))
        high = builder.shl(builder.shl(self.load(0, 2), one), self.everywhere(rest))
        return builder.and_(builder.or_(low, high), self.everywhere(self.number(4)))


@intrinsic
def unpack_row(typingctx, words, word, above, shift, mask, base, out, row):  # noqa: ARG001
    """Set row `row` of `out` to the bits from `shift` on of rows `word` and `above`, by `mask`, plus `base`."""

    def codegen(context, builder, signature, args):
        rows = _Rows(context, builder, signature.args, args)
        values = builder.add(rows.unpacked(), rows.everywhere(rows.number(5)))
        builder.store(values, rows.pointer(6, 7, rows.vector), align=rows.word.width // 8)
        return context.get_dummy_value()

    return types.void(words, word, above, shift, mask, base, out, row), codegen


@intrinsic
def match_row(typingctx, words, word, above, shift, mask, first, span, out, row):  # noqa: ARG001
    """Set row `row` of bool `out` to whether such values are at most `span` above `first`, modulo 2^T."""

    def codegen(context, builder, signature, args):
        rows = _Rows(context, builder, signature.args, args)
        values = builder.sub(rows.unpacked(), rows.everywhere(rows.number(5)))
        inside = builder.icmp_unsigned("<=", values, rows.everywhere(rows.number(6)))
        flags = ir.VectorType(_BYTE, rows.lanes)
        builder.store(builder.zext(inside, flags), rows.pointer(7, 8, flags), align=1)
        return context.get_dummy_value()

    return types.void(words, word, above, shift, mask, first, span, out, row), codegen


@intrinsic
def pack_row(typingctx, values, row, base, shift, words, word, above):  # noqa: ARG001
    """Put row `row` of `values` less `base`, shifted by `shift`, over the zero bits of rows `word` and `above`."""

    def codegen(context, builder, signature, args):
        rows = _Rows(context, builder, signature.args, args)
        shift = rows.number(3)
        rest = builder.sub(ir.Constant(rows.word, rows.word.width - 1), shift)
        one = rows.everywhere(ir.Constant(rows.word, 1))
        source = builder.sub(rows.load(0, 1), rows.everywhere(rows.number(2)))
        low = builder.shl(source, rows.everywhere(shift))
        high = builder.lshr(builder.lshr(source, one), rows.everywhere(rest))
        for place, part in ((5, low), (6, high)):
            whole = builder.or_(rows.load(4, place), part)
            builder.store(whole, rows.pointer(4, place, rows.vector), align=rows.word.width // 8)
        return context.get_dummy_value()

    return types.void(values, row, base, shift, words, word, above), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code

    def _row(array, number, lanes):
        return array[int(number) * lanes : (int(number) + 1) * lanes]

    def _unpacked(words, word, above, shift, mask):
        bits = 8 * words.itemsize
        kind = words.dtype.type
        low, high = (_row(words, number, _ROW_BITS // bits) for number in (word, above))
        values = (low >> kind(shift)) | ((high << kind(1)) << kind(bits - 1 - int(shift)))
        return values & kind(mask & np.uint64((1 << bits) - 1))

    def _wrapped(number, dtype):
        return dtype.type(int(number) % (1 << (8 * dtype.itemsize)))

    def unpack_row(words, word, above, shift, mask, base, out, row):
        """Set row `row` of `out` to the bits from `shift` on of rows `word` and `above`, by `mask`, plus `base`."""
        values = _unpacked(words, word, above, shift, mask)
        _row(out, row, len(values))[:] = values + _wrapped(base, words.dtype)

    def match_row(words, word, above, shift, mask, first, span, out, row):
        """Set row `row` of bool `out` to whether such values are at most `span` above `first`, modulo 2^T."""
        values = _unpacked(words, word, above, shift, mask)
        inside = (values - _wrapped(first, words.dtype)) <= _wrapped(span, words.dtype)
        _row(out, row, len(values))[:] = inside

    def pack_row(values, row, base, shift, words, word, above):
        """Put row `row` of `values` less `base`, shifted by `shift`, over the zero bits of rows `word` and `above`."""
        bits = 8 * words.itemsize
        kind, lanes = words.dtype.type, _ROW_BITS // bits
        source = _row(values, row, lanes) - _wrapped(base, values.dtype)
        _row(words, word, lanes)[:] |= source << kind(shift)
        _row(words, above, lanes)[:] |= (source >> kind(1)) >> kind(bits - 1 - int(shift))


@kernel
def unpack_rows(words, width, base, out):
    """Decode `out.size` (whole rows) values of `width` (1 to T) bits plus `base` into `out`, modulo 2^T.

    `words` holds ceil(rows * width / T) rows; it and `out` are of one unsigned type.
    """
    bits = np.uint64(np.iinfo(words.dtype).bits)
    rows = np.uint64(out.size) * bits // np.uint64(1024)
    last = np.uint64(words.size) * bits // np.uint64(1024) - np.uint64(1)
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - np.uint64(width))
    bit = np.uint64(0)
    for row in range(rows):
        word = bit // bits
        # Past the last word the high half only carries bits the mask drops.
        above = min(word + np.uint64(1), last)
        unpack_row(words, word, above, bit % bits, mask, base, out, row)
        bit += np.uint64(width)


@kernel
def match_rows(words, width, first, span, out):
    """Set bool `out[i]` to `value i - first <= span` modulo 2^T; else like `unpack_rows`."""
    bits = np.uint64(np.iinfo(words.dtype).bits)
    rows = np.uint64(out.size) * bits // np.uint64(1024)
    last = np.uint64(words.size) * bits // np.uint64(1024) - np.uint64(1)
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - np.uint64(width))
    bit = np.uint64(0)
    for row in range(rows):
        word = bit // bits
        above = min(word + np.uint64(1), last)
        match_row(words, word, above, bit % bits, mask, first, span, out, row)
        bit += np.uint64(width)


@kernel
def pack_rows(values, base, width, words):
    """Encode `values` (whole rows) less `base`, each below 2^`width`, into zeroed `words` of the same unsigned type."""
    bits = np.uint64(np.iinfo(words.dtype).bits)
    rows = np.uint64(values.size) * bits // np.uint64(1024)
    last = np.uint64(words.size) * bits // np.uint64(1024) - np.uint64(1)
    bit = np.uint64(0)
    for row in range(rows):
        word = bit // bits
        # In the last word nothing is left over.
        pack_row(values, row, base, bit % bits, words, word, min(word + np.uint64(1), last))
        bit += np.uint64(width)
