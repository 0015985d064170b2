"""One link of a row of links (width, bytes of a link) uint8: see vego/index/links.py for the arrays.

A link of four bytes is read and written at once, so that who reads a row that another thread writes to sees one slot or
the other, as must be above layer 0. Of a link of three bytes it may see a part: a slot that is no neighbour, but a node
of layer 0 all the same if it is below the rows of the reader, who skips it if it is not.
"""

from __future__ import annotations

import numpy as np
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.intrinsics import INT32, INT64, load_at, row_pointer

NONE = 0xFFFFFFFF
WORD = 4  # bytes


@intrinsic
def _link_at(typingctx, row, j):  # noqa: ARG001
    """The word that begins with link j, with what belongs to the next one replaced by the sign."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        view, start = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
        size = builder.trunc(cgutils.unpack_tuple(builder, view.shape, 2)[1], INT32)
        word = load_at(builder, start, INT64(0), INT32)
        unused = builder.sub(INT32(8 * WORD), builder.shl(size, INT32(3)))
        return builder.ashr(builder.shl(word, unused), unused)

    return types.uint32(row, j), codegen


@intrinsic
def _put_word(typingctx, row, j, slot):  # noqa: ARG001
    """Write link j of four bytes."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        _, start = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
        builder.store(args[2], builder.bitcast(start, INT32.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(row, j, types.uint32), codegen


if config.DISABLE_JIT:  # intrinsics exist only in compiled code

    def link_at(row, j):
        """The slot that link j of a row leads to, uint32; NONE behind the last."""
        return np.uint32(int.from_bytes(row[j].tobytes(), "little", signed=True) & NONE)

    def put_link(row, j, slot):
        """Make link j of a row lead to a slot, or NONE."""
        row[j] = np.frombuffer(int(slot).to_bytes(WORD, "little")[: row.shape[1]], np.uint8)
else:

    @kernel
    def link_at(row, j):
        """The slot that link j of a row leads to, uint32; NONE behind the last."""
        return _link_at(row, j)

    @kernel
    def put_link(row, j, slot):
        """Make link j of a row lead to a slot, or NONE."""
        if row.shape[1] == WORD:
            _put_word(row, j, np.uint32(slot))
        else:
            for byte in range(row.shape[1]):
                row[np.uint64(j), np.uint64(byte)] = (np.uint32(slot) >> np.uint32(8 * byte)) & np.uint32(255)


@kernel
def end_links(row, first):
    """Have the row end with link `first` - 1."""
    for j in range(first, row.shape[0]):
        put_link(row, j, NONE)
