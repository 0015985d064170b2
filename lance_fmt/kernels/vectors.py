"""What the intrinsics that work on whole vectors share."""

from llvmlite import ir


def splat(builder, value, lanes):
    """Emit a vector of `lanes` times `value`."""
    vector = ir.VectorType(value.type, lanes)
    index = ir.IntType(32)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(index, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(index, lanes), [0] * lanes))
