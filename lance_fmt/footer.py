"""Header, footer, column offset table and key-values: what `open` reads (FORMAT.md, "Footer").

Checksums form a tree: the footer covers the table, schema and key-values; the table covers column metadata;
that covers page indexes; those cover blocks. So the footer's checksum names the content of the whole file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from lance_fmt.checksum import crc32c
from lance_fmt.constants import (
    COLUMN_RECORD_SIZE,
    FOOTER_SIZE,
    HEADER_SIZE,
    KNOWN_FEATURES,
    MAGIC,
    VERSION_MAJOR,
    VERSION_MINOR,
    Feature,
)
from lance_fmt.errors import CorruptFileError, InvalidDataError, UnsupportedVersionError
from lance_fmt.wire import Builder, Cursor

# Keys of the file's own among the key-values.
RESERVED = "lfmt:"
REQUIRES = "lfmt:requires"
SCHEMA_METADATA = "lfmt:schema"

_FEATURES = {feature.value: str(feature.name).lower() for feature in Feature}

COLUMN_RECORD = np.dtype(
    [
        ("name_hash", "<u8"),
        ("meta_offset", "<u8"),
        ("meta_length", "<u4"),
        ("meta_crc", "<u4"),
        ("field_offset", "<u4"),
        ("field_length", "<u4"),
        ("ordinal", "<u4"),
        ("reserved", "<u4"),
    ]
)


class Record(NamedTuple):
    """A record of the column offset table."""

    name_hash: int
    meta_offset: int
    meta_length: int
    meta_crc: int
    field_offset: int
    field_length: int
    ordinal: int
    reserved: int


def name_hash(name: str) -> int:
    """BLAKE2b (RFC 7693) of the name's UTF-8 with an 8-byte digest, read little-endian."""
    return int.from_bytes(blake2b(name.encode("utf-8"), digest_size=8).digest(), "little")


def header_bytes() -> bytes:
    """The first 64 bytes of a file."""
    # Written before anything is known of the content, the header gives the container's version, still 1.0;
    # the footer says what the content needs.
    body = Builder().raw(MAGIC).u16(VERSION_MAJOR).u16(0).u32(0).finish()
    body = body.ljust(HEADER_SIZE - 4, b"\0")
    return body + Builder().u32(crc32c(body)).finish()


def check_header(data: bytes | memoryview, path: str) -> None:
    """Raise unless `data` is a header this reader understands."""
    cursor = Cursor(data, path=path)
    if bytes(cursor.take(4, "magic")) != MAGIC:
        raise CorruptFileError(path, 0, f"the file does not start with {MAGIC!r}")
    if (
        crc32c(memoryview(data)[: HEADER_SIZE - 4])
        != Cursor(memoryview(data)[HEADER_SIZE - 4 :], path=path).u32()
    ):
        raise CorruptFileError(path, 0, "header does not match its checksum")
    major, minor, features = cursor.u16(), cursor.u16(), cursor.u32()
    _check_major(path, major, minor)
    if features & ~KNOWN_FEATURES:
        raise UnsupportedVersionError(
            f"{path}: feature flags {features & ~KNOWN_FEATURES:#x} of format {major}.{minor} are unknown "
            "to this reader: use a newer release"
        )


def _check_major(path: str, major: int, minor: int) -> None:
    if major != VERSION_MAJOR:
        raise UnsupportedVersionError(
            f"{path}: format version {major}.{minor}; this reader knows {VERSION_MAJOR}.x: use a newer one"
        )


@dataclass(frozen=True, slots=True)
class Footer:
    """The last 64 bytes. Regions before it, back to back: table, schema, key-values."""

    file_length: int
    num_rows: int
    table_offset: int
    num_columns: int
    schema_length: int
    metadata_length: int
    table_crc: int
    schema_crc: int
    metadata_crc: int
    version: tuple[int, int] = (VERSION_MAJOR, VERSION_MINOR)
    features: int = 0

    @property
    def table_length(self) -> int:
        """Bytes of the column offset table."""
        return self.num_columns * COLUMN_RECORD_SIZE

    @property
    def schema_offset(self) -> int:
        """File position of the schema."""
        return self.table_offset + self.table_length

    @property
    def metadata_offset(self) -> int:
        """File position of the key-values."""
        return self.schema_offset + self.schema_length

    def to_bytes(self) -> bytes:
        """Exactly 64 bytes, the checksum of the first 56 among them."""
        body = Builder().u64(self.file_length).u64(self.num_rows).u64(self.table_offset)
        body.u32(self.num_columns).u32(self.schema_length).u32(self.metadata_length)
        body.u32(self.table_crc).u32(self.schema_crc).u32(self.metadata_crc)
        body.u32(self.features).u16(self.version[0]).u16(self.version[1])
        raw = body.finish()
        return Builder().raw(raw).u32(crc32c(raw)).raw(MAGIC).finish()

    @staticmethod
    def from_bytes(data: bytes | memoryview, path: str, file_length: int) -> Footer:
        """Parse and check the last 64 bytes of a file of `file_length` bytes."""
        base = file_length - FOOTER_SIZE
        cursor = Cursor(data, path=path, base=base)
        raw = cursor.take(FOOTER_SIZE, "footer")
        end = Cursor(raw[-8:], path=path, base=file_length - 8)
        checksum, magic = end.u32(), bytes(end.take(4))
        if magic != MAGIC:
            raise CorruptFileError(
                path, file_length - 4, f"the file does not end with {MAGIC!r}: not such a file, or cut off"
            )
        if crc32c(raw[:-8]) != checksum:
            raise CorruptFileError(path, base, "footer does not match its checksum")
        cursor = Cursor(raw, path=path, base=base)
        sizes = cursor.u64(), cursor.u64(), cursor.u64(), cursor.u32(), cursor.u32(), cursor.u32()
        checksums = cursor.u32(), cursor.u32(), cursor.u32()
        features, major, minor = cursor.u32(), cursor.u16(), cursor.u16()
        _check_major(path, major, minor)
        footer = Footer(*sizes, *checksums, (major, minor), features)
        if footer.file_length != file_length:
            raise cursor.fail(f"the file has {file_length} bytes, its footer says {footer.file_length}")
        if footer.table_offset < HEADER_SIZE or footer.metadata_offset + footer.metadata_length != base:
            raise cursor.fail("the regions named by the footer do not fill the file")
        if footer.num_rows >= 1 << 46:
            raise cursor.fail(f"{footer.num_rows} rows are more than the format allows")
        return footer


def metadata_bytes(
    metadata: Mapping[str, str], schema: Mapping[str, str] | None = None, features: int = 0
) -> bytes:
    """User key-values, and behind them the file's own: what it requires, and the schema's metadata."""
    own = {}
    if features:
        own[REQUIRES] = ", ".join(name for bit, name in _FEATURES.items() if bit & features)
    if schema:
        own[SCHEMA_METADATA] = json.dumps(dict(schema), ensure_ascii=False, separators=(",", ":"))
    out = Builder().u32(len(metadata) + len(own))
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidDataError(f"metadata {key!r}: {value!r} is not text to text")
        if key.startswith(RESERVED):
            raise InvalidDataError(
                f"metadata key {key!r}: keys that start with {RESERVED!r} are the format's own"
            )
    for key, value in (*metadata.items(), *own.items()):
        out.text(key).text(value)
    return out.finish()


def read_metadata(cursor: Cursor) -> tuple[dict[str, str], dict[str, str]]:
    """User key-values, and the file's own, back from their region."""
    user: dict[str, str] = {}
    own: dict[str, str] = {}
    for _ in range(cursor.u32("key-value count")):
        key = cursor.text("key")
        (own if key.startswith(RESERVED) else user)[key] = cursor.text("value")
    cursor.expect_end("key-values")
    return user, own


def schema_metadata(own: Mapping[str, str], cursor: Cursor) -> dict[str, str]:
    """The metadata of the schema; `cursor` only serves the error."""
    try:
        found = json.loads(own.get(SCHEMA_METADATA, "{}"))
    except (ValueError, RecursionError) as error:
        raise cursor.fail(f"metadata of the schema is not JSON ({error})") from None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise cursor.fail("metadata of the schema is not text to text")
    return found


def check_features(footer: Footer, own: Mapping[str, str], path: str) -> None:
    """Refuse a file that requires what this reader does not know, by its name where the file tells it."""
    unknown = footer.features & ~KNOWN_FEATURES
    if unknown:
        ours = set(_FEATURES.values())
        names = [n for n in own.get(REQUIRES, "").split(", ") if n and n not in ours]
        what = ", ".join(names) or f"feature flags {unknown:#x}"
        raise UnsupportedVersionError(
            f"{path}: format {footer.version[0]}.{footer.version[1]} requires {what}; this reader knows "
            f"{VERSION_MAJOR}.{VERSION_MINOR} and {', '.join(sorted(ours))}: use a newer release"
        )
