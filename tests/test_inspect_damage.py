"""`vego inspect` of damaged files: what can be read is shown, what is damaged is named, and nothing else happens."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column
from tests.support.checksums import repair
from vego.cli import main

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.lfmt"))
VIEWS = (
    [],
    ["tree", "pages", "map", "--why", "--stats", "--all"],
    ["--json"],
    ["--verify"],
    ["head", "3"],
    ["page", "NAME:0", "--hex"],
    ["page", "NAME:0", "--json"],
)
ROWS = 5000


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Three columns, the second in several pages."""
    path = tmp_path / "sample.lfmt"
    columns = {
        "first": np.arange(ROWS),
        "second": np.random.default_rng(1).standard_normal((ROWS, 1024)).astype(np.float32),
        "third": Column.from_pylist([f"text {i % 50}" for i in range(ROWS)], lance_fmt.string()),
    }
    lance_fmt.write(path, columns, metadata={"made by": "a test"})
    return path


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def shown(path: Path, *options: str, capsys, status: int) -> str:
    assert main(["inspect", str(path), *options]) == status
    return capsys.readouterr().out


def report_of(path: Path, capsys) -> dict:
    return json.loads(shown(path, "--json", capsys=capsys, status=1))


def test_a_damaged_header_hides_nothing(sample, capsys):
    flip(sample, 20)
    text = shown(sample, capsys=capsys, status=1)
    assert "DAMAGED: 1 place" in text
    assert "byte 0: header: header does not match its checksum" in text
    assert "first " in text
    assert "sections: 100% of" in text


@pytest.mark.parametrize("place", ["rows", "length", "crc"])
def test_a_damaged_footer_is_followed_where_it_leads_somewhere(place, sample, capsys):
    size = sample.stat().st_size
    flip(sample, size - 64 + {"rows": 8, "length": 0, "crc": 57}[place])
    report = report_of(sample, capsys)
    assert [column["name"] for column in report["columns"]] == ["first", "second", "third"]
    assert [(place["offset"], place["what"]) for place in report["damage"]] == [
        (size - 64, "footer: footer does not match its checksum")
    ]
    assert sum(section["bytes"] for section in report["sections"]) == size


def test_without_its_end_a_file_keeps_its_header_only(sample, capsys):
    data = sample.read_bytes()
    sample.write_bytes(data[: len(data) // 2])
    report = report_of(sample, capsys)
    assert report["columns"] == []
    assert [section["what"] for section in report["sections"]] == ["header", "damage hides what this is"]
    assert sum(section["bytes"] for section in report["sections"]) == len(data) // 2
    assert "does not end with" in report["damage"][0]["what"]


def test_a_damaged_record_costs_its_column_only(sample, capsys):
    with lance_fmt.open(sample) as file:
        table = file.footer.table_offset
        record = file._find("second")[1]
    flip(sample, table + 40 * record + 9)  # offset of the metadata
    report = report_of(sample, capsys)
    damaged = {column["name"]: column["damage"] for column in report["columns"]}
    assert damaged.pop("second")
    assert damaged == {"first": "", "third": ""}
    assert any(section["kind"] == "lost" for section in report["sections"])
    text = shown(sample, capsys=capsys, status=1)
    assert "column offset table does not match its checksum" in text
    assert "column 'second'" in text


def test_a_damaged_name_costs_its_column_only(sample, capsys):
    with lance_fmt.open(sample) as file:
        schema = file.footer.schema_offset
    data = bytearray(sample.read_bytes())
    data[schema + 4] = 0xFF  # no UTF-8
    sample.write_bytes(data)
    columns = report_of(sample, capsys)["columns"]
    assert [column["name"] for column in columns] == ["column 0", "second", "third"]
    assert [bool(column["damage"]) for column in columns] == [True, False, False]


def test_damaged_key_values_hide_nothing_else(sample, capsys):
    with lance_fmt.open(sample) as file:
        offset = file.footer.metadata_offset
    flip(sample, offset)
    report = report_of(sample, capsys)
    assert report["metadata"] == {}
    assert len(report["columns"]) == 3
    assert not any(column["damage"] for column in report["columns"])


def test_damaged_metadata_costs_its_column_only(sample, capsys):
    with lance_fmt.open(sample) as file:
        offset = file.column("first").metadata_offset
    flip(sample, offset + 30)
    columns = {column["name"]: column for column in report_of(sample, capsys)["columns"]}
    assert columns["first"]["damage"] == "its metadata does not match its checksum"
    assert columns["first"]["pages"] == []
    assert columns["third"]["pages"]
    assert main(["inspect", str(sample), "page", "first:0"]) == 2
    assert "its metadata does not match" in capsys.readouterr().err


def test_a_damaged_page_index_costs_its_page_only(sample, capsys):
    with lance_fmt.open(sample) as file:
        page = file.column("second").pages[1]
    flip(sample, page.index_offset)
    report = report_of(sample, capsys)
    (place,) = report["damage"]
    assert (place["column"], place["page"], place["offset"]) == ("second", 1, page.index_offset)
    assert (place["first_row"], place["rows"]) == (page.first_row, page.rows)
    encodings = [found["encoding"] for found in report["columns"][1]["pages"]]
    assert encodings[1] == "?"
    assert "?" not in (encodings[0], *encodings[2:])
    text = shown(sample, "page", "second:1", capsys=capsys, status=1)
    assert "DAMAGED: the page index does not match its checksum" in text
    assert "WRONG" in text


def test_damage_inside_values_is_found_by_verify_and_by_page(sample, capsys):
    with lance_fmt.open(sample) as file:
        page = file.column("second").pages[1]
    flip(sample, page.blocks[2][0] + 100)
    assert main(["inspect", str(sample)]) == 0
    capsys.readouterr()
    text = shown(sample, "--verify", capsys=capsys, status=1)
    assert "column 'second', page 1, block 2" in text
    assert "every byte was read" not in text
    text = shown(sample, "page", "second:1", capsys=capsys, status=1)
    assert "DAMAGED: block 2 (rows" in text


def test_what_several_checks_find_is_told_once(sample, capsys):
    with lance_fmt.open(sample) as file:
        flip(sample, file.column("first").metadata_offset)
        flip(sample, file.column("second").pages[1].index_offset)
        flip(sample, file.column("third").pages[0].offset)
    text = shown(sample, "--verify", capsys=capsys, status=1)
    assert "DAMAGED: 3 places" in text
    assert text.count("column 'first'") == 1
    assert text.count("page 1, rows") == 1


def test_head_shows_nulls_where_values_are_lost(sample, capsys):
    with lance_fmt.open(sample) as file:
        page = file.column("third").pages[0]
    flip(sample, page.offset)
    rows = shown(
        sample, "head", "2", "--column", "first", "--column", "third", "--json", capsys=capsys, status=1
    )
    assert json.loads(rows) == [{"first": 0, "third": None}, {"first": 1, "third": None}]
    text = shown(sample, "head", "2", "--column", "third", capsys=capsys, status=1)
    assert "DAMAGED: column 'third', page 0, block 0" in text


def test_an_empty_file_and_another_are_no_files_of_ours(tmp_path, capsys):
    empty = tmp_path / "empty.lfmt"
    empty.write_bytes(b"")
    assert main(["inspect", str(empty)]) == 2
    assert "the file is empty" in capsys.readouterr().err
    text = tmp_path / "text.lfmt"
    text.write_bytes(b"not such a file at all" * 20)
    assert main(["inspect", str(text)]) == 2
    assert "neither begins nor ends with" in capsys.readouterr().err


def test_a_newer_file_is_refused_by_what_it_needs(sample, capsys):
    data = bytearray(sample.read_bytes())
    data[-16] = 0x80  # a feature flag
    sample.write_bytes(repair(bytes(data)))
    assert main(["inspect", str(sample)]) == 2
    assert "use a newer release" in capsys.readouterr().err


@pytest.mark.parametrize("repaired", [False, True], ids=["as it is", "repaired"])
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_flips_end_in_a_report_or_an_error_of_ours(golden, repaired, tmp_path, capsys):
    """What contradicts itself is named; with checksums made right, a file may say anything and must not break us."""
    data = golden.read_bytes()
    rng = random.Random(golden.name)
    with lance_fmt.open(data) as file:
        tail, names = file.footer.table_offset, file.schema.names
    path = tmp_path / "damaged.lfmt"
    for place in [rng.randrange(len(data)) for _ in range(4)] + [
        rng.randrange(tail, len(data)) for _ in range(3)
    ]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(repair(bytes(damaged)) if repaired else bytes(damaged))
        name = rng.choice(names)
        for options in VIEWS:
            status = main(["inspect", str(path), *(option.replace("NAME", name) for option in options)])
            found = capsys.readouterr()
            assert status in (0, 1, 2), (place, options)
            assert (status == 2) == bool(found.err), (place, options)
            if options == ["--verify"] and not repaired:
                assert status, f"the flipped bit in byte {place} was not noticed"


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_what_is_left_of_a_cut_file_is_told(golden, tmp_path, capsys):
    data = golden.read_bytes()
    path = tmp_path / "cut.lfmt"
    for length in (4, 63, 64, 200, len(data) - 65, len(data) - 1):
        path.write_bytes(data[:length])
        for options in VIEWS[:4]:
            assert main(["inspect", str(path), *options]) == 1, (length, options)
            assert "footer: " in capsys.readouterr().out
