"""Salvage: what can be read of a damaged file is in the copy, and nothing half written is ever left."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, CorruptFileError, Field, InvalidDataError, Schema
from tests.support.checksums import pieces
from tests.support.format_values import fewer, file_of
from tests.support.golden_files import FOLDER, GOLDEN

ROWS = 500


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lance_fmt.writer.TARGET_PAGE_BYTES", 1024)
    monkeypatch.setattr("lance_fmt.writer.TARGET_BLOCK_BYTES", 256)
    monkeypatch.setattr("lance_fmt.writer.TARGET_STRING_BLOCK_BYTES", 256)
    # By name, `lance_fmt.salvage` is the function.
    monkeypatch.setattr(import_module("lance_fmt.rescue"), "BATCH_ROWS", 130)


def _columns() -> dict[str, Column]:
    return {
        "n": Column.from_numpy(np.arange(ROWS) * 7919 % 1009),
        "s": Column.from_pylist([f"row {i}" for i in range(ROWS)], lance_fmt.string()),
        "l": Column.from_pylist([[i] * (i % 3) for i in range(ROWS)], lance_fmt.list_(lance_fmt.int16())),
    }


def _file() -> bytes:
    fields = [Field(name, column.type, False, {"unit": name}) for name, column in _columns().items()]
    return file_of(
        _columns(), schema=Schema(fields, {"of": "schema"}), metadata={"k": "v"}, row_index=["n"], bloom=["s"]
    )


def _flipped(data: bytes, *places: int) -> bytes:
    damaged = bytearray(data)
    for place in places:
        damaged[place] ^= 0x21
    return bytes(damaged)


def _check(data: bytes, folder: Path, on_damage: Any) -> lance_fmt.SalvageReport:
    """The copy has what a read that goes around damage has, and is a whole file."""
    dest = folder / "copy.lfmt"
    dest.unlink(missing_ok=True)
    report = lance_fmt.salvage(data, dest, on_damage=on_damage)
    kept = [name for name in _columns() if name not in report.lost_columns]
    with lance_fmt.open(data) as file:
        wanted = file.read(kept, on_damage=on_damage)
        assert report.damage == tuple(file.damage())
    with lance_fmt.open(dest) as copy:
        copy.verify()
        table = copy.read()
        assert list(table) == kept
        assert all(table[name].equals(wanted[name]) for name in kept)
        assert copy.schema.fields == wanted.schema.fields
        assert (copy.schema.metadata, copy.metadata) == ({"of": "schema"}, {"k": "v"})
        assert (report.num_rows, report.saved_rows) == (ROWS, copy.num_rows)
        assert [copy.indexes(name) for name in kept] == [
            {"n": ("row_index",), "s": ("bloom",)}.get(n, ()) for n in kept
        ]
    assert [path.name for path in folder.iterdir()] == ["copy.lfmt"]
    return report


BOTH = pytest.mark.parametrize("on_damage", ["null", "skip"])


@BOTH
def test_a_whole_file(on_damage: Any, tmp_path: Path) -> None:
    report = _check(_file(), tmp_path, on_damage)
    assert (report.damage, report.lost_columns, report.saved_rows) == ((), (), ROWS)


@BOTH
def test_blocks_and_indexes(on_damage: Any, tmp_path: Path) -> None:
    data = _file()
    with lance_fmt.open(data) as file:
        places = [file.column("n").pages[1].blocks[0][0], file.column("s").pages[-1].index_offset]
    report = _check(_flipped(data, *places), tmp_path, on_damage)
    assert [(place.column, place.block) for place in report.damage] == [("n", 0), ("s", None)]
    assert (report.saved_rows < ROWS) == (on_damage == "skip")


@BOTH
def test_a_column_is_given_up(on_damage: Any, tmp_path: Path) -> None:
    data = _file()
    with lance_fmt.open(data) as file:
        info = file.column("n")
    by_metadata = _flipped(data, info.metadata_offset)
    by_indexes = _flipped(data, *(page.index_offset for page in info.pages))
    for damaged in (by_metadata, by_indexes):
        report = _check(damaged, tmp_path, on_damage)
        assert (report.lost_columns, report.saved_rows) == (("n",), ROWS)


@BOTH
def test_auxiliary_regions_are_made_anew(on_damage: Any, tmp_path: Path) -> None:
    data = _file()
    with lance_fmt.open(data) as file:
        regions = [file._reader(name).meta.regions[0].offset for name in ("n", "s")]
    report = _check(_flipped(data, *regions), tmp_path, on_damage)
    assert ([place.rows for place in report.damage], report.saved_rows) == ([0, 0], ROWS)
    with lance_fmt.open(tmp_path / "copy.lfmt") as copy:
        assert copy.find("n", 7919 % 1009) == [1]
        assert copy.find("s", "row 17") == [17]
        assert not copy.schema["n"].nullable


@fewer
@given(st.data())
def test_damage_anywhere_before_the_tail(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole, kinds = _file(), ("block", "index", "header", "auxiliary", "auxiliary part")
    found = [piece for piece in pieces(whole) if piece.kind in kinds]
    chosen = data.draw(st.lists(st.sampled_from(found), max_size=4, unique=True))
    places = [data.draw(st.integers(piece.start, piece.stop - 1)) for piece in chosen]
    _check(
        _flipped(whole, *places),
        tmp_path_factory.mktemp("salvage"),
        data.draw(st.sampled_from(["null", "skip"])),
    )


@pytest.mark.parametrize("kind", ["table", "schema", "key-values", "footer", "cut"])
def test_without_its_tail_nothing_can_be_saved(kind: str, tmp_path: Path) -> None:
    data = _file()
    if kind == "cut":
        damaged = data[: len(data) * 2 // 3]
    else:
        damaged = _flipped(data, *(piece.start for piece in pieces(data) if piece.kind == kind))
    with pytest.raises(CorruptFileError, match="restore it from a copy"):
        lance_fmt.salvage(damaged, tmp_path / "copy.lfmt")
    assert list(tmp_path.iterdir()) == []


def test_no_column_left(tmp_path: Path) -> None:
    data = _file()
    with lance_fmt.open(data) as file:
        places = [file.column(name).metadata_offset for name in file.schema.names]
    with pytest.raises(CorruptFileError, match="no column can be read"):
        lance_fmt.salvage(_flipped(data, *places), tmp_path / "copy.lfmt")
    assert list(tmp_path.iterdir()) == []


def test_dest_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"precious")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("there", "dangling", "."):
        with pytest.raises(InvalidDataError, match="exists"):
            lance_fmt.salvage(_file(), tmp_path / name)
    assert (tmp_path / "there").read_bytes() == b"precious"
    with pytest.raises(InvalidDataError, match="not one of null, skip"):
        lance_fmt.salvage(_file(), tmp_path / "new", on_damage="raise")
    with pytest.raises(FileNotFoundError):
        lance_fmt.salvage(tmp_path / "none", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "there"]


def test_an_error_half_way_leaves_nothing(tmp_path: Path) -> None:
    def full(done: int, total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        lance_fmt.salvage(_file(), tmp_path / "copy.lfmt", progress=full)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_rows(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    lance_fmt.salvage(_file(), tmp_path / "copy", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(130, ROWS), (260, ROWS), (390, ROWS), (ROWS, ROWS)]


def test_files_without_rows_or_columns(tmp_path: Path) -> None:
    empty = file_of(
        {"n": Column.from_pylist([], lance_fmt.int64()), "s": Column.from_pylist([], lance_fmt.string())}
    )
    lance_fmt.salvage(empty, tmp_path / "rows")
    with lance_fmt.open(tmp_path / "rows") as copy:
        assert (copy.num_rows, copy.schema.names) == (0, ["n", "s"])
    with lance_fmt.open(empty) as file:
        place = file.column("n").metadata_offset
    assert lance_fmt.salvage(_flipped(empty, place), tmp_path / "less").lost_columns == ("n",)
    lance_fmt.salvage(file_of({}), tmp_path / "columns")
    with lance_fmt.open(tmp_path / "columns") as copy:
        assert copy.schema.names == []


@pytest.mark.parametrize("name", GOLDEN)
def test_files_of_format_1_0(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # pages and batches of the usual size
    data = (FOLDER / name).read_bytes()
    with lance_fmt.open(data) as file:
        hurt = file.schema.names[0]
        place = file.column(hurt).pages[0].index_offset
        truth = file.read()
    report = lance_fmt.salvage(_flipped(data, place), tmp_path / "copy")
    assert report.damage[0].column == hurt
    with lance_fmt.open(tmp_path / "copy") as copy:
        copy.verify()
        table = copy.read()
    assert all(table[n].equals(truth[n]) for n in table if n != hurt)
