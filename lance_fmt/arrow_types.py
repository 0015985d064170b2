"""Which Arrow type goes with which of ours, both ways (`pa` is the pyarrow module)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lance_fmt import schema
from lance_fmt.constants import MAX_DECIMAL_DIGITS, TypeId
from lance_fmt.datatype import DataType, Field
from lance_fmt.errors import SchemaError

_MARK = "lance_fmt:type"
_EXTENSION = "ARROW:extension:"  # would be untrue of our storage types


def text_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """Arrow's metadata as text; what is not UTF-8 is escaped."""
    return {
        key.decode("utf-8", "backslashreplace"): value.decode("utf-8", "backslashreplace")
        for key, value in (metadata or {}).items()
    }


def arrow_field(pa: Any, field: Field) -> Any:
    """The pyarrow field of one of ours."""
    metadata = dict(field.metadata)
    if field.type.id is TypeId.JSON or field.type.is_bfloat16:
        metadata[_MARK] = str(field.type)
    return pa.field(field.name, _arrow_type(pa, field.type), field.nullable, metadata or None)


def _arrow_type(pa: Any, kind: DataType) -> Any:
    if kind.is_text:
        return pa.large_string()
    if kind.id is TypeId.BINARY:
        return pa.large_binary()
    if kind.is_struct:
        return pa.struct([arrow_field(pa, member) for member in kind.fields])
    if kind.is_list:
        return pa.large_list(arrow_field(pa, Field("item", kind.element, kind.item_nullable)))
    if kind.is_vector:
        return pa.list_(arrow_field(pa, Field("item", kind.element)), kind.dimension)
    if kind.is_decimal:
        return pa.decimal128(kind.precision, kind.scale)
    if kind.id is TypeId.TIMESTAMP:
        return pa.timestamp(kind.time_unit, kind.tz)
    if kind.id is TypeId.DATE:
        return pa.date32()
    if kind.id is TypeId.TIME:
        return pa.time32(kind.time_unit) if kind.time_unit in ("s", "ms") else pa.time64(kind.time_unit)
    if kind.id is TypeId.DURATION:
        return pa.duration(kind.time_unit)
    return pa.from_numpy_dtype(kind.dtype)


def field_of(pa: Any, described: Any, where: str) -> Field:
    """Our field of a pyarrow field; SchemaError, beginning with `where`, if there is none."""
    metadata = text_of(described.metadata)
    mark = metadata.pop(_MARK, "")
    metadata = {key: value for key, value in metadata.items() if not key.startswith(_EXTENSION)}
    try:
        kind = _data_type(pa, described.type, mark, where)
    except SchemaError as error:
        raise error if str(error).startswith(where) else SchemaError(f"{where}: {error}") from None
    return Field(described.name, kind, described.nullable, metadata)


def decoded(pa: Any, array: Any) -> Any:
    """An array without what only says how it is stored: extensions, dictionaries, run lengths."""
    while True:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        elif pa.types.is_run_end_encoded(array.type):
            import pyarrow.compute as pc

            array = pc.run_end_decode(array)
        else:
            return array


def _data_type(pa: Any, kind: Any, mark: str, where: str) -> DataType:
    is_ = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        mark = "json" if kind.extension_name == "arrow.json" else mark
        return _data_type(pa, kind.storage_type, mark, where)
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return _data_type(pa, kind.value_type, mark, where)
    if is_.is_struct(kind):
        members = [kind.field(i) for i in range(kind.num_fields)]
        return schema.struct([field_of(pa, m, f"{where}, field {m.name!r}") for m in members])
    if is_.is_map(kind):
        pair = [field_of(pa, f, f"{where}, {f.name}") for f in (kind.key_field, kind.item_field)]
        members = [Field("key", pair[0].type, False), Field("value", pair[1].type, pair[1].nullable)]
        return schema.list_(schema.struct(members))
    if is_.is_fixed_size_list(kind):
        item = field_of(pa, kind.value_field, f"{where}, items")
        if (item.type.is_number or item.type.is_bfloat16) and kind.list_size:
            return schema.vector(item.type, kind.list_size)
        return schema.list_(item.type, item.nullable)
    if hasattr(kind, "value_field"):  # lists and views of lists, with offsets of either size
        item = field_of(pa, kind.value_field, f"{where}, items")
        return schema.list_(item.type, item.nullable)
    return _scalar_type(pa, kind, mark)


def _scalar_type(pa: Any, kind: Any, mark: str) -> DataType:
    is_ = pa.types
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return schema.json() if mark == "json" else schema.string()
    if is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_binary_view(kind):
        return schema.binary()
    if is_.is_fixed_size_binary(kind):
        return schema.binary()
    if is_.is_timestamp(kind):
        return schema.timestamp(kind.unit, kind.tz)
    if is_.is_date64(kind):
        return schema.timestamp("ms")
    if is_.is_date32(kind):
        return schema.date()
    if is_.is_time(kind):
        return schema.time(kind.unit)
    if is_.is_duration(kind):
        return schema.duration(kind.unit)
    if is_.is_decimal(kind):
        return _decimal(kind)
    if is_.is_null(kind):
        return schema.json()
    if is_.is_uint16(kind) and mark == "bfloat16":
        return schema.bfloat16()
    names = {"bool": "bool_", "halffloat": "float16", "float": "float32", "double": "float64"}
    maker = getattr(schema, names.get(str(kind), str(kind)), None)
    if maker is None or not (is_.is_integer(kind) or is_.is_floating(kind) or is_.is_boolean(kind)):
        raise SchemaError(f"Arrow type {kind} has no counterpart in this format")
    found: DataType = maker()
    return found


def _decimal(kind: Any) -> DataType:
    """Arrow's scale may be negative, or larger than the precision."""
    scale = max(kind.scale, 0)
    precision = max(kind.precision + scale - kind.scale, scale)
    if precision > MAX_DECIMAL_DIGITS:
        raise SchemaError(
            f"Arrow type {kind} has {precision} digits; at most {MAX_DECIMAL_DIGITS} are possible: "
            f"cast it to decimal128({MAX_DECIMAL_DIGITS}, {scale})"
        )
    return schema.decimal(precision, scale)
