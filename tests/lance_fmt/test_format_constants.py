"""Numbers of the format: frozen, and the same in the specification as in the code."""

from __future__ import annotations

import re
from pathlib import Path

from lance_fmt import constants
from lance_fmt.column_meta import HANDLE
from lance_fmt.constants import EncodingId, PageFlag, TimeUnit, TypeId
from lance_fmt.v1 import ENCODINGS
from lance_fmt.footer import COLUMN_RECORD, Footer, header_bytes, name_hash

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
        "TIMESTAMP": 16, "LIST": 17, "VECTOR": 18,
    }  # fmt: skip
    assert {e.name: int(e) for e in EncodingId} == {"PLAIN": 1, "BITPACKED": 2, "DICTIONARY": 3, "ZSTD": 4}
    assert {u.name: int(u) for u in TimeUnit} == {"S": 1, "MS": 2, "US": 3, "NS": 4}
    assert {f.name: int(f) for f in PageFlag} == {"HAS_BOUNDS": 1, "MIN_EXACT": 2, "MAX_EXACT": 4}
    assert (name_hash(""), name_hash("vector")) == (0xB4B2797457A0A6E4, 0xE5154E9C5CDB3726)


def test_structures_have_their_sizes() -> None:
    assert HANDLE.itemsize == constants.PAGE_HANDLE_SIZE
    assert COLUMN_RECORD.itemsize == constants.COLUMN_RECORD_SIZE
    assert len(header_bytes()) == constants.HEADER_SIZE
    assert len(Footer(0, 0, 0, 0, 0, 0, 0, 0, 0).to_bytes()) == constants.FOOTER_SIZE


def test_the_registry_is_complete() -> None:
    assert set(ENCODINGS) == set(EncodingId)
    assert all(key == encoding.id for key, encoding in ENCODINGS.items())


def test_the_specification_has_the_constants_of_the_code() -> None:
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \| [^|]+\|$", SPECIFICATION, re.M))
    assert len(table) > 15
    assert {name: int(value) for name, value in table.items()} == {
        name: getattr(constants, name) for name in table
    }


def test_the_specification_has_the_ids_of_the_code() -> None:
    start = SPECIFICATION.index("| Types | Id |")
    listed = re.findall(
        r"`([A-Z0-9_]+)` \| (\d+)", SPECIFICATION[start : SPECIFICATION.index("Ids are never")]
    )
    known = [(i.name, str(int(i))) for kind in (TypeId, EncodingId, TimeUnit, PageFlag) for i in kind]
    assert sorted(listed) == sorted(known)


def test_the_specification_has_every_limit() -> None:
    limits = [
        name for name in vars(constants) if name.startswith("MAX_") or name.endswith(("_SIZE", "_ALIGNMENT"))
    ]
    assert [name for name in limits if f"`{name}`" not in SPECIFICATION] == []
