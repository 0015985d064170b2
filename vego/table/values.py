"""Metadata values as JSON text and back, exactly: the payload of the WAL and of JSON columns.

JSON lacks some of the values Vego keeps. Those are written as an object whose first key starts with `$`:

    {"$bytes": base64}    {"$date": ISO 8601}    {"$float": "nan" | "inf" | "-inf"}
    {"$time": ISO 8601, "zone": IANA name, "fold": 1}    zone and fold only where there is one
    {"$none": true}       None, in a column where null means "not there"
    {"$object": {...}}    an object of the user's with a key that starts with `$`
"""

from __future__ import annotations

import base64
import json
import json.encoder
import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

EXPLICIT_NONE: dict[str, Any] = {"$none": True}

_PLAIN = (str, bool, int, type(None))
_PLAIN_KINDS = frozenset({str, bool, int, float, type(None)})
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
# What `_ENCODER` makes anew for each text, where the interpreter has it.
_MAKE: Any = getattr(json.encoder, "c_make_encoder", None)
_PARTS: Callable[[object, int], Iterable[str]] = (
    _MAKE(None, _ENCODER.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    if _MAKE
    else lambda value, _: _ENCODER.iterencode(value)
)
_DECODER = json.JSONDecoder()


def to_jsonable(value: Any) -> Any:
    """`value` with everything JSON lacks written as `$` objects."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [to_jsonable(item) for item in value]
    if kind is dict:
        inner = {key: to_jsonable(item) for key, item in value.items()}
        return {"$object": inner} if any(key.startswith("$") for key in inner) else inner
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime):
        moment: dict[str, Any] = {"$time": value.isoformat()}
        zone = getattr(value.tzinfo, "key", None)
        if zone is not None:
            moment["zone"] = zone
        if value.fold:
            moment["fold"] = 1
        return moment
    if kind is date:
        return {"$date": value.isoformat()}
    raise TypeError(f"not a storable value: {kind.__name__}")


def from_jsonable(value: Any) -> Any:
    """The value that `to_jsonable` was given; ValueError or KeyError for an object it never writes."""
    if type(value) is list:
        return [from_jsonable(item) for item in value]
    if type(value) is not dict:
        return value
    first = next(iter(value), "")
    if not first.startswith("$"):
        return {key: from_jsonable(item) for key, item in value.items()}
    if first == "$object":
        return {key: from_jsonable(item) for key, item in value[first].items()}
    if first == "$bytes":
        return base64.b64decode(value[first], validate=True)
    if first == "$time":
        return _datetime(value)
    if first == "$date":
        return date.fromisoformat(value[first])
    if first == "$float":
        return float(value[first])
    if first == "$none":
        return None
    raise ValueError(f"unknown value {first!r}")


def _datetime(value: dict[str, Any]) -> datetime:
    moment = datetime.fromisoformat(value["$time"]).replace(fold=value.get("fold", 0))
    if "zone" in value:
        return moment.replace(tzinfo=ZoneInfo(value["zone"]))
    if moment.tzinfo is not None and moment.utcoffset() == timedelta(0):
        return moment.replace(tzinfo=UTC)
    return moment


def dump_metadata(metadata: dict[str, Any]) -> bytes:
    """UTF-8 JSON of a metadata dict."""
    plain = {key: to_jsonable(value) for key, value in metadata.items()}
    return _ENCODER.encode(plain).encode("utf-8")


def dump_plain(metadata: dict[str, Any]) -> bytes | None:
    """`dump_metadata` in fewer steps; None where it takes more, or must say what is wrong."""
    if not _PLAIN_KINDS.issuperset(map(type, metadata.values())):
        return None
    try:
        return "".join(_PARTS(metadata, 0)).encode()
    except ValueError:  # infinite, or not Unicode
        return None


def load_metadata(data: bytes) -> dict[str, Any]:
    """The dict that `dump_metadata` was given; ValueError if the bytes are not such JSON."""
    try:
        loaded = _DECODER.decode(data.decode())
        return {
            key: from_jsonable(value) if type(value) in (dict, list) else value
            for key, value in loaded.items()
        }
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not metadata: {error!r}") from None
