"""`vego convert` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lance_fmt
from vego.cli import main
from vego_tools.convert import FORMATS, convert

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    table = pa.table(
        {
            "id": pa.array(range(100), pa.int32()),
            "name": [f"n{n}" for n in range(100)],
            "v": [[n / 2, 1.0] for n in range(100)],
        }
    )
    pq.write_table(
        table.cast(table.schema.set(2, pa.field("v", pa.list_(pa.float32(), 2)))), tmp_path / "s.parquet"
    )
    return tmp_path / "s.parquet"


def test_there_and_back(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "convert",
                str(source),
                str(tmp_path / "a.lfmt"),
                "--row-index",
                "id",
                "--bloom",
                "name,id",
                "--level",
                "small",
            ]
        )
        == 0
    )
    text = capsys.readouterr()
    assert "100 rows, 3 columns" in text.out
    assert text.err == ""
    with lance_fmt.open(tmp_path / "a.lfmt") as file:
        assert file.find("id", 7) == [7]
        assert [str(f.type) for f in file.schema] == ["int32", "string", "vector<float32, 2>"]
    assert main(["convert", str(tmp_path / "a.lfmt"), str(tmp_path / "b.parquet"), "--check"]) == 0
    assert "read back and compared: 100 rows, all equal" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "b.parquet").equals(pq.read_table(source))


def test_some_of_it(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "convert",
        str(source),
        str(tmp_path / "a.csv"),
        "--columns",
        "v,id",
        "--rows",
        "98:",
        "--json",
    ]
    assert main(arguments) == 0
    assert (tmp_path / "a.csv").read_text() == 'v,id\n"[49.0,1.0]",98\n"[49.5,1.0]",99\n'
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == 2
    assert report["changes"] == [{"column": "id", "source_type": "int32", "destination_type": "int64"}]
    assert main(["convert", str(source), str(tmp_path / "b.csv"), "--columns", "id", "--rows", "3:5"]) == 0
    assert (tmp_path / "b.csv").read_text() == "id\n3\n4\n"
    assert "int32" in capsys.readouterr().out


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_every_format(source: Path, tmp_path: Path, name: str) -> None:
    """`--rows` and `--columns` take the same of every source, in batches of any size."""
    form = FORMATS[name]
    if name in ("hdf5", "lance", "vortex"):
        pytest.importorskip(form.package)
    options = {"columns": ["v"]} if name in ("fvecs", "bvecs", "ivecs", "npy") else {"columns": ["v", "id"]}
    if name in ("bvecs", "ivecs"):
        lance_fmt.write(tmp_path / "whole.lfmt", {"v": np.arange(200, dtype=np.uint8).reshape(100, 2)})
        source = tmp_path / "whole.lfmt"
    middle = tmp_path / f"m{form.suffixes[0]}"
    convert(source, middle, **options)
    convert(middle, tmp_path / "a.lfmt")
    with lance_fmt.open(tmp_path / "a.lfmt") as file:
        last = file.schema.names[-1]
        expected = repr(file.read([last], slice(31, 64)).to_pydict())
    for size in (None, 7, 1000):
        convert(middle, tmp_path / "b.lfmt", rows=(31, 64), columns=[last], batch_rows=size, overwrite=True)
        with lance_fmt.open(tmp_path / "b.lfmt") as file:
            assert repr(file.read().to_pydict()) == expected
    assert convert(middle, tmp_path / "b.lfmt", rows=(99, 500), overwrite=True).rows == 1
    assert convert(middle, tmp_path / "b.lfmt", rows=(100, None), overwrite=True).rows == 0


def test_progress_reaches_the_end(source: Path, tmp_path: Path) -> None:
    for name in ("a.lfmt", "a.csv", "a.jsonl", "a.arrows"):
        convert(source, tmp_path / name, columns=["id", "name"])
        seen: list[tuple[int, int]] = []
        report = convert(
            tmp_path / name,
            tmp_path / "o.lfmt",
            overwrite=True,
            batch_rows=30,
            progress=lambda *s, seen=seen: seen.append(s),
        )
        assert seen[-1][0] == seen[-1][1]
        assert seen == sorted(seen)
        assert report.rows == 100
    assert main(["convert", str(source), str(tmp_path / "p.lfmt"), "--progress"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s.parquet"], "required: DST"),
        (["no.parquet", "o.lfmt"], "no.parquet: No such file"),
        (["s.parquet", "o.lfmt", "--rows", "5"], "is not START:STOP"),
        (["s.parquet", "o.lfmt", "--level", "tiny"], "invalid choice"),
        (["s.parquet", "o.lfmt", "--columns", "nam"], "did you mean 'name'"),
        (["s.parquet", "s.parquet"], "--overwrite"),
        (["s.parquet", "o.fvecs"], "--columns v"),
        (["evil.csv", "o.lfmt"], "column '\\x1b[31mred' occurs more than once"),
    ],
)
def test_mistakes_are_one_line(source: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "evil.csv").write_bytes(b"\x1b[31mred,\x1b[31mred\n1,2\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    command = [
        sys.executable,
        "-m",
        "vego.cli",
        "convert",
        *(str(tmp_path / a) if "." in a else a for a in arguments),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert "\x1b" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_difference_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lance_fmt.write(tmp_path / "s.lfmt", {"x": [1.0, float("nan")]})
    assert main(["convert", str(tmp_path / "s.lfmt"), str(tmp_path / "o.jsonl"), "--check"]) == 1
    assert "row 1" in capsys.readouterr().err
    assert not (tmp_path / "o.jsonl").exists()
    assert main(["convert", str(tmp_path / "s.lfmt"), str(tmp_path / "o.jsonl")]) == 0
    assert "1 NaN or infinite became null" in capsys.readouterr().out


def test_help_shows_examples_and_the_formats_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "--help"]) == 0
    text = capsys.readouterr().out
    assert "vego convert table.parquet table.lfmt" in text
    guide = (ROOT / "docs" / "convert.md").read_text()
    for form in FORMATS.values():
        assert all(f"`{suffix}`" in guide for suffix in form.suffixes), form.name
        assert f"`{form.name}`" in guide


def test_reading_is_bounded_in_memory(tmp_path: Path) -> None:
    """Peak memory does not grow with the file: four times the rows, hardly more."""
    peaks = []
    for rows in (100_000, 400_000):
        np.save(tmp_path / "s.npy", np.zeros((rows, 64), np.float32))
        code = (
            "import resource, sys\nfrom vego.cli import main\n"
            f"assert main(['convert', {str(tmp_path / 's.npy')!r}, {str(tmp_path / f'{rows}.lfmt')!r}]) == 0\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout.splitlines()[-1]) / 1000)
    assert peaks[1] < peaks[0] + 30, f"{peaks} MB; the larger file is 77 MB larger"


REAL = sorted(ROOT.parent.glob("shared/data/tabular/*.parquet")) + sorted(
    ROOT.parent.glob("shared/data/geo/*.parquet")
)


@pytest.mark.parametrize("path", REAL or [None], ids=lambda path: path.stem if path else "none")
def test_real_tables_come_back_the_same(tmp_path: Path, path: Path | None) -> None:
    if path is None:
        pytest.skip("there is no folder of real tables beside this checkout")
    if path.stat().st_size > 250_000:
        pytest.skip("`python -m benchmarks.convert --check` does the large ones")
    convert(path, tmp_path / "a.lfmt")
    convert(tmp_path / "a.lfmt", tmp_path / "b.parquet")
    before, after = pq.read_table(path), pq.read_table(tmp_path / "b.parquet")
    assert after.schema.equals(before.schema, check_metadata=True)
    for name in before.schema.names:
        assert repr(after[name].to_pylist()) == repr(before[name].to_pylist()), name
