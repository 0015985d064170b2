"""`vego inspect`: what it says is what is in the file, and damage is named, not shown as data."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
import vego
from lance_fmt import Column
from tests.support.checksums import repair
from vego.cli import main
from vego.cli.arguments import command_parser
from vego_tools import terminal
from vego_tools.inspector import evidence

ROWS = 300
GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.lfmt"))


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


def report_of(path: Path, *options: str, capsys, status: int = 0) -> dict:
    assert main(["inspect", str(path), "--json", *options]) == status
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
    assert {section["kind"] for section in report["sections"]}.isdisjoint({"unused", "lost"})
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


def test_overview_for_people(sample, capsys):
    assert main(["inspect", str(sample)]) == 0
    text = capsys.readouterr().out
    assert f"{ROWS} rows, 7 columns" in text
    assert "made by: a test" in text
    assert "sections: 100% of" in text
    assert re.search(r"^  number +int64 +\S+ +1 ", text, re.MULTILINE)


def test_views_for_people(sample, capsys):
    assert main(["inspect", str(sample), "tree", "pages", "map", "--why", "--stats"]) == 0
    text = capsys.readouterr().out
    assert text.index("├─ number") < text.index("pages of number") < text.index("from page 0 on")
    assert re.search(r"^  color +string +0 +blue +red$", text, re.MULTILINE)
    assert re.search(r"^  number +int64 +30 +10\.0% +1 +299$", text, re.MULTILINE)
    assert re.search(r"^  weight +float64 +0 +1 +0 ", text, re.MULTILINE)  # one NaN
    assert "DAMAGED" not in text
    lines = [line for line in text.splitlines() if str(sample) not in line]
    assert max(map(terminal.display_width, lines)) <= terminal.WIDTH


def test_what_was_weighed_is_told_with_the_choice_marked(tmp_path, capsys):
    path = tmp_path / "weighed.lfmt"
    lance_fmt.write(path, {"n": np.arange(100_000) % 1000}, encodings={})
    assert main(["inspect", str(path), "--why"]) == 0
    lines = capsys.readouterr().out.splitlines()
    chosen = report_of(path, capsys=capsys)["columns"][0]["encoding"]
    marked = [line for line in lines if "→" in line]
    assert len(marked) == 1
    assert chosen in marked[0]
    assert any("plain" in line and "100%" in line for line in lines)


def test_evidence_of_another_writer_is_shown_as_it_is():
    assert evidence.parse("chosen by hand") is None
    assert list(evidence.lines(["chosen by \x1b[31mhand"], everything=False)) == ["  chosen by \\x1b[31mhand"]
    page, (values, validity) = evidence.parse(
        "page 3: delta(plain); of 80 bytes sampled: plain 88 bytes, 4 us; delta(plain) 24 bytes, 9 us; validity plain"
    )
    assert (page, values.chosen, values.sampled) == (3, "delta(plain)", 80)
    assert values.candidates == [("plain", 88, 4), ("delta(plain)", 24, 9)]
    assert (validity.stream, validity.chosen) == ("validity", "plain")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(400_000), "ascending"),
        (np.arange(400_000)[::-1].copy(), "descending"),
        (np.arange(400_000) % 7, "100% overlap"),
        (np.roll(np.arange(393_216), 131_072), "apart"),
    ],
)
def test_stats_say_how_pages_overlap(values, expected, tmp_path, capsys):
    lance_fmt.write(tmp_path / "x.lfmt", {"n": values})
    assert main(["inspect", str(tmp_path / "x.lfmt"), "--stats"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  n "))
    assert row.endswith(expected)


def test_one_column(sample, capsys):
    assert [c["name"] for c in report_of(sample, "--column", "color", capsys=capsys)["columns"]] == ["color"]
    two = report_of(sample, "--column", "weight", "--column", "color", capsys=capsys)
    assert [c["name"] for c in two["columns"]] == ["weight", "color"]
    assert main(["inspect", str(sample), "--column", "colour"]) == 2
    assert "no column 'colour'" in capsys.readouterr().err


def test_many_columns_are_summed_up(tmp_path, capsys):
    path = tmp_path / "wide.lfmt"
    columns = {f"c{i}": np.arange(10) for i in range(150)}
    lance_fmt.write(path, columns | {"large": np.ones((10, 64), np.float32)})
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "and 91 smaller columns" in text
    assert re.search(r"^ +91 +int64 ", text, re.MULTILINE)
    assert len(text.splitlines()) < 100
    assert "\n  large " in text
    assert main(["inspect", str(path), "--all"]) == 0
    everything = capsys.readouterr().out
    assert all(f"\n  {name} " in everything for name in columns)
    assert len(report_of(path, capsys=capsys)["columns"]) == 151


def test_files_of_one_region_each_with_indexes(tmp_path, capsys):
    path = tmp_path / "indexed.lfmt"
    ids = [f"id{i}" for i in range(1000)]
    lance_fmt.write(path, {"id": ids, "n": np.arange(1000)}, row_index=["id"], bloom=["n"])
    report = report_of(path, capsys=capsys)
    by_name = {column["name"]: column for column in report["columns"]}
    assert [index["kind"] for index in by_name["id"]["indexes"]] == ["row index"]
    assert [index["kind"] for index in by_name["n"]["indexes"]] == ["Bloom filters"]
    assert {"row index of id", "Bloom filters of n"} <= {section["what"] for section in report["sections"]}
    owned = sum(c["bytes"] for c in report["columns"])
    rest = ("header", "column offset table", "schema", "key-values", "footer")
    assert owned == report["bytes"] - sum(s["bytes"] for s in report["sections"] if s["kind"] in rest)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_byte_of_the_golden_files_has_a_name(path):
    with lance_fmt.examine(path) as survey:
        position = 0
        for region in survey.regions():
            assert region.offset == position
            assert region.kind not in ("unused", "lost")
            position += region.length
        assert position == path.stat().st_size
        whole = int(survey.column_bytes().sum())
        assert whole == sum(survey.column(i).length for i in range(survey.num_columns))


def test_what_nothing_names_is_unused():
    data = (GOLDEN[0].parent / "v1.1-plain.lfmt").read_bytes()
    with lance_fmt.open(data) as file:
        at = file.footer.table_offset
    longer = bytearray(data[:at] + bytes(64) + data[at:])
    longer[-64:-56] = len(longer).to_bytes(8, "little")
    longer[-48:-40] = (at + 64).to_bytes(8, "little")
    with lance_fmt.examine(repair(bytes(longer))) as survey:
        assert not survey.damage
        assert [r for r in survey.regions() if r.kind == "unused"] == [(at, 64, "unused", -1)]


def test_dates_and_times_read_as_such(tmp_path, capsys):
    times = {
        "date": Column.from_pylist([date(2024, 2, 29)], lance_fmt.date()),
        "time": Column.from_pylist([time(13, 5, 0, 250_000)], lance_fmt.time("ms")),
        "length": Column.from_pylist([timedelta(seconds=-90)], lance_fmt.duration("s")),
    }
    lance_fmt.write(tmp_path / "t.lfmt", times)
    columns = report_of(tmp_path / "t.lfmt", capsys=capsys)["columns"]
    assert [c["minimum"] for c in columns] == ["2024-02-29", "13:05:00.250", "-90 s"]


def test_a_page_of_nulls_hides_no_bounds(tmp_path, capsys):
    values = [None] * 131_072 + [5, 3, 9]
    lance_fmt.write(tmp_path / "x.lfmt", {"n": Column.from_pylist(values, lance_fmt.int64())})
    (column,) = report_of(tmp_path / "x.lfmt", capsys=capsys)["columns"]
    assert [page["minimum"] for page in column["pages"]] == [None, 3]
    assert (column["minimum"], column["maximum"], column["nulls"]) == (3, 9, 131_072)


def test_head(sample, capsys):
    assert main(["inspect", str(sample), "head", "2", "--column", "number", "--column", "color"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"2 rows of {ROWS}"
    assert lines[-1].split() == ["1", "1", "green"]
    assert main(["inspect", str(sample), "head"]) == 0
    assert capsys.readouterr().out.startswith("10 rows of ")
    rows = report_of(sample, "head", "1", capsys=capsys)
    assert rows[0]["number"] is None
    assert rows[0]["color"] == "red"
    assert rows[0]["when"] == "2024-01-01T00:00:00+00:00"
    assert base64.b64decode(rows[0]["raw"]) == bytes([255, 0])
    with lance_fmt.open(sample) as file:
        assert rows[0]["vector"] == file.read(["vector"])["vector"].to_numpy()[0].tolist()


def test_head_of_many_columns_shows_rows_one_by_one(tmp_path, capsys):
    lance_fmt.write(tmp_path / "w.lfmt", {f"column {i}": [i, -i] for i in range(40)})
    assert main(["inspect", str(tmp_path / "w.lfmt"), "head", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "row 0"
    assert lines[-1].split() == ["column", "39", "-39"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hex"], "--hex goes with a page"),
        (["head", "--hex"], "--hex goes with a page"),
        (["tree", "head"], "head and tree do not go together"),
        (["head", "page", "n:0"], "head and page do not go together"),
        (["page", "n:0", "--why"], "page and --why do not go together"),
        (["map", "--html", "x.html"], "--html and map do not go together"),
        (["head", "--html", "x.html"], "--html and head do not go together"),
        (["page"], "price:0 is the first page of price"),
        (["page", "number"], "'number' is not COLUMN:N"),
        (["page", "number:1"], "no page 1 of column 'number'; there are 1, from 0 on"),
        (["page", "numbr:0"], "no column 'numbr'"),
        (["page", "0", "--column", "numbr"], "no column 'numbr'"),
        (["page", "7"], "no page 7; there are 7, from 0 on"),
        (["page", "1", "--column", "color"], "no page 1 of ['color']; there are 1, from 0 on"),
        (["head", "-1"], "'-1' is not a number of rows"),
        (["head", "x"], "'x' is not a number of rows"),
        (
            ["tre"],
            "no view 'tre'; did you mean tree? The views are tree, pages, map, page COLUMN:N and head [N]",
        ),
        (["3"], "no view '3'; there are tree, pages, map, page COLUMN:N and head [N]"),
        (["diff", "x"], "by `vego inspect diff A B`"),
    ],
)
def test_what_cannot_be_shown_is_said(options, message, sample, capsys):
    assert main(["inspect", str(sample), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_reader_that_leaves_early_ends_it_quietly(tmp_path):
    path = tmp_path / "wide.lfmt"
    lance_fmt.write(path, {f"c{i}": np.arange(3) for i in range(2000)})
    command = f"{shlex.quote(sys.executable)} -m vego.cli inspect {shlex.quote(str(path))} pages --all"
    piped = ["bash", "-c", f"set -o pipefail; {command} | head -n 1"]
    done = subprocess.run(piped, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == [str(path)]
    assert done.stderr == ""
    assert done.returncode == 141


def test_control_characters_in_a_file_are_shown_as_escapes(tmp_path, capsys):
    path = tmp_path / "hostile.lfmt"
    nasty = "\x1b]0;title\x07\r\n"
    lance_fmt.write(path, {f"a{nasty}": [f"{nasty}x", "y"]}, metadata={nasty: nasty})
    assert main(["inspect", str(path), "pages"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\r" not in text
    assert "\\x1b]0;title" in text


def test_a_file_of_no_columns_and_one_of_no_rows(tmp_path, capsys):
    lance_fmt.write(tmp_path / "none.lfmt", {})
    lance_fmt.write(tmp_path / "empty.lfmt", {"a": Column.from_pylist([], lance_fmt.int64())})
    for name in ("none.lfmt", "empty.lfmt"):
        assert main(["inspect", str(tmp_path / name), "pages", "tree", "map", "--stats", "--why"]) == 0
        assert "sections: 100% of" in capsys.readouterr().out


def test_something_else_is_named_as_what_it_is_not(tmp_path, capsys):
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG....")
    assert main(["inspect", str(path)]) == 2
    assert "not a file of Vego" in capsys.readouterr().err


def test_the_other_files_of_a_database(tmp_path, capsys):
    with vego.open(tmp_path / "db", dimension=4) as database:
        notes = database.collection("notes")
        notes.insert_batch(ids=list("abcefghij"), vectors=np.eye(9, 4))
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


def test_the_guide_names_options_there_are_and_its_python_runs(tmp_path, monkeypatch):
    guide = (Path(__file__).parents[1] / "docs" / "inspector.md").read_text()
    options = set(command_parser("inspect")._option_string_actions)
    named = set(re.findall(r"(?<![\w-])--[a-z]+", guide))
    assert named <= options
    assert {option for option in options - named if option.startswith("--")} <= {"--help"}
    for name in ("data", "small"):
        lance_fmt.write(tmp_path / f"{name}.lfmt", {"n": [1, 2, 3], "price": [1.5, 2, 3], "year": [1, 2, 3]})
    monkeypatch.chdir(tmp_path)
    typed = re.findall(r"^\$ vego (inspect .*)$", guide, re.MULTILINE)
    assert len(typed) > 4
    for command in typed:
        assert main(shlex.split(command)) == 0, command
    code = re.search(r"```python\n(.*?)```", guide, re.DOTALL)
    exec(compile(code[1], "inspector.md", "exec"), {})
