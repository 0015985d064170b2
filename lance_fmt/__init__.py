"""A columnar file format for vectors and the data around them. `FORMAT.md` is its specification."""

from lance_fmt.cache import BlockCache
from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.constants import TypeId
from lance_fmt.errors import (
    CorruptFileError,
    FormatError,
    InvalidDataError,
    SchemaError,
    UnsupportedVersionError,
)
from lance_fmt.info import ColumnInfo, PageInfo
from lance_fmt.pyvalues import infer_type
from lance_fmt.reader import File, open
from lance_fmt.schema import (
    DataType,
    Field,
    Schema,
    binary,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    json,
    list_,
    string,
    timestamp,
    uint8,
    uint16,
    uint32,
    uint64,
    vector,
)
from lance_fmt.source import BytesSource, FileSource, ReadAt
from lance_fmt.table import Table
from lance_fmt.wire import Builder, Cursor
from lance_fmt.writer import Writer, WriteSummary, write

__all__ = [  # noqa: RUF022 (grouped by what they are for)
    "open", "write", "File", "Writer", "WriteSummary", "Table", "Column", "ColumnInfo", "PageInfo",
    "ReadAt", "FileSource", "BytesSource", "BlockCache",
    "DataType", "TypeId", "Field", "Schema", "bool_", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "string", "binary", "json", "timestamp", "list_", "vector", "infer_type",
    "Builder", "Cursor", "crc32c",
    "FormatError", "CorruptFileError", "UnsupportedVersionError", "InvalidDataError", "SchemaError",
]  # fmt: skip
