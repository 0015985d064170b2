"""`vego verify` and `vego salvage`: damage is located, and what is left is saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lance_fmt
from tests.support.checksums import repair_footer
from tests.support.command_line import flip
from vego.cli import main


def make_file(path: Path, rows: int = 3000, **options: object) -> dict[str, list]:
    columns = {
        "number": [row * 7919 % 1009 for row in range(rows)],
        "text": [f"row {row}, {row * 31 % 977}" if row % 3 else None for row in range(rows)],
    }
    lance_fmt.write(path, columns, **options)
    return columns


def test_verify_of_whole_files(tmp_path, capsys):
    make_file(tmp_path / "a.lfmt")
    make_file(tmp_path / "b.lfmt", row_index=["number"], bloom=["text"])
    assert main(["verify", str(tmp_path / "a.lfmt"), str(tmp_path / "b.lfmt")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("every byte is right (3,000 rows, 2 columns)" in line for line in lines)


def test_verify_locates_damage_and_checks_the_other_files(tmp_path, capsys):
    damaged, whole = tmp_path / "damaged one.lfmt", tmp_path / "whole.lfmt"
    make_file(damaged)
    make_file(whole)
    with lance_fmt.open(damaged) as file:
        offset, _, rows, _ = file.column("text").pages[0].blocks[0]
    flip(damaged, offset + 9)
    assert main(["verify", str(damaged), str(whole)]) == 1
    text = capsys.readouterr().out
    assert "1 damaged place\n" in text
    assert f"byte {offset:,}: column 'text', page 0, block 0, rows 0 to {rows - 1}: " in text
    assert f"vego salvage '{damaged}' NEW.lfmt" in text
    assert "whole.lfmt: every byte is right" in text
    assert main(["verify", "--json", str(damaged), str(whole)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [report["rows"] for report in found] == [3000, 3000]
    assert [len(report["damage"]) for report in found] == [1, 0]
    assert found[0]["damage"][0]["column"] == "text"
    assert found[0]["damage"][0]["offset"] == offset


@pytest.mark.parametrize("damage", ["cut", "footer", "schema", "text"])
def test_verify_of_a_file_whose_end_is_damaged(damage, tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    make_file(path)
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        path.write_text("this is no such file, but long enough to be one. " * 9)
    else:
        flip(path, -40 if damage == "footer" else -130)
    assert main(["verify", str(path)]) == 1
    assert "restore it from a copy" in capsys.readouterr().out
    out = tmp_path / "out.lfmt"
    assert main(["salvage", str(path), str(out)]) == 2
    shown = capsys.readouterr()
    assert "nothing of the file can be saved: restore it from a copy" in shown.err
    assert shown.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [path]


def test_verify_of_files_that_cannot_be_checked(tmp_path, capsys):
    make_file(tmp_path / "a.lfmt")
    newer = bytearray((tmp_path / "a.lfmt").read_bytes())
    newer[-12:-8] = (9).to_bytes(2, "little") + (3).to_bytes(2, "little")
    (tmp_path / "newer.lfmt").write_bytes(repair_footer(bytes(newer)))
    names = ["none.lfmt", "newer.lfmt", ".", "a.lfmt"]
    assert main(["verify", *(str(tmp_path / name) for name in names)]) == 2
    shown = capsys.readouterr()
    assert "none.lfmt: No such file" in shown.err
    assert "format version 9.3" in shown.err
    assert len(shown.err.splitlines()) == 3
    assert "a.lfmt: every byte is right" in shown.out
    assert main(["verify", "--json", *(str(tmp_path / name) for name in names)]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [bool(report["error"]) for report in found] == [True, True, True, False]


def test_salvage_keeps_what_is_left(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    columns = make_file(path, 40_000, row_index=["number"], bloom=["text"])
    with lance_fmt.open(path) as file:
        info = file.column("text")
        blocks = info.pages[0].blocks
        assert len(blocks) > 1
    flip(path, blocks[1][0] + 9)
    before = path.read_bytes()
    first, rows = info.block_rows, blocks[1][2]
    out = tmp_path / "nulls.lfmt"
    assert main(["salvage", str(path), str(out)]) == 0
    text = capsys.readouterr().out
    assert "40,000 of 40,000 rows saved" in text
    assert f"column 'text', page 0, block 1, rows {first} to {first + rows - 1}" in text
    with lance_fmt.open(out) as file:
        file.verify()
        assert (file.indexes("number"), file.indexes("text")) == (("row_index",), ("bloom",))
        assert file.read()["number"].to_pylist() == columns["number"]
        wanted = [None if first <= i < first + rows else v for i, v in enumerate(columns["text"])]
        assert file.read()["text"].to_pylist() == wanted
    assert main(["salvage", str(path), str(tmp_path / "rows.lfmt"), "--skip"]) == 0
    assert f"{40_000 - rows:,} of 40,000 rows saved" in capsys.readouterr().out
    with lance_fmt.open(tmp_path / "rows.lfmt") as file:
        wanted = [v for i, v in enumerate(columns["number"]) if not first <= i < first + rows]
        assert file.read()["number"].to_pylist() == wanted
    assert path.read_bytes() == before


def test_salvage_of_a_whole_file_and_of_a_file_that_lost_a_column(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    columns = make_file(path)
    assert main(["salvage", str(path), str(tmp_path / "same.lfmt")]) == 0
    assert "a plain copy" in capsys.readouterr().out
    with lance_fmt.open(path) as file:
        flip(path, file.column("number").metadata_offset + 3)
    assert main(["salvage", str(path), str(tmp_path / "less.lfmt")]) == 0
    assert "column 'number' could not be read at all" in capsys.readouterr().out
    with lance_fmt.open(tmp_path / "less.lfmt") as file:
        assert file.read().to_pydict() == {"text": columns["text"]}
    with lance_fmt.open(path) as file:
        flip(path, file.column("text").metadata_offset + 3)
    assert main(["salvage", str(path), str(tmp_path / "nothing.lfmt")]) == 2
    assert "no column can be read" in capsys.readouterr().err
    assert not (tmp_path / "nothing.lfmt").exists()


def test_salvage_as_json(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    make_file(path, 40_000)
    with lance_fmt.open(path) as file:
        flip(path, file.column("text").pages[0].blocks[1][0] + 9)
    assert main(["salvage", str(path), str(tmp_path / "rest.lfmt"), "--skip", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    with lance_fmt.open(tmp_path / "rest.lfmt") as rest:
        assert found["saved_rows"] == rest.num_rows < found["rows"]
    assert sum(place["rows"] for place in found["damage"]) == found["rows"] - found["saved_rows"]
    assert (found["damage"][0]["column"], found["damage"][0]["block"]) == ("text", 1)


def test_salvage_refuses_to_write_over_anything(tmp_path, capsys):
    path, out = tmp_path / "x.lfmt", tmp_path / "out.lfmt"
    make_file(path)
    out.write_text("precious")
    for dest in (out, path, tmp_path):
        assert main(["salvage", str(path), str(dest)]) == 2
        assert "exists; salvage writes a new file" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert main(["salvage", str(path), str(tmp_path / "no" / "out.lfmt")]) == 2
    assert main(["salvage", str(tmp_path / "none.lfmt"), str(tmp_path / "new.lfmt")]) == 2
    assert sorted(tmp_path.iterdir()) == [out, path]


def test_an_interrupted_salvage_leaves_nothing(tmp_path, monkeypatch, capsys):
    make_file(tmp_path / "x.lfmt")

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(lance_fmt.Writer, "write", interrupted)
    assert main(["salvage", str(tmp_path / "x.lfmt"), str(tmp_path / "out.lfmt")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["x.lfmt"]
    assert "Traceback" not in capsys.readouterr().err


def test_names_from_a_damaged_file_cannot_control_the_terminal(tmp_path, capsys):
    path = tmp_path / "evil \x1b[31m.lfmt"
    lance_fmt.write(path, {"\x1b[2J": list(range(100)), "b": list(range(100))})
    with lance_fmt.open(path) as file:
        flip(path, file.column("\x1b[2J").metadata_offset + 3)
    assert main(["verify", str(path)]) == 1
    assert main(["verify", str(tmp_path / "\x1b[31m.lfmt")]) == 2
    assert main(["salvage", str(path), str(tmp_path / "out \x1b[31m.lfmt")]) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert "\\x1b[2J" in shown.out
