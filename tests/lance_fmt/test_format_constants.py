"""Numbers of the format: frozen, and the same in the specification as in the code."""

from __future__ import annotations

import re
from pathlib import Path

from lance_fmt import bloom, constants, row_index
from lance_fmt.column_meta import HANDLE
from lance_fmt.constants import (
    AuxiliaryId,
    BoundsForm,
    EncodingId,
    Feature,
    PageFlag,
    StreamId,
    TimeUnit,
    TypeId,
)
from lance_fmt.encodings import ENCODINGS as STREAM_ENCODINGS
from lance_fmt.encodings import snappy
from lance_fmt.footer import COLUMN_RECORD, Footer, header_bytes, name_hash
from lance_fmt.v1 import ENCODINGS

SPECIFICATION = Path(constants.__file__).with_name("FORMAT.md").read_text("utf-8")


def test_forever_constants() -> None:
    """These literals are on people's disks. If this test fails, the change is wrong, not the test."""
    assert constants.MAGIC == b"LFMT"
    assert (constants.HEADER_SIZE, constants.FOOTER_SIZE, constants.PAGE_ALIGNMENT) == (64, 64, 64)
    assert (constants.COLUMN_RECORD_SIZE, constants.PAGE_HANDLE_SIZE, constants.COLUMN_HEADER_SIZE) == (
        40,
        64,
        24,
    )
    assert (constants.LANES, constants.BITMAP_ALIGNMENT, constants.INTEGERS_HEADER_SIZE) == (16, 8, 16)
    assert (constants.PAGE_INDEX_HEADER_SIZE, constants.ZSTD_HEADER_SIZE, constants.STATISTIC_BYTES) == (
        8,
        8,
        64,
    )
    assert (constants.MAX_PAGE_SHIFT, constants.MAX_DIMENSION, constants.MAX_BLOCK_BYTES) == (
        20,
        2**20,
        2**28,
    )
    assert (constants.MAX_BLOCK_ITEMS, constants.MAX_DICTIONARY_VALUES) == (2**24, 2**16)
    assert constants.MAX_ZSTD_RATIO == 2**16
    assert {t.name: int(t) for t in TypeId} == {
        "BOOL": 1, "INT8": 2, "INT16": 3, "INT32": 4, "INT64": 5, "UINT8": 6, "UINT16": 7, "UINT32": 8,
        "UINT64": 9, "FLOAT16": 10, "FLOAT32": 11, "FLOAT64": 12, "STRING": 13, "BINARY": 14, "JSON": 15,
        "TIMESTAMP": 16, "LIST": 17, "VECTOR": 18, "BFLOAT16": 19, "DECIMAL": 20, "DATE": 21, "TIME": 22,
        "DURATION": 23, "STRUCT": 24, "NESTED_LIST": 25,
    }  # fmt: skip
    assert {e.name: int(e) for e in EncodingId} == {
        "PLAIN": 1, "BITPACKED": 2, "DICTIONARY": 3, "ZSTD": 4, "STREAMS": 5,
    }  # fmt: skip
    assert {s.name: int(s) for s in StreamId} == {
        "PLAIN": 1, "CONSTANT": 2, "BITPACKED": 3, "FRAME_OF_REFERENCE": 4, "DELTA": 5, "VARINT": 6,
        "RUN_LENGTH": 7, "DICTIONARY": 8, "BYTE_STREAM_SPLIT": 9, "ALP": 10, "FSST": 11, "SNAPPY": 12, "ZSTD": 13,
    }  # fmt: skip
    assert {f.name: int(f) for f in BoundsForm} == {
        "NONE": 0, "SIGNED": 1, "UNSIGNED": 2, "FLOAT": 3, "PREFIX": 4,
    }  # fmt: skip
    assert {a.name: int(a) for a in AuxiliaryId} == {"ROW_INDEX": 1, "BLOOM": 2}
    assert {f.name: int(f) for f in Feature} == {"STREAMS": 1, "TYPES_1_1": 2, "AUXILIARY": 4}
    assert {u.name: int(u) for u in TimeUnit} == {"S": 1, "MS": 2, "US": 3, "NS": 4}
    assert {f.name: int(f) for f in PageFlag} == {"HAS_BOUNDS": 1, "MIN_EXACT": 2, "MAX_EXACT": 4}
    assert (name_hash(""), name_hash("vector")) == (0xB4B2797457A0A6E4, 0xE5154E9C5CDB3726)


def test_forever_constants_since_1_1() -> None:
    """As above: never to change."""
    assert (constants.STREAM_HEADER_SIZE, constants.STREAM_ALIGNMENT, constants.MAX_STREAM_DEPTH) == (8, 8, 8)
    assert (constants.MAX_NESTING, constants.MAX_DECIMAL_DIGITS, constants.MAX_SHARED_SLOTS) == (8, 38, 2**10)
    assert (row_index.HEADER_SIZE, row_index.PARTITION_RECORD_SIZE) == (16, 8)
    assert (row_index.MAX_PARTITION_BITS, row_index.MAX_BUCKET_BITS, row_index.MARK_BITS) == (24, 16, 16)
    assert (bloom.BLOCK_SIZE, snappy.MAX_RATIO) == (32, 22)
    assert bloom.SALTS == (
        0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31,
    )  # fmt: skip


def test_structures_have_their_sizes() -> None:
    assert HANDLE.itemsize == constants.PAGE_HANDLE_SIZE
    assert COLUMN_RECORD.itemsize == constants.COLUMN_RECORD_SIZE
    assert len(header_bytes()) == constants.HEADER_SIZE
    assert len(Footer(0, 0, 0, 0, 0, 0, 0, 0, 0).to_bytes()) == constants.FOOTER_SIZE


def test_the_registry_is_complete() -> None:
    assert set(ENCODINGS) == set(EncodingId) - {EncodingId.STREAMS}
    assert list(STREAM_ENCODINGS) == list(StreamId)
    for encodings in (ENCODINGS, STREAM_ENCODINGS):
        assert all(key == encoding.id for key, encoding in encodings.items())
        assert all(encoding.name == encoding.id.name.lower() for encoding in encodings.values())


# Constants that live beside the code that uses them.
ELSEWHERE = {
    "MAX_SNAPPY_RATIO": snappy.MAX_RATIO,
    "ROW_INDEX_HEADER_SIZE": row_index.HEADER_SIZE,
    "ROW_INDEX_RECORD_SIZE": row_index.PARTITION_RECORD_SIZE,
    "MAX_PARTITION_BITS": row_index.MAX_PARTITION_BITS,
    "MAX_BUCKET_BITS": row_index.MAX_BUCKET_BITS,
    "MARK_BITS": row_index.MARK_BITS,
    "BLOOM_BLOCK_SIZE": bloom.BLOCK_SIZE,
}


def test_the_specification_has_the_constants_of_the_code() -> None:
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \| [^|]+\|$", SPECIFICATION, re.M))
    assert len(table) > 30
    assert set(ELSEWHERE) <= set(table)
    assert {name: int(value) for name, value in table.items()} == {
        name: ELSEWHERE[name] if name in ELSEWHERE else getattr(constants, name) for name in table
    }


def test_the_specification_has_the_ids_of_the_code() -> None:
    start = SPECIFICATION.index("| Types | Id |")
    tables = SPECIFICATION[start : SPECIFICATION.index("Ids are never")].split("\n\n")
    columns: dict[str, list[tuple[str, str]]] = {}
    for table in tables[:2]:
        heads, _, *rows = [[c.strip() for c in line.split("|")[1:-1]] for line in table.strip().splitlines()]
        for place in range(0, len(heads), 3):
            found = [(row[place].strip("`"), row[place + 1]) for row in rows if row[place]]
            columns.setdefault(heads[place], []).extend(found)
    known = {
        "Types": TypeId,
        "Stream encodings": StreamId,
        "Page encodings": EncodingId,
        "Time units": TimeUnit,
        "Page flags": PageFlag,
        "Block bounds": BoundsForm,
        "Auxiliary regions": AuxiliaryId,
    }
    assert columns == {what: [(i.name, str(int(i))) for i in ids] for what, ids in known.items()}


def test_the_specification_has_the_feature_flags_of_the_code() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (\d+) \| [^|]+ \| (1\.\d) \|$", SPECIFICATION, re.M)
    assert rows == [(f.name, str(int(f)), "1.1") for f in Feature]
    assert sum(Feature) == constants.KNOWN_FEATURES


def test_every_stream_encoding_has_a_section_with_its_id() -> None:
    body = SPECIFICATION[SPECIFICATION.index("## Streams") : SPECIFICATION.index("## Auxiliary regions")]
    assert [int(number) for number in re.findall(r"^### .* \((\d+)\)$", body, re.M)] == [
        int(s) for s in StreamId
    ]


def test_the_specification_has_every_limit() -> None:
    limits = [
        name
        for name in vars(constants)
        if name.startswith("MAX_") or name.endswith(("_SIZE", "_ALIGNMENT", "_DEPTH"))
    ]
    assert len(limits) > 20
    assert [name for name in limits if f"`{name}`" not in SPECIFICATION] == []
