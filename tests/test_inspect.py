"""`vego inspect`: what it says is what is in the file, and damage is named, not shown as data."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
import vego
from lance_fmt import Column
from vego.cli import main
from vego_tools import terminal
from vego_tools.inspector import inspect

ROWS = 300


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A file with columns of several types and encodings."""
    path = tmp_path / "sample.lfmt"
    rng = np.random.default_rng(3)
    integers = [None if row % 10 == 0 else row for row in range(ROWS)]
    colors = [("red", "green", "blue")[row % 3] for row in range(ROWS)]
    weights = [float("nan") if row == 5 else row / 7 for row in range(ROWS)]
    times = [datetime(2024, 1, 1 + row % 9, tzinfo=UTC) for row in range(ROWS)]
    columns = {
        "number": Column.from_pylist(integers, lance_fmt.int64()),
        "color": Column.from_pylist(colors, lance_fmt.string()),
        "weight": Column.from_pylist(weights, lance_fmt.float64()),
        "when": Column.from_pylist(times, lance_fmt.timestamp("us", "UTC")),
        "raw": Column.from_pylist([bytes([255, row % 256]) for row in range(ROWS)], lance_fmt.binary()),
        "vector": Column.from_numpy(rng.standard_normal((ROWS, 16)).astype(np.float32)),
        "empty": Column.from_pylist([None] * ROWS, lance_fmt.int32()),
    }
    lance_fmt.write(path, columns, metadata={"made by": "a test"})
    return path


def report_of(path: Path, *options: str, capsys) -> dict:
    assert main(["inspect", str(path), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_sections_account_for_every_byte_once(sample, capsys):
    report = report_of(sample, capsys=capsys)
    position = 0
    for section in report["sections"]:
        assert section["offset"] == position
        position += section["bytes"]
    assert position == report["bytes"] == sample.stat().st_size
    names = [section["what"] for section in report["sections"]]
    assert names[0] == "header"
    assert names[-1] == "footer"
    assert "not used by anything" not in names
    assert sum(section["share"] for section in report["sections"]) == pytest.approx(1, abs=1e-4)


def test_columns_of_the_report_are_those_of_the_file(sample, capsys):
    columns = {column["name"]: column for column in report_of(sample, capsys=capsys)["columns"]}
    assert list(columns) == ["number", "color", "weight", "when", "raw", "vector", "empty"]
    number = columns["number"]
    assert (number["type"], number["nulls"], number["minimum"], number["maximum"]) == (
        "int64",
        ROWS // 10,
        1,
        ROWS - 1,
    )
    assert number["raw_bytes"] == 8 * ROWS
    assert number["ratio"] == round(8 * ROWS / number["bytes"], 3)
    assert (columns["color"]["minimum"], columns["color"]["maximum"]) == ("blue", "red")
    assert columns["weight"]["nans"] == 1
    assert columns["when"]["minimum"] == "2024-01-01T00:00:00.000000 UTC"
    assert columns["raw"]["minimum"] == "ff00"
    assert columns["vector"]["type"] == "vector<float32, 16>"
    assert columns["vector"]["minimum"] is None
    assert columns["empty"]["minimum"] is None
    assert columns["empty"]["nulls"] == ROWS
    for column in columns.values():
        assert sum(page["rows"] for page in column["pages"]) == ROWS
        assert column["why"]


def test_verify_adds_the_size_of_text(sample, capsys):
    plain = {column["name"]: column for column in report_of(sample, capsys=capsys)["columns"]}
    assert plain["color"]["raw_bytes"] is None
    report = report_of(sample, "--verify", capsys=capsys)
    verified = {column["name"]: column for column in report["columns"]}
    assert report["verified"]
    assert verified["color"]["raw_bytes"] >= sum(
        len(("red", "green", "blue")[row % 3]) for row in range(ROWS)
    )
    assert verified["number"]["nulls"] == plain["number"]["nulls"]


def test_page_index_checksums_are_those_of_the_bytes(sample, capsys):
    data = sample.read_bytes()
    for column in report_of(sample, capsys=capsys)["columns"]:
        for page in column["pages"]:
            start = page["index_offset"]
            found = lance_fmt.crc32c(data[start : start + page["index_bytes"]])
            assert page["index_crc32c"] == f"{found:08x}"


def test_text_for_people(sample, capsys):
    assert main(["inspect", str(sample), "--pages"]) == 0
    text = capsys.readouterr().out
    assert f"{ROWS} rows, 7 columns" in text
    assert "made by: a test" in text
    assert "why page 0" in text
    assert "sections: 100% of" in text
    lines = [line for line in text.splitlines() if str(sample) not in line]
    assert max(map(terminal.display_width, lines)) <= terminal.WIDTH


def test_one_column(sample, capsys):
    assert [c["name"] for c in report_of(sample, "--column", "color", capsys=capsys)["columns"]] == ["color"]
    assert main(["inspect", str(sample), "--column", "colour"]) == 2
    assert "no column 'colour'" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["start", "footer", "schema", "truncated", "empty"])
def test_damage_is_named_with_path_and_offset(place, sample, capsys):
    with lance_fmt.open(sample) as file:
        footer = file.footer
    data = bytearray(sample.read_bytes())
    offset = {"start": 1, "footer": len(data) - 20, "schema": footer.schema_offset + 2}.get(place)
    if offset is not None:
        data[offset] ^= 1
    kept = {"truncated": len(data) - 7, "empty": 0}.get(place, len(data))
    sample.write_bytes(data[:kept])
    assert main(["inspect", str(sample)]) == 2
    shown = capsys.readouterr()
    assert f"{sample}: damaged at byte " in shown.err
    assert not shown.out


def test_damage_inside_values_is_found_by_verify(sample, capsys):
    page = report_of(sample, "--column", "vector", capsys=capsys)["columns"][0]["pages"][0]
    data = bytearray(sample.read_bytes())
    data[page["offset"] + 100] ^= 1
    sample.write_bytes(data)
    assert main(["inspect", str(sample)]) == 0
    capsys.readouterr()
    assert main(["inspect", str(sample), "--verify"]) == 2
    assert f"damaged at byte {page['offset']}" in capsys.readouterr().err


def test_every_flipped_bit_ends_in_a_report_or_an_error_of_ours(sample):
    data = sample.read_bytes()
    with lance_fmt.open(sample) as file:
        tail = file.footer.table_offset
    positions = [*range(0, 64, 5), *range(64, tail, tail // 40), *range(tail, len(data), 3)]
    for position in positions:
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        sample.write_bytes(damaged)
        try:
            inspect(sample, verify=True)
        except lance_fmt.FormatError:
            continue
        pytest.fail(f"the flipped bit in byte {position} was not noticed")


def test_control_characters_in_a_file_are_shown_as_escapes(tmp_path, capsys):
    path = tmp_path / "hostile.lfmt"
    nasty = "\x1b]0;title\x07\r\n"
    lance_fmt.write(path, {f"a{nasty}": [f"{nasty}x", "y"]}, metadata={nasty: nasty})
    assert main(["inspect", str(path), "--pages"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\r" not in text
    assert "\\x1b]0;title" in text


def test_a_file_of_no_columns_and_one_of_no_rows(tmp_path, capsys):
    lance_fmt.write(tmp_path / "none.lfmt", {})
    lance_fmt.write(tmp_path / "empty.lfmt", {"a": Column.from_pylist([], lance_fmt.int64())})
    for name in ("none.lfmt", "empty.lfmt"):
        assert main(["inspect", str(tmp_path / name), "--pages"]) == 0
        assert "sections: 100% of" in capsys.readouterr().out


def test_something_else_is_named_as_what_it_is_not(tmp_path, capsys):
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG....")
    assert main(["inspect", str(path)]) == 2
    assert "not a file of Vego" in capsys.readouterr().err


def test_the_other_files_of_a_database(tmp_path, capsys):
    with vego.open(tmp_path / "db", dimension=4) as database:
        notes = database.collection("notes")
        notes.insert_batch(ids=["a", "b", "c"], vectors=np.eye(3, 4))
        notes.flush()
        notes.delete("a")
        notes.flush()
        notes.insert(id="d", vector=[1, 1, 1, 1])
        notes.delete("b")
    root = tmp_path / "db"
    place = root / "collections/notes"
    manifest = report_of(sorted((place / "manifests").iterdir())[-1], capsys=capsys)
    assert manifest["kind"] == "manifest"
    assert len(manifest["segments"]) == 1
    log = report_of(sorted((place / "wal").glob("*.wal"))[-1], capsys=capsys)
    assert (log["kind"], log["puts"], log["deletes"], log["sealed"]) == ("write-ahead log", 1, 1, True)
    assert report_of(root / "VEGO", capsys=capsys)["kind"] == "database marker"
    deletes = report_of(next((place / "deletes").iterdir()), capsys=capsys)
    assert (deletes["kind"], deletes["rows"]) == ("columns", 1)
    for path in [root / "VEGO", *place.rglob("*.manifest"), *place.rglob("*.wal"), *place.rglob("*.lfmt")]:
        assert main(["inspect", str(path)]) == 0
        assert f"{path.stat().st_size:,} bytes" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["manifests", "wal"])
def test_damage_in_the_other_files_is_named(kind, tmp_path, capsys):
    with vego.open(tmp_path / "db", dimension=4) as database:
        database.collection("notes").insert(id="a", vector=[1, 2, 3, 4])
    path = sorted((tmp_path / "db/collections/notes" / kind).iterdir())[-1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert main(["inspect", str(path)]) == 2
    assert "damaged at byte" in capsys.readouterr().err
