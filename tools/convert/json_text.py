"""Arrow arrays as JSON text, a column at a time: what JSON Lines and nested cells of CSV are made of.

What JSON has no form for: times become ISO 8601 text, durations counts of their unit, decimals text (a number
would be read as a float), binary base64, NaN and infinity null.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from vego_tools.convert.retype import plain, retype

MARK = b"lance_fmt:type"  # of a field whose text is JSON already


def json_text(array: Any, metadata: Any = None) -> Any:
    """A large_string array without nulls: the JSON of every value; `metadata` is that of the array's field."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ready = (metadata or {}).get(MARK) == b"json" or getattr(array.type, "extension_name", "") == "arrow.json"
    array = plain(array)
    kind, is_ = array.type, pa.types
    if is_.is_null(kind):
        return pa.array(["null"] * len(array), pa.large_string())
    if is_.is_struct(kind):
        text = _struct(array)
    elif is_.is_map(kind):
        pairs = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        text = _list(retype(array, pa.large_list(pairs)), pa.field("item", pairs))
    elif hasattr(kind, "value_field"):
        text = _list(array, kind.value_field)
    elif is_.is_boolean(kind) or is_.is_integer(kind) or is_.is_duration(kind):
        text = (array.cast(pa.int64()) if is_.is_duration(kind) else array).cast(pa.large_string())
    elif is_.is_floating(kind):
        text = _floats(array)
    elif is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        text = array.cast(pa.large_string())
        text = pc.replace_substring_regex(text, r"[\r\n]", " ") if ready else _quoted(text)
    elif is_binary(kind):
        text = _quoted(base64_text(array))
    else:
        text = _quoted(scalar_text(array))
    return pc.fill_null(text, "null")


def is_binary(kind: Any) -> bool:
    """Any of Arrow's types of bytes."""
    import pyarrow as pa

    is_ = pa.types
    return bool(
        is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_binary_view(kind)
        or is_.is_fixed_size_binary(kind)
    )  # fmt: skip


def scalar_text(array: Any) -> Any:
    """Times as ISO 8601, decimals as digits; a large_string array with the nulls of `array`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        if zone:
            array = array.cast(pa.timestamp(kind.unit, "UTC"))
        text = array.cast(pa.timestamp(kind.unit)).cast(pa.large_string())
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        return joined(text, zone) if zone else text
    if pa.types.is_date64(kind):
        return array.cast(pa.date32()).cast(pa.large_string())
    if pa.types.is_interval(kind):
        return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.large_string())
    return array.cast(pa.large_string())


def base64_text(array: Any) -> Any:
    """Binary as base64, with the nulls of `array`."""
    import pyarrow as pa

    texts = [None if v is None else base64.b64encode(v).decode() for v in array.to_pylist()]
    return pa.array(texts, pa.large_string())


def float_text(array: Any) -> Any:
    """The shortest digits that give each number back; a whole number ends in ".0", to stay a float."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    text = array.cast(pa.large_string())
    whole = pc.invert(pc.match_substring_regex(text, "[.einf]"))
    return pc.if_else(whole, joined(text, ".0"), text)


def _floats(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    finite = pc.is_finite(array.cast(pa.float32()) if pa.types.is_float16(array.type) else array)
    return pc.if_else(finite, float_text(array), pa.scalar(None, pa.large_string()))


def _quoted(text: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain_text = pc.invert(pc.match_substring_regex(text, r'[\x00-\x1f"\\\x7f]'))
    if pc.all(pc.fill_null(plain_text, True)).as_py() in (True, None):
        return joined('"', text, '"')
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return pa.array([None if v is None else encode(v) for v in text.to_pylist()], pa.large_string())


def _list(array: Any, item: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    items = json_text(array.flatten(), item.metadata)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]))
    inner = pc.binary_join(pa.LargeListArray.from_arrays(offsets, items), pa.scalar(",", pa.large_string()))
    text = joined("[", inner, "]")
    return pc.if_else(pc.is_valid(array), text, pa.scalar(None, pa.large_string()))


def _struct(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = [array.type.field(i) for i in range(array.type.num_fields)]
    children = array.flatten()
    text = object_text([f.name for f in fields], [f.metadata for f in fields], children, len(array))
    return pc.if_else(pc.is_valid(array), text, pa.scalar(None, pa.large_string()))


def object_text(names: list[str], metadata: list[Any], arrays: list[Any], rows: int) -> Any:
    """JSON objects of `rows` rows, a member for each array; a large_string array without nulls."""
    import pyarrow as pa

    if not names:
        return pa.array(["{}"] * rows, pa.large_string())
    pieces: list[Any] = []
    for place, (name, about, array) in enumerate(zip(names, metadata, arrays, strict=True)):
        head = ("," if place else "{") + json.dumps(name, ensure_ascii=False) + ":"
        pieces += [head, json_text(array, about)]
    return joined(*pieces, "}")


def cell_text(array: Any, metadata: Any = None) -> Any:
    """What stands in a cell for a value: text as it is, JSON of lists and structs; nulls stay."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = plain(array)
    kind = array.type
    if pa.types.is_floating(kind):
        return float_text(array)
    if kind.num_fields:
        return pc.if_else(pc.is_valid(array), json_text(array, metadata), pa.scalar(None, pa.large_string()))
    return base64_text(array) if is_binary(kind) else scalar_text(array)


def joined(*parts: Any) -> Any:
    """Texts and large_string arrays one after the other, row by row; null where one is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pieces = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*pieces, pa.scalar("", pa.large_string()))
