"""`vego inspect diff`: files that hold the same are told from files that do not, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column
from vego.cli import main

ROWS = 100_000


def columns() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "n": np.arange(ROWS),
        "x": np.round(rng.standard_normal(ROWS), 3),
        "text": Column.from_pylist(
            [None if i % 9 == 0 else f"t{i % 70}" for i in range(ROWS)], lance_fmt.string()
        ),
        "v": rng.standard_normal((ROWS, 4)).astype(np.float32),
    }


@pytest.fixture
def a(tmp_path: Path) -> Path:
    lance_fmt.write(tmp_path / "a.lfmt", columns(), metadata={"k": "v"})
    return tmp_path / "a.lfmt"


def diff(a: Path, b: Path, *options: str, capsys, status: int) -> dict:
    assert main(["inspect", "diff", str(a), str(b), "--json", *options]) == status
    return json.loads(capsys.readouterr().out)


def test_a_file_and_its_copy(a, capsys):
    copy = a.with_name("copy.lfmt")
    copy.write_bytes(a.read_bytes())
    found = diff(a, copy, capsys=capsys, status=0)
    assert found["identical"]
    assert main(["inspect", "diff", str(a), str(copy)]) == 0
    assert "the same data, stored the same way" in capsys.readouterr().out


def test_a_file_named_diff(a, monkeypatch, capsys):
    monkeypatch.chdir(a.parent)
    a.rename("diff")
    assert main(["inspect", "./diff", "tree"]) == 0
    assert main(["inspect", "diff", "diff", "./diff"]) == 0
    assert "the same data" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "takes two files: `vego inspect diff A B`"),
        (["a"], "takes two files"),
        (["a", "b", "c"], "takes two files"),
        (["a", "b", "--why"], "diff and --why do not go together"),
        (["a", "b", "--hex"], "diff and --hex do not go together"),
        (["a", "b", "--html", "x"], "diff and --html do not go together"),
    ],
)
def test_what_cannot_be_compared_is_said(words, message, capsys):
    assert main(["inspect", "diff", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_same_values_stored_differently(a, capsys):
    b = a.with_name("b.lfmt")
    lance_fmt.write(b, columns(), metadata={"k": "v"}, level="small")
    found = diff(a, b, capsys=capsys, status=0)
    assert found["same"]
    assert not found["identical"]
    assert {column["values"] for column in found["columns"]} == {"equal"}
    assert main(["inspect", "diff", str(a), str(b)]) == 0
    text = capsys.readouterr().out
    assert "the same data, stored differently" in text
    assert " → " in text


def test_values_that_differ_are_counted_and_shown(a, capsys):
    b = a.with_name("b.lfmt")
    other = columns()
    other["x"][[70_000, 5, 6]] = [1.0, np.nan, -0.0]
    lance_fmt.write(b, other, metadata={"k": "v"})
    found = {column["name"]: column for column in diff(a, b, capsys=capsys, status=1)["columns"]}
    assert found["x"]["values"] == "different"
    assert (found["x"]["different_rows"], found["x"]["all_counted"]) == (3, True)
    assert (found["x"]["first"]["row"], found["x"]["first"]["b"]) == (5, "nan")
    assert {found[name]["values"] for name in ("n", "text", "v")} == {"equal"}
    other = columns()
    other["n"][99_999] = -7
    lance_fmt.write(a.with_name("late.lfmt"), other, metadata={"k": "v"})
    late = diff(a, a.with_name("late.lfmt"), capsys=capsys, status=1)["columns"][0]
    assert late["first"] == {"row": 99_999, "a": "99999", "b": "-7"}
    assert main(["inspect", "diff", str(a), str(b)]) == 1
    assert "not equal: 3 rows" in capsys.readouterr().out


def test_nulls_and_signs_of_zero_are_values(tmp_path, capsys):
    kind = lance_fmt.float64()
    lance_fmt.write(tmp_path / "a.lfmt", {"x": Column.from_pylist([0.0, None, float("nan")], kind)})
    lance_fmt.write(tmp_path / "b.lfmt", {"x": Column.from_pylist([-0.0, 0.0, float("nan")], kind)})
    (column,) = diff(tmp_path / "a.lfmt", tmp_path / "b.lfmt", capsys=capsys, status=1)["columns"]
    assert column["different_rows"] == 2


def test_many_differing_rows_are_not_all_counted(tmp_path, capsys):
    lance_fmt.write(tmp_path / "a.lfmt", {"n": np.arange(5000)})
    lance_fmt.write(tmp_path / "b.lfmt", {"n": np.arange(5000) + 1})
    (column,) = diff(tmp_path / "a.lfmt", tmp_path / "b.lfmt", capsys=capsys, status=1)["columns"]
    assert (column["different_rows"], column["all_counted"]) == (1000, False)


@pytest.mark.parametrize("what", ["missing", "type", "nullable", "order", "rows", "metadata"])
def test_what_is_not_a_value_counts_too(what, a, capsys):
    other, metadata, schema = columns(), {"k": "v"}, None
    if what == "missing":
        del other["v"]
    if what == "type":
        other["n"] = other["n"].astype(np.int32)
    if what == "nullable":
        with lance_fmt.open(a) as file:
            fields = [lance_fmt.Field(f.name, f.type, f.name == "n" or f.nullable) for f in file.schema]
        fields[0] = lance_fmt.Field("n", lance_fmt.int64(), not file.schema["n"].nullable)
        schema = lance_fmt.Schema(fields)
    if what == "order":
        other = dict(reversed(other.items()))
    if what == "rows":
        other = {name: values[:-1] if isinstance(values, np.ndarray) else values.slice(0, ROWS - 1)
                 for name, values in other.items()}  # fmt: skip
    if what == "metadata":
        metadata = {"k": "w"}
    b = a.with_name("b.lfmt")
    lance_fmt.write(b, other, metadata=metadata, schema=schema)
    for left, right in ((a, b), (b, a)):
        found = diff(left, right, capsys=capsys, status=1)
        different = {column["name"]: column for column in found["columns"] if column["schema"] != "equal"}
        assert list(different) == {"missing": ["v"], "type": ["n"], "nullable": ["n"]}.get(what, [])
        assert found["same_order"] == (what != "order")
        assert bool(found["metadata"]) == (what == "metadata")
        assert (found["a"]["rows"] != found["b"]["rows"]) == (what == "rows")
        if what == "rows":
            assert {c["values"] for c in found["columns"]} == {f"equal in the first {ROWS - 1:,} rows"}
        assert main(["inspect", "diff", str(left), str(right)]) == 1
        assert "different data" in capsys.readouterr().out


def test_only_some_columns(a, capsys):
    b = a.with_name("b.lfmt")
    lance_fmt.write(b, columns() | {"x": np.zeros(ROWS)}, metadata={"k": "v"})
    assert diff(a, b, "--column", "n", "--column", "text", capsys=capsys, status=0)["same"]
    assert main(["inspect", "diff", str(a), str(b), "--column", "z"]) == 2
    assert "no column 'z'" in capsys.readouterr().err


def test_damaged_values_are_named_and_the_others_compared(a, capsys):
    b = a.with_name("b.lfmt")
    data = bytearray(a.read_bytes())
    with lance_fmt.open(a) as file:
        data[file.column("x").pages[0].offset] ^= 1
    b.write_bytes(data)
    found = {column["name"]: column["values"] for column in diff(a, b, capsys=capsys, status=1)["columns"]}
    assert found == {"n": "equal", "x": "damaged", "text": "equal", "v": "equal"}
    assert main(["inspect", "diff", str(a), str(b)]) == 1
    assert "damaged at byte" in " ".join(capsys.readouterr().out.split())  # long paths break the line
