"""Every number of the format that a writer and a reader must agree on.

`FORMAT.md` repeats these in its table of constants; a test compares the two. Ids are never renumbered and
never used again for something else.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

MAGIC = b"LFMT"
VERSION_MAJOR = 1
VERSION_MINOR = 1
KNOWN_FEATURES = 7

HEADER_SIZE = 64
FOOTER_SIZE = 64
COLUMN_RECORD_SIZE = 40
PAGE_HANDLE_SIZE = 64
COLUMN_HEADER_SIZE = 24
PAGE_INDEX_HEADER_SIZE = 8
PAGE_ALIGNMENT = 64
BITMAP_ALIGNMENT = 8
INTEGERS_HEADER_SIZE = 16
ZSTD_HEADER_SIZE = 8
LANES = 16
STREAM_HEADER_SIZE = 8
STREAM_ALIGNMENT = 8
MAX_STREAM_DEPTH = 8
STATISTIC_BYTES = 64

MAX_PAGE_SHIFT = 20
MAX_DIMENSION = 1 << 20
MAX_NESTING = 8
MAX_DECIMAL_DIGITS = 38
MAX_BLOCK_BYTES = 1 << 28
MAX_BLOCK_ITEMS = 1 << 24
MAX_DICTIONARY_VALUES = 1 << 16
MAX_SHARED_SLOTS = 1 << 10
MAX_ZSTD_RATIO = 1 << 16

TAIL_READ = 64 * 1024
TARGET_BLOCK_BYTES = 128 * 1024
TARGET_STRING_BLOCK_BYTES = 256 * 1024
TARGET_VECTOR_BLOCK_BYTES = 32 * 1024
TARGET_PAGE_BYTES = 1024 * 1024
TARGET_VECTOR_PAGE_BYTES = 4 * 1024 * 1024
LARGEST_BLOCK_SHIFT = 16
LARGEST_PAGE_SHIFT = 17


class TypeId(IntEnum):
    """Wire ids of the logical types."""

    BOOL = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    UINT8 = 6
    UINT16 = 7
    UINT32 = 8
    UINT64 = 9
    FLOAT16 = 10
    FLOAT32 = 11
    FLOAT64 = 12
    STRING = 13
    BINARY = 14
    JSON = 15
    TIMESTAMP = 16
    LIST = 17
    VECTOR = 18
    BFLOAT16 = 19
    DECIMAL = 20
    DATE = 21
    TIME = 22
    DURATION = 23
    STRUCT = 24
    NESTED_LIST = 25


class TimeUnit(IntEnum):
    """Wire ids of the units of times."""

    S = 1
    MS = 2
    US = 3
    NS = 4


class EncodingId(IntEnum):
    """Wire ids of the encodings of a page."""

    PLAIN = 1
    BITPACKED = 2
    DICTIONARY = 3
    ZSTD = 4
    STREAMS = 5


class StreamId(IntEnum):
    """Wire ids of the encodings of a stream, since 1.1."""

    PLAIN = 1
    CONSTANT = 2
    BITPACKED = 3
    FRAME_OF_REFERENCE = 4
    DELTA = 5
    VARINT = 6
    RUN_LENGTH = 7
    DICTIONARY = 8
    BYTE_STREAM_SPLIT = 9
    ALP = 10
    FSST = 11
    SNAPPY = 12
    ZSTD = 13


class BoundsForm(IntEnum):
    """How a page index keeps the bounds of its blocks, since 1.1."""

    NONE = 0
    SIGNED = 1
    UNSIGNED = 2
    FLOAT = 3
    PREFIX = 4


class AuxiliaryId(IntEnum):
    """Wire ids of a column's auxiliary regions, since 1.1; a reader passes over those it does not know."""

    ROW_INDEX = 1
    BLOOM = 2


class Feature(IntFlag):
    """Feature flags of a file: what a reader must know to read it; the names are written into the file too."""

    STREAMS = 1
    TYPES_1_1 = 2
    AUXILIARY = 4


class PageFlag(IntFlag):
    """Flags of a page handle."""

    HAS_BOUNDS = 1
    MIN_EXACT = 2
    MAX_EXACT = 4
