"""The frame of small files that are written once: a binary header with checksums before a body of canonical JSON.

file   = magic format_version flags body_length body_crc header_crc | body

The body can be read with a text viewer, and neither part can be changed unnoticed. Canonical: equal contents are
equal bytes (sorted keys, no spaces, UTF-8).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from lance_fmt import Builder, Cursor, crc32c
from vego.errors import InvalidArgumentError, NewerVersionError

HEADER_SIZE = 28
MAX_BODY_BYTES = 256 << 20


def sealed(magic: bytes, version: int, fields: Mapping[str, Any]) -> bytes:
    """The file of `fields`; InvalidArgumentError for what is not JSON or takes more than MAX_BODY_BYTES."""
    body = canonical(fields)
    if len(body) > MAX_BODY_BYTES:
        raise InvalidArgumentError(f"at most {MAX_BODY_BYTES:,} bytes expected, found {len(body):,}")
    header = Builder().raw(magic).u32(version).u32(0).u64(len(body)).u32(crc32c(body)).finish()
    return header + Builder().u32(crc32c(header)).finish() + body


def opened(data: bytes, path: str, magic: bytes, newest: int, kind: str) -> bytes:
    """The body of a file; `kind` names what was expected.

    Raises CorruptFileError, and NewerVersionError for a version above `newest`.
    """
    cursor = Cursor(data, path=path)
    header = cursor.take(HEADER_SIZE - 4, f"{kind} header")
    if cursor.u32("header checksum") != crc32c(header):
        raise Cursor(data, path=path).fail("checksum of the header does not match")
    fixed = Cursor(header, path=path)
    if fixed.take(4) != magic:
        raise Cursor(data, path=path).fail(f"{magic!r} expected: not a {kind}")
    version, flags, length, crc = fixed.u32(), fixed.u32(), fixed.u64(), fixed.u32()
    if version > newest or (version >= 1 and flags):
        raise NewerVersionError(
            f"{path}: {kind} format {version} (flags {flags}) is newer than {newest} (flags 0), "
            "the newest this Vego reads; use the Vego that wrote it"
        )
    if version < 1 or length > MAX_BODY_BYTES:
        raise fixed.fail(f"format {version} with {length} bytes is unknown")
    if length != cursor.remaining:
        raise cursor.fail(f"{length} bytes expected behind the header, found {cursor.remaining}")
    body = bytes(cursor.take(length))
    if crc32c(body) != crc:
        raise Cursor(data, path=path, base=HEADER_SIZE).fail("checksum of the body does not match")
    return body


def parsed(body: bytes) -> Any:
    """The JSON of a body; ValueError or RecursionError."""
    return json.loads(body, parse_constant=_no_constant)


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Canonical JSON; InvalidArgumentError for what JSON cannot say."""
    try:
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"JSON expected: {error}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
