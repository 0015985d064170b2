"""What types the text of CSV and JSON Lines is read as, and how sources are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from vego_tools.convert import convert
from vego_tools.convert.compare import first_difference


def guessed(tmp_path: Path, texts: list[str]) -> tuple[str, list[Any], list[str]]:
    """Type, values and notes of a CSV column beside another."""
    (tmp_path / "s.csv").write_text("x,other\n" + "".join(f"{text},\n" for text in texts), newline="")
    report = convert(tmp_path / "s.csv", tmp_path / "o.arrow", overwrite=True)
    with pa.ipc.open_file(tmp_path / "o.arrow") as reader:
        column = reader.read_all()["x"]
    return str(column.type), column.to_pylist(), report.notes


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-20", "0"], "int64"),
        (["007", "8"], "string"),
        (["+5", "6"], "string"),
        (["0x1F"], "string"),
        (["1", "18446744073709551615"], "uint64"),
        (["1", "18446744073709551616"], "string"),
        (["1", "2.5", "1e3", "nan"], "double"),
        (["true", "False"], "bool"),
        (["true", "yes"], "string"),
        (["2024-02-29", ""], "date32[day]"),
        (["2024-02-30"], "string"),
        (["2024-02-29T01:02:03.5"], "timestamp[us]"),
        (["2024-02-29 01:02:03.123456789"], "timestamp[ns]"),
        (["2024-02-29T01:02:03Z", "2024-02-29T01:02:03+02:00"], "timestamp[us, tz=UTC]"),
        (["01:02:03", "23:59:59.5"], "time64[us]"),
        (["", ""], "string"),
        (['"[1.5,2]"', '"[0,1]"'], "fixed_size_list<item: float>[2]"),
        (['"[0.123456789012345,2]"', ""], "fixed_size_list<item: double>[2]"),
        (['"[1.5,2]"', '"[1]"'], "string"),
    ],
)
def test_types_of_csv(tmp_path: Path, texts: list[str], kind: str) -> None:
    assert guessed(tmp_path, texts)[0] == kind


def test_nulls_of_csv(tmp_path: Path) -> None:
    assert guessed(tmp_path, ["1", "NA", ""])[1] == [1, None, None]
    assert any("'x'" in note and "NA" in note for note in guessed(tmp_path, ["1", "NA"])[2])
    kind, values, notes = guessed(tmp_path, ["Oslo", "NA", "", '""'])
    assert (kind, values, notes) == ("string", ["Oslo", "NA", None, ""], [])


def test_other_separators(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a;b\n1;x\n")
    report = convert(tmp_path / "s.csv", tmp_path / "o.tsv")
    assert (tmp_path / "o.tsv").read_text() == "a\tb\n1\tx\n"
    assert any("';'" in note for note in report.notes)


def test_a_column_by_itself_keeps_its_nulls(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a\n1\n\n3\n")
    assert convert(tmp_path / "s.csv", tmp_path / "o.csv").rows == 3
    assert (tmp_path / "o.csv").read_text() == "a\n1\n\n3\n"


def test_whole_numbers_of_json_are_not_rounded(tmp_path: Path) -> None:
    lines = ['{"n":9007199254740993,"u":18446744073709551615,"t":"2024-01-01"}', '{"n":1,"u":0,"t":"x"}']
    (tmp_path / "s.jsonl").write_text("\n".join(lines) + "\n")
    convert(tmp_path / "s.jsonl", tmp_path / "o.jsonl", check=True)
    assert (tmp_path / "o.jsonl").read_text().splitlines() == lines


def batches(*parts: list[Any]) -> Any:
    return iter([pa.record_batch({"x": pa.array(part)}) for part in parts])


def test_comparing_goes_over_batches_of_any_size() -> None:
    assert first_difference(batches([1, 2], [3]), batches([1], [], [2, 3])) == (3, None)
    assert first_difference(batches([1, 2, 3, 4]), batches([1, 2], [9, 4])) == (2, "column 'x': 3 became 9")
    assert first_difference(batches([1, 2]), batches([1])) == (1, "only the source has this row")
    assert first_difference(batches([1]), batches([1], [2])) == (1, "only the destination has this row")
    assert first_difference(batches([0.0, None]), batches([0.0, float("nan")]))[0] == 1
    nested = [[{"a": float("nan")}], None]
    assert first_difference(batches(nested), batches(nested)) == (2, None)


def test_times_with_a_zone_are_written_as_utc(tmp_path: Path) -> None:
    table = pa.table(
        {"t": pa.array([0], pa.timestamp("s", "Europe/Paris")), "u": pa.array([0], pa.timestamp("ms"))}
    )
    with pa.ipc.new_file(tmp_path / "s.arrow", table.schema) as writer:
        writer.write_table(table)
    convert(tmp_path / "s.arrow", tmp_path / "o.csv", check=True)
    assert (tmp_path / "o.csv").read_text() == "t,u\n1970-01-01T00:00:00Z,1970-01-01T00:00:00.000\n"
    convert(tmp_path / "s.arrow", tmp_path / "o.jsonl")
    assert (
        tmp_path / "o.jsonl"
    ).read_text() == '{"t":"1970-01-01T00:00:00Z","u":"1970-01-01T00:00:00.000"}\n'
