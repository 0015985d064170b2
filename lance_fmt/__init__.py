"""A columnar file format for vectors and the data around them. `FORMAT.md` is its specification."""

from typing import TYPE_CHECKING

from lance_fmt.lazy import exports

if TYPE_CHECKING:
    from lance_fmt.anatomy import Anatomy, Part, dissect
    from lance_fmt.cache import BlockCache, CacheStats
    from lance_fmt.cached_source import CachedSource
    from lance_fmt.checksum import crc32c
    from lance_fmt.column import Column
    from lance_fmt.computed import ComputedColumn
    from lance_fmt.constants import TypeId
    from lance_fmt.damage import Damage
    from lance_fmt.errors import (
        CorruptFileError,
        FormatError,
        InvalidDataError,
        SchemaError,
        UnsupportedVersionError,
    )
    from lance_fmt.filter import Expression, field
    from lance_fmt.inference import infer_type
    from lance_fmt.info import ColumnInfo, PageInfo
    from lance_fmt.optional import MissingPackageError
    from lance_fmt.reader import File, open
    from lance_fmt.rescue import SalvageReport, salvage
    from lance_fmt.schema import (
        DataType,
        Field,
        Schema,
        bfloat16,
        binary,
        bool_,
        date,
        decimal,
        duration,
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
        struct,
        time,
        timestamp,
        uint8,
        uint16,
        uint32,
        uint64,
        vector,
    )
    from lance_fmt.source import BytesSource, FileSource, MmapSource, ReadAt
    from lance_fmt.survey import ColumnSurvey, Region, Survey, examine
    from lance_fmt.table import Table
    from lance_fmt.wire import Builder, Cursor
    from lance_fmt.writer import Writer, WriteSummary, encodings_for, write

__all__ = [  # noqa: RUF022 (grouped by what they are for)
    "open", "write", "File", "Writer", "WriteSummary", "Table", "Column", "ComputedColumn", "ColumnInfo", "PageInfo",
    "examine", "Survey", "ColumnSurvey", "Region", "dissect", "Anatomy", "Part",
    "Expression", "field", "Damage", "salvage", "SalvageReport",
    "ReadAt", "FileSource", "MmapSource", "BytesSource", "CachedSource", "BlockCache", "CacheStats",
    "DataType", "TypeId", "Field", "Schema", "bool_", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32", "float64", "decimal",
    "string", "binary", "json", "timestamp", "date", "time", "duration", "list_", "vector", "struct",
    "infer_type", "encodings_for",
    "Builder", "Cursor", "crc32c",
    "FormatError", "CorruptFileError", "UnsupportedVersionError", "InvalidDataError", "SchemaError",
    "MissingPackageError",
]  # fmt: skip

_HOMES = {
    "lance_fmt.anatomy": "Anatomy Part dissect",
    "lance_fmt.cache": "BlockCache CacheStats",
    "lance_fmt.checksum": "crc32c",
    "lance_fmt.column": "Column",
    "lance_fmt.computed": "ComputedColumn",
    "lance_fmt.constants": "TypeId",
    "lance_fmt.damage": "Damage",
    "lance_fmt.errors": "CorruptFileError FormatError InvalidDataError SchemaError UnsupportedVersionError",
    "lance_fmt.filter": "Expression field",
    "lance_fmt.inference": "infer_type",
    "lance_fmt.info": "ColumnInfo PageInfo",
    "lance_fmt.optional": "MissingPackageError",
    "lance_fmt.reader": "File open",
    "lance_fmt.rescue": "SalvageReport salvage",
    "lance_fmt.schema": "DataType Field Schema bfloat16 binary bool_ date decimal duration float16 float32 float64 "
    "int8 int16 int32 int64 json list_ string struct time timestamp uint8 uint16 uint32 uint64 vector",
    "lance_fmt.cached_source": "CachedSource",
    "lance_fmt.source": "BytesSource FileSource MmapSource ReadAt",
    "lance_fmt.survey": "ColumnSurvey Region Survey examine",
    "lance_fmt.table": "Table",
    "lance_fmt.wire": "Builder Cursor",
    "lance_fmt.writer": "Writer WriteSummary encodings_for write",
}
__getattr__, __dir__ = exports(__name__, __all__, _HOMES)
