"""Reading what is left of a damaged file: what is lost is named, all else comes back right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, CorruptFileError, Damage, Field, InvalidDataError, Schema, SchemaError, field
from tests.support.checksums import pieces
from tests.support.format_values import fewer, file_of

ROWS = 1000


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lance_fmt.writer.TARGET_PAGE_BYTES", 2048)
    monkeypatch.setattr("lance_fmt.writer.TARGET_BLOCK_BYTES", 512)
    monkeypatch.setattr("lance_fmt.writer.TARGET_STRING_BLOCK_BYTES", 512)
    monkeypatch.setattr("lance_fmt.writer.TARGET_VECTOR_PAGE_BYTES", 1024)
    monkeypatch.setattr("lance_fmt.writer.TARGET_VECTOR_BLOCK_BYTES", 256)


def _columns() -> dict[str, Column]:
    inner = lance_fmt.struct([Field("x", lance_fmt.int16()), Field("y", lance_fmt.string(), False)])
    return {
        "n": Column.from_numpy(np.arange(ROWS) * 7919 % 1009),
        "s": Column.from_pylist(
            [None if i % 7 == 0 else f"row {i}" for i in range(ROWS)], lance_fmt.string()
        ),
        "v": Column.from_numpy(np.arange(ROWS * 4, dtype=np.float32).reshape(-1, 4)),
        "l": Column.from_pylist(
            [[i, None][: i % 3] for i in range(ROWS)], lance_fmt.list_(lance_fmt.int32(), True)
        ),
        "p": Column.from_pylist([{"x": i, "y": str(i)} for i in range(ROWS)], inner),
        "d": Column.from_pylist(list(range(ROWS)), lance_fmt.decimal(30, 3)),
    }


def _schema() -> Schema:
    return Schema([Field(name, c.type, name == "s", {"unit": name}) for name, c in _columns().items()])


def _file(**options: Any) -> bytearray:
    return bytearray(file_of(_columns(), schema=_schema(), metadata={"k": "v"}, **options))


def _place(data: bytes | bytearray, name: str, what: str, page: int = 0, block: int = 0) -> int:
    """A byte of a column: in a block, a page index, the metadata, or an auxiliary region."""
    with lance_fmt.open(bytes(data)) as file:
        info = file.column(name)
        if what == "block":
            return info.pages[page].blocks[block][0]
        if what == "index":
            return info.pages[page].index_offset + info.pages[page].index_length // 2
        return info.metadata_offset + 5


def _lost(data: bytes, name: str) -> np.ndarray[Any, Any]:
    """Which rows of a column `File.damage` says are lost."""
    mask = np.zeros(ROWS, bool)
    with lance_fmt.open(data) as file:
        for place in file.damage(name):
            assert place.column == name
            mask[place.first_row : place.first_row + place.rows] = True
    return mask


def _check(data: bytes, hurt: set[str], start: int = 0, stop: int = ROWS) -> tuple[Damage, ...]:
    """Both ways of reading what is left; returns the damage found."""
    columns = {name: column.slice(start, stop) for name, column in _columns().items()}
    masks = {name: _lost(data, name)[start:stop] for name in columns}
    assert {name for name, mask in masks.items() if mask.any()} == hurt
    any_lost = np.any(list(masks.values()), axis=0)
    with lance_fmt.open(data) as file:
        nulled = file.read(rows=slice(start, stop), on_damage="null")
        kept = file.read(rows=slice(start, stop), on_damage="skip")
    assert nulled.num_rows == stop - start
    assert kept.num_rows == np.count_nonzero(~any_lost)
    for name, column in columns.items():
        mask = masks[name]
        assert nulled[name].take(np.flatnonzero(~mask)).equals(column.take(np.flatnonzero(~mask))), name
        assert nulled[name].take(np.flatnonzero(mask)).null_count == np.count_nonzero(mask), name
        assert kept[name].equals(column.take(np.flatnonzero(~any_lost))), name
        assert nulled.schema[name].nullable == (name == "s" or name in hurt), name
        assert kept.schema[name] == _schema()[name]
        assert nulled.schema[name].metadata == {"unit": name}
    assert nulled.damage == kept.damage
    assert {place.column for place in nulled.damage if place.rows} == hurt
    return nulled.damage


NAMES = list(_columns())
columns = pytest.mark.parametrize("name", NAMES)


def test_nothing_is_lost_of_a_whole_file() -> None:
    assert _check(bytes(_file(row_index=["n"], bloom=["s"])), set()) == ()
    with lance_fmt.open(bytes(_file())) as file:
        assert file.damage() == []
        assert all(len(file.column(name).pages) > 3 for name in NAMES)
        assert all(len(file.column(name).pages[0].blocks) > 1 for name in NAMES)


@columns
def test_a_block(name: str) -> None:
    data = _file()
    with lance_fmt.open(bytes(data)) as file:
        info = file.column(name)
    data[_place(data, name, "block", 1, 1)] ^= 4
    (place,) = _check(bytes(data), {name})
    first = info.page_rows + info.block_rows
    assert place == Damage(name, 1, 1, first, info.block_rows, info.pages[1].blocks[1][0], place.what)
    assert "checksum" in place.what
    assert str(place).startswith(f"column {name!r}, page 1, block 1, rows {first} to ")
    # Ranges that end before it, begin in it, and begin behind it.
    assert _check(bytes(data), {name}, first - 3, first + 2)[0].rows == info.block_rows
    assert _check_range_is_whole(bytes(data), first - 5, first)
    assert _check_range_is_whole(bytes(data), first + info.block_rows, ROWS)


def _check_range_is_whole(data: bytes, start: int, stop: int) -> bool:
    with lance_fmt.open(data) as file:
        table = file.read(rows=slice(start, stop), on_damage="skip")
        assert table.damage == ()
        return all(table[n].equals(c.slice(start, stop)) for n, c in _columns().items())


@columns
def test_a_page_index(name: str) -> None:
    data = _file()
    data[_place(data, name, "index", 2)] ^= 1
    (place,) = _check(bytes(data), {name})
    rows = place.rows
    assert (place.page, place.block, place.first_row) == (2, None, 2 * rows)


@columns
def test_the_metadata_of_a_column(name: str) -> None:
    data = _file()
    data[_place(data, name, "metadata")] ^= 1
    (place,) = _check(bytes(data), {name})
    assert (place.page, place.block, place.first_row, place.rows) == (None, None, 0, ROWS)
    with (
        lance_fmt.open(bytes(data)) as file,
        pytest.raises(CorruptFileError, match=f"metadata of column {name!r}"),
    ):
        file.read()


def test_two_columns() -> None:
    data = _file()
    places = [
        _place(data, "n", "block", 0, 0),
        _place(data, "s", "index", 1),
        _place(data, "s", "block", 3, 0),
    ]
    for place in places:
        data[place] ^= 0x80
    damage = _check(bytes(data), {"n", "s"})
    assert [(place.column, place.page, place.block) for place in damage] == [
        ("n", 0, 0),
        ("s", 1, None),
        ("s", 3, 0),
    ]


def test_only_the_columns_asked_for_count() -> None:
    data = _file()
    data[_place(data, "s", "block")] ^= 1
    with lance_fmt.open(bytes(data)) as file:
        assert file.read(["v", "n"], on_damage="skip").damage == ()
        assert file.read(["v", "n"])["n"].equals(_columns()["n"])
        assert file.read(["s"], on_damage="skip").num_rows < ROWS
        assert list(file.read(["s", "l"], on_damage="null")) == ["s", "l"]


@pytest.mark.parametrize("padding", [0, 80_000])
def test_the_header(padding: int, tmp_path: Path) -> None:
    """In a file that one read opens whole, and in one that it does not."""
    columns = {"n": Column.from_numpy(np.random.default_rng(0).integers(0, 2**60, 1000 + padding // 8))}
    data = bytearray(file_of(columns))
    assert (len(data) > 65536) == bool(padding)
    for at in (0, 30):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with lance_fmt.open(bytes(damaged)) as file:
            assert file.schema.names == ["n"]
            for use in (
                file.read,
                file.verify,
                lambda: file.row(0),
                lambda: file.take([1]),
                lambda: file.find("n", 1),
                lambda: next(file.batches()),
                lambda: file.column("n"),
            ):
                with pytest.raises(CorruptFileError):
                    use()
            table = file.read(on_damage="skip")
            assert table["n"].equals(columns["n"])
            (place,) = table.damage
            assert (place.column, place.rows, place.offset) == (None, 0, 0)
            assert file.damage() == [place]
            assert file.damage("n") == []
            with pytest.raises(CorruptFileError):
                file.read()
        (tmp_path / "out.lfmt").unlink(missing_ok=True)
        report = lance_fmt.salvage(bytes(damaged), tmp_path / "out.lfmt")
        assert (report.lost_columns, report.damage) == ((), (place,))
        with lance_fmt.open(tmp_path / "out.lfmt") as copy:
            copy.verify()
            assert copy.read()["n"].equals(columns["n"])


def test_a_damaged_bloom_filter_loses_no_rows() -> None:
    data = _file(bloom=["n"])
    with lance_fmt.open(bytes(data)) as file:
        (region,) = file._reader("n").meta.regions
        pages = len(file.column("n").pages)
    for at in (0, 12 * pages + 4):
        damaged = bytearray(data)
        damaged[region.offset + at] ^= 1
        with lance_fmt.open(bytes(damaged)) as file:
            with pytest.raises(
                CorruptFileError, match=r"Bloom filters? of column 'n'.*`read` without a filter"
            ):
                file.read(filter=field("n") == 3)
            with pytest.raises(CorruptFileError, match="Bloom filter"):
                file.find("n", 3)
            assert file.read(filter=field("n") < 3).num_rows == np.count_nonzero(_columns()["n"].array < 3)
            assert all(file.read()[name].equals(column) for name, column in _columns().items())
        damage = _check(bytes(damaged), set())
        assert damage == ()  # nothing that was asked for is lost
        with lance_fmt.open(bytes(damaged)) as file:
            (place,) = file.damage()
            assert (place.column, place.rows) == ("n", 0)
            assert "no rows lost" in str(place)


def test_a_damaged_row_index_loses_no_rows() -> None:
    data = _file(row_index=["n"])
    with lance_fmt.open(bytes(data)) as file:
        (region,) = file._reader("n").meta.regions
    for at in (0, region.length - 2):
        damaged = bytearray(data)
        damaged[region.offset + at] ^= 1
        with lance_fmt.open(bytes(damaged)) as file:
            for value in range(0, 1009, 50):
                wanted = np.flatnonzero(_columns()["n"].array == value).tolist()
                try:
                    assert file.find("n", value) == wanted
                except CorruptFileError as error:
                    assert "row index of column 'n'" in error.what
                    assert "`read` with a filter" in error.what
                assert file.read(filter=field("n") == value)["n"].to_pylist() == [value] * len(wanted)
            (place,) = file.damage("n")
            assert place.rows == 0
            with pytest.raises(CorruptFileError, match="row index"):
                file.verify()


@fewer
@given(st.data())
def test_damage_and_verify_agree_wherever_the_damage_lies(data: st.DataObject) -> None:
    whole = _file(row_index=["s"], bloom=["n"])
    damaged = bytearray(whole)
    found = [
        piece
        for piece in pieces(whole)
        if piece.kind in ("block", "index", "metadata", "header", "auxiliary part")
    ]
    for piece in data.draw(st.lists(st.sampled_from(found), max_size=3, unique=True)):
        damaged[data.draw(st.integers(piece.start, piece.stop - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with lance_fmt.open(bytes(damaged)) as file:
        damage = file.damage()
        try:
            file.verify()
        except CorruptFileError as error:
            assert (error.offset, error.what) in {(place.offset, place.what) for place in damage}
        else:
            assert damage == []
        by_column = [place for name in NAMES for place in file.damage(name)]
        assert by_column == [place for place in damage if place.column is not None]
    _check(bytes(damaged), {str(place.column) for place in damage if place.rows})


def test_progress_is_told_of_every_column() -> None:
    calls: list[tuple[int, int]] = []
    with lance_fmt.open(bytes(_file())) as file:
        file.damage(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, len(NAMES)) for i in range(1, len(NAMES) + 1)]


def test_a_file_that_ends_early_loses_its_last_blocks(tmp_path: Path) -> None:
    """While it is open; one that is cut before has no footer and cannot be opened."""
    path = tmp_path / "cut.lfmt"
    path.write_bytes(bytes(_file()))
    with lance_fmt.open(path) as file:
        offset = file.column("d").pages[-1].offset
        with path.open("r+b") as handle:
            handle.truncate(offset)
        table = file.read(["d"], on_damage="null")
        assert table.damage
        lost = table.damage[0].first_row
        assert table["d"].slice(0, lost).equals(_columns()["d"].slice(0, lost))


def test_refusals() -> None:
    with lance_fmt.open(bytes(_file())) as file:
        with pytest.raises(InvalidDataError, match="not one of raise, skip, null"):
            file.read(on_damage="ignore")  # type: ignore[arg-type]
        with pytest.raises(InvalidDataError, match="list of names"):
            file.read("n", on_damage="skip")
        with pytest.raises(SchemaError, match="no column"):
            file.read(["x"], on_damage="skip")
        with pytest.raises(SchemaError):
            file.read(["n", "n"], on_damage="skip")
        with pytest.raises(SchemaError, match="no column"):
            file.damage("x")
        with pytest.raises(InvalidDataError, match="take"):
            file.read(rows=[1, 2])  # type: ignore[arg-type]
