"""The same values under another Arrow type: strings with offsets of either size, dictionaries, maps, dates..."""

from __future__ import annotations

from typing import Any

import numpy as np


def retype(array: Any, target: Any) -> Any:
    """A pyarrow array of type `target` with the values of `array`.

    Raises pyarrow.ArrowInvalid (or a subclass) for values that `target` cannot hold exactly.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_ = pa.types
    if array.type.equals(target, check_metadata=True):
        return array
    if isinstance(target, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(target, retype(array, target.storage_type))
    if isinstance(array.type, pa.BaseExtensionType):
        return retype(array.storage, target)
    if is_.is_dictionary(array.type) and not is_.is_dictionary(target):
        return retype(array.dictionary_decode(), target)
    if is_.is_run_end_encoded(array.type):
        return retype(pc.run_end_decode(array), target)
    if is_.is_dictionary(target):
        return _dictionary(array, target)
    if is_.is_run_end_encoded(target):
        return pc.run_end_encode(retype(array, target.value_type), run_end_type=target.run_end_type)
    if is_.is_null(target):
        return _nulls(array)
    if is_.is_struct(target) and is_.is_struct(array.type):
        return _struct(array, target)
    if hasattr(target, "value_field") or is_.is_map(target):
        return _list(array, target)
    if is_.is_fixed_size_binary(target):
        return _fixed_binary(array, target)
    if is_.is_date64(target) or is_.is_date64(array.type):
        # date64 counts milliseconds as timestamp[ms] does; a cast would refuse a time of day.
        return array.view(target) if array.type.bit_width == target.bit_width else array.cast(target)
    return array.cast(target)


def retype_batch(batch: Any, schema: Any) -> Any:
    """A RecordBatch with the columns of `batch`, by position, under the types of `schema`."""
    import pyarrow as pa

    arrays = [retype(a, f.type) for a, f in zip(batch.columns, schema, strict=True)]
    if not arrays:
        return batch
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def plain(array: Any) -> Any:
    """An array without extension, dictionary and run lengths at its top."""
    import pyarrow as pa
    import pyarrow.compute as pc

    while True:
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        elif pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        elif pa.types.is_run_end_encoded(array.type):
            array = pc.run_end_decode(array)
        else:
            return array


def _dictionary(array: Any, target: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        codes, values = array.indices, array.dictionary
    else:
        encoded = retype(array, target.value_type).dictionary_encode()
        codes, values = encoded.indices, encoded.dictionary
    values = retype(values, target.value_type)
    return pa.DictionaryArray.from_arrays(
        codes.cast(target.index_type), values, ordered=target.ordered, safe=False
    )


def _nulls(array: Any) -> Any:
    import pyarrow as pa

    if array.null_count != len(array):
        raise pa.ArrowInvalid("a value where only nulls are expected")
    return pa.nulls(len(array))


def _validity(array: Any) -> Any:
    """The validity bitmap of an array, beginning at its first row; None without nulls."""
    import pyarrow.compute as pc

    return pc.is_valid(array).buffers()[1] if array.null_count else None


def _struct(array: Any, target: Any) -> Any:
    import pyarrow as pa

    if array.type.num_fields != target.num_fields:
        raise pa.ArrowInvalid(f"{array.type} does not become {target}")
    children = [retype(array.field(i), target.field(i).type) for i in range(target.num_fields)]
    return pa.Array.from_buffers(target, len(array), [_validity(array)], children=children)


def _list(array: Any, target: Any) -> Any:
    """Any of Arrow's lists and maps as any other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_ = pa.types
    if is_.is_map(array.type):
        # A map is a list of structs, of which Arrow's kernels do not know.
        entries = pa.struct([array.type.key_field, array.type.item_field])
        start, stop = array.offsets[0].as_py(), array.offsets[-1].as_py()
        pairs = pa.StructArray.from_arrays(
            [array.keys.slice(start, stop - start), array.items.slice(start, stop - start)],
            fields=[entries.field(0), entries.field(1)],
        )
        offsets = np.asarray(array.offsets).astype(np.int64) - start
        array = pa.Array.from_buffers(
            pa.large_list(pa.field("entries", entries, False)),
            len(array), [_validity(array), pa.py_buffer(offsets)], children=[pairs],
        )  # fmt: skip
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items, validity = array.flatten(), _validity(array)
    if is_.is_fixed_size_list(target):
        if validity is not None:
            present = np.repeat(np.asarray(pc.is_valid(array)), target.list_size)
            valid = pa.py_buffer(np.packbits(present, bitorder="little"))
            places = pa.py_buffer(np.maximum(np.cumsum(present, dtype=np.int64) - 1, 0))
            places = pa.Array.from_buffers(pa.int64(), len(present), [valid, places])
            lengths = np.full(len(array), target.list_size)
            items = items.take(places)
        if not (lengths == target.list_size).all():
            raise pa.ArrowInvalid(f"a list that has not {target.list_size} items")
        return pa.Array.from_buffers(
            target, len(array), [validity], children=[retype(items, target.value_type)]
        )
    if is_.is_map(target):
        entries = retype(items, pa.struct([target.key_field, target.item_field]))
        return pa.Array.from_buffers(
            target, len(array), [validity, pa.py_buffer(offsets.astype(np.int32))], children=[entries]
        )
    large = is_.is_large_list(target) or is_.is_large_list_view(target)
    width = np.int64 if large else np.int32
    buffers = [validity, pa.py_buffer(offsets.astype(width))]
    if is_.is_list_view(target) or is_.is_large_list_view(target):
        buffers = [validity, pa.py_buffer(offsets[:-1].astype(width)), pa.py_buffer(lengths.astype(width))]
    return pa.Array.from_buffers(target, len(array), buffers, children=[retype(items, target.value_type)])


def _fixed_binary(array: Any, target: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    width = target.byte_width
    filled = array.cast(pa.large_binary())
    filled = pc.fill_null(filled, b"\0" * width) if array.null_count else filled
    lengths = pc.binary_length(filled)
    if len(array) and pc.any(pc.not_equal(lengths, width)).as_py():
        raise pa.ArrowInvalid(f"a value that has not {width} bytes")
    start = np.frombuffer(filled.buffers()[1], np.int64)[filled.offset] if len(array) else 0
    data = filled.buffers()[2] if len(array) and width else pa.py_buffer(b"")
    return pa.Array.from_buffers(
        target, len(array), [_validity(array), data.slice(int(start), len(array) * width)]
    )
