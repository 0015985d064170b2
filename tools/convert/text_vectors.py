"""Vectors in text: lists of floats, all of one length, are vectors; the items are float32 where that says it all."""

from __future__ import annotations

from typing import Any

from vego_tools.convert.retype import retype


def vector_types(table: Any, so_far: dict[str, Any]) -> dict[str, Any]:
    """For each column that was one of lists: the type of its vectors, None where it has not got one.

    `so_far` is the answer for the rows before; a column that is not in it had no list yet.
    """
    found = dict(so_far)
    for name, column in zip(table.schema.names, table.columns, strict=True):
        for chunk in column.chunks:
            if chunk.null_count < len(chunk):
                kind = _vector(chunk)
                found[name] = _both(found[name], kind) if name in found else kind
    return found


def _both(left: Any, right: Any) -> Any:
    import pyarrow as pa

    if left is None or right is None or left.list_size != right.list_size:
        return None
    return left if pa.types.is_float64(left.value_type) else right


def _vector(array: Any) -> Any:
    """The type of vectors that hold all of a list array; None if there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_list(array.type) and pa.types.is_float64(array.type.value_type)):
        return None
    items = array.flatten()
    lengths = pc.min_max(pc.list_value_length(array))
    low, high = lengths["min"].as_py(), lengths["max"].as_py()
    if low != high or low < 2 or items.null_count:
        return None
    # The shortest text of a float32 is what was written, if a float32 was written.
    single = items.cast(pa.float32()).cast(pa.string()).cast(pa.float64()).equals(items)
    return pa.list_(pa.float32() if single else pa.float64(), low)


def as_vectors(batch: Any, schema: Any) -> Any:
    """A RecordBatch with its lists as the vectors that `schema` says they are."""
    import pyarrow as pa

    arrays = [retype(a, f.type) for a, f in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
