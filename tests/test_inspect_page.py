"""`vego inspect FILE page`: every byte of a page is named once, and what is said of it is what lies there."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Anatomy, Column
from vego.cli import main

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.lfmt"))


def check_cover(anatomy: Anatomy, data: bytes) -> int:
    """Leaves follow each other without gap or overlap, within what they are inside of; how many there are."""
    count = 0
    for name, parts in anatomy.sections.items():
        offset, raw = anatomy.data[name]
        assert bytes(raw) == data[offset : offset + len(raw)]
        position = offset
        ends = [offset + len(raw)]
        for part in parts:
            del ends[part.depth + 1 :]
            assert part.offset == position
            assert part.offset + part.length <= ends[-1]
            if part.inside:
                ends.append(part.offset + part.length)
                continue
            assert part.length > 0
            position += part.length
            count += 1
        assert position == offset + len(raw)
    return count


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_byte_of_every_page_is_understood(path):
    """The golden files have every encoding, every type, nulls on every level, and both kinds of page."""
    data = path.read_bytes()
    with lance_fmt.examine(path) as survey:
        for position in range(survey.num_columns):
            for page in range(len(survey.column(position).pages)):
                anatomy = lance_fmt.dissect(survey, position, page)
                assert not anatomy.damage
                assert check_cover(anatomy, data) > 12
                for parts in anatomy.sections.values():
                    assert not [part for part in parts if "not understood" in part.name]
                    assert not [part for part in parts if part.value == "named by no stream"]


def page_of(tmp_path: Path, values: object, encoding: str) -> Anatomy:
    path = tmp_path / "one.lfmt"
    lance_fmt.write(path, {"x": values}, encodings={"x": encoding})
    with lance_fmt.examine(path) as survey:
        return lance_fmt.dissect(survey, 0, 0)


def value(anatomy: Anatomy, name: str, section: str = "data") -> str:
    return next(part.value for part in anatomy.sections[section] if part.name == name)


def test_fields_say_what_was_written(tmp_path):
    frame = page_of(tmp_path, np.arange(1000) % 50 - 20, "frame_of_reference")
    assert value(frame, "base") == "-20"
    assert value(frame, "width in bits") == "6"
    assert value(frame, "lower bound", "handle") == "-20"
    assert value(frame, "upper bound of block 0", "index") == "29"
    delta = page_of(tmp_path, 7 + 3 * np.arange(1000), "delta")
    assert (value(delta, "first value"), value(delta, "smallest difference")) == ("7", "3")
    alp = page_of(tmp_path, np.round(np.arange(1000) / 8, 2), "alp")
    assert int(value(alp, "exceptions").replace(",", "")) >= 0
    text = Column.from_pylist([f"name {i % 300}" for i in range(3000)], lance_fmt.string())
    dictionary = page_of(tmp_path, text, "dictionary")
    assert value(dictionary, "distinct values", "index") == "300"
    assert value(dictionary, "shared slot 0", "index") == "for dictionary of strings"
    assert value(dictionary, "codes").endswith("of uint16")
    assert value(dictionary, "upper bound of block 0", "index") == "'name 99'"
    few = page_of(tmp_path, np.arange(3000) % 200, "dictionary")
    assert value(few, "codes").endswith("of uint8")
    runs = page_of(tmp_path, np.repeat(np.arange(10), 100), "run_length")
    assert value(runs, "runs") == "10"
    same = page_of(tmp_path, np.full(1000, 2.5), "plain")
    assert value(same, "the value") == "2.5"


def test_blocks_and_checksums(tmp_path):
    values = Column.from_pylist([None if i % 3 == 0 else i for i in range(200_000)], lance_fmt.int64())
    anatomy = page_of(tmp_path, values, "plain")
    blocks = [part for part in anatomy.sections["data"] if part.name.startswith("block ")]
    assert len(blocks) > 1
    assert blocks[0].value.startswith("16,384 rows, 5,462 null")
    for number, block in enumerate(blocks[:-1]):
        found = lance_fmt.crc32c(anatomy.raw(block))
        assert value(anatomy, f"CRC32C of block {number}", "index") == f"{found:08x}, right"
    assert sum(part.name == "validity of 16,384 rows" for part in anatomy.sections["data"]) == len(blocks)


def test_names_of_streams_of_nested_types(tmp_path):
    kind = lance_fmt.struct({"a": lance_fmt.list_(lance_fmt.int32(), nullable=True), "b": lance_fmt.string()})
    values = Column.from_pylist([{"a": [1, None], "b": "x"}, {"a": None, "b": None}] * 100, kind)
    names = [part.name for part in page_of(tmp_path, values, "plain").sections["data"] if part.depth == 1]
    assert names == [
        "validity of a",
        "lengths of a",
        "validity of a items",
        "values of a items",
        "validity of b",
        "values of b",
    ]


def test_bytes_are_shown_beside_what_they_say(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    lance_fmt.write(path, {"x": np.arange(1000) % 50 - 20}, encodings={"x": "frame_of_reference"})
    assert main(["inspect", str(path), "page", "x:0", "--hex"]) == 0
    text = capsys.readouterr().out
    data = path.read_bytes()
    found = re.findall(r"^  ([0-9a-f]{8})  ((?:[0-9a-f]{2} ?){1,16})", text, re.MULTILINE)
    assert len(found) > 30
    for offset, raw in found:
        expected = bytes.fromhex(raw)
        assert data[int(offset, 16) :][: len(expected)] == expected
    assert re.search(r"^  [0-9a-f]{8}  ec ff( ff){0,6}( 00){0,6}  .*base = -20$", text, re.MULTILINE)
    assert "bytes more" in text
    assert main(["inspect", str(path), "page", "x:0", "--hex", "--all"]) == 0
    assert "bytes more" not in capsys.readouterr().out


def test_a_plain_number_counts_the_pages_of_all_columns(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    big = np.zeros((5000, 1024), np.float32)
    lance_fmt.write(path, {"a": np.arange(5000), "b": big, "c": np.arange(5000), "d": big})
    assert main(["inspect", str(path), "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    places = [(column["name"], page) for column in columns for page in range(len(column["pages"]))]
    assert len(places) > 4
    assert [column["first_page"] for column in columns] == [places.index((name, 0)) for name in "abcd"]
    for number, place in enumerate(places):
        assert main(["inspect", "--json", str(path), "--all", "page", "--hex", str(number)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["column"], found["page"]) == place
    only = [place for place in places if place[0] in "bd"]
    assert main(["inspect", str(path), "page", f"{len(only) - 1}", "--column", "b", "--column", "d"]) == 0
    assert capsys.readouterr().out.startswith(f"page {only[-1][1]} of d: ")


def test_json_has_all_bytes(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    lance_fmt.write(path, {"x:y": [1.5, None, float("nan")]})
    assert main(["inspect", str(path), "page", "x:y:0", "--json", "--hex"]) == 0
    report = json.loads(capsys.readouterr().out)
    data = path.read_bytes()
    for section in report["sections"].values():
        raw = bytes.fromhex("".join(part["hex"] for part in section["parts"] if not part["inside"]))
        assert raw == data[section["offset"] : section["offset"] + section["bytes"]]
    assert report["column"] == "x:y"


def test_a_stream_that_lies_is_named_and_the_rest_is_shown(tmp_path):
    path = tmp_path / "x.lfmt"
    lance_fmt.write(path, {"x": np.arange(30_000, dtype=np.int64)}, encodings={"x": "delta"})
    with lance_fmt.examine(path) as survey:
        whole = lance_fmt.dissect(survey, 0, 0)
    first = whole.sections["data"][0]
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, first.offset + 4, 1 << 30)  # the length of the first stream
    with lance_fmt.examine(bytes(data)) as survey:
        anatomy = lance_fmt.dissect(survey, 0, 0)
    check_cover(anatomy, bytes(data))
    lost = [part for part in anatomy.sections["data"] if part.name.startswith("not understood")]
    assert len(lost) == 1
    assert "block 0 " in anatomy.damage[0]
    assert [part.value for part in anatomy.sections["data"] if part.name == "block 1"] == [
        part.value for part in whole.sections["data"] if part.name == "block 1"
    ]
