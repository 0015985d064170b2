"""Files that are whole, but contradict each other or themselves, are found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
import vego
from lance_fmt import Column
from tests.support.verified import database_fixture, fill, newest_of, sound_fixture  # noqa: F401
from vego import names
from vego.index.hnsw import HnswIndex
from vego.store import LocalStore
from vego.table.batch import RowBatch
from vego.table.commit import AddSegment, SetDeletes, SetIndex, commit
from vego.table.manifest import DeletesEntry, IndexEntry, SegmentEntry, load_latest
from vego.table.segment import write_deletes, write_segment
from vego.wal import Put, WalWriter, read_log


def committed(path: Path, *actions: object) -> None:
    store = LocalStore(path)
    manifest = load_latest(store, "docs")
    assert manifest is not None
    commit(store, "docs", manifest, actions)  # type: ignore[arg-type]
    store.close()


def what_is_wrong(path: Path) -> str:
    (finding,) = vego.verify(path, deep=True).findings
    assert "`vego " in finding.way_out
    return finding.what


def test_an_id_in_two_rows(database: Path) -> None:
    store = LocalStore(database)
    entry = write_segment(store, "docs", RowBatch(["k9", "new"], np.ones((2, 4), np.float32), rows=[{}, {}]))
    committed(database, AddSegment(entry))
    assert "1 ids are live in two rows: 'k9'" in what_is_wrong(database)


def test_a_vector_that_is_not_finite(database: Path) -> None:
    vectors = np.array([[1, np.nan, 0, 0]], np.float32)
    entry = write_segment(LocalStore(database), "docs", RowBatch(["new"], vectors, rows=[{}]))
    committed(database, AddSegment(entry))
    assert "not finite" in what_is_wrong(database)


def test_a_segment_without_its_columns(database: Path) -> None:
    store = LocalStore(database)
    name = names.segment_file(store.new_id())
    with store.create(names.data_path("docs", name)) as file:
        summary = lance_fmt.write(
            file, {"$id": ["a"], "$vector": Column.from_numpy(np.ones((1, 5), np.float32))}
        )
        file.commit()
    entry = SegmentEntry(file=name, rows=1, length=summary.length, crc=summary.footer_crc)
    committed(database, AddSegment(entry))
    assert "vector<float32, 4>" in what_is_wrong(database)


@pytest.mark.parametrize("rows", [[60], [59, 59], [2]])
def test_a_row_mask_that_makes_no_sense(rows: list[int], database: Path) -> None:
    store = LocalStore(database)
    newest = newest_of(database)
    first = newest.segments[0]
    count = first.deletes.count if first.deletes is not None else 0
    many = [*range(10, 10 + count), *rows]
    entry = write_deletes(store, "docs", np.array(many))
    committed(database, SetDeletes(first.file, entry))
    assert "rising row numbers below 60" in what_is_wrong(database)


def test_a_row_mask_with_another_count(database: Path) -> None:
    first = newest_of(database).segments[0]
    entry = write_deletes(LocalStore(database), "docs", np.arange(20))
    wrong = DeletesEntry(file=entry.file, count=21, length=entry.length, crc=entry.crc)
    committed(database, SetDeletes(first.file, wrong))
    assert "not the file the manifest names" in what_is_wrong(database)


def with_graph(database: Path, column: str, value: int, **metadata: str) -> str:
    """What is wrong where a number of the saved graph is another, all checksums right."""
    store = LocalStore(database)
    newest = newest_of(database)
    assert newest.index is not None
    with lance_fmt.open(database / names.index_path("docs", newest.index.file)) as file:
        columns = {name: file.read()[name] for name in file.schema.names}
        facts = dict(file.metadata) | metadata
    if column:
        array = np.array(columns[column].array)
        array[(5, 0)[: array.ndim]] = value
        columns[column] = Column.from_numpy(array)
    name = names.index_file(store.new_id())
    with store.create(names.index_path("docs", name)) as new:
        summary = lance_fmt.write(new, columns, metadata=facts)
        new.commit()
    entry = IndexEntry(
        file=name, rows=newest.index.rows, length=summary.length, crc=summary.footer_crc, kind="hnsw"
    )
    committed(database, SetIndex(entry))
    (finding,) = vego.verify(database, deep=True).findings
    assert "--drop-index" in finding.way_out
    return finding.what


def test_a_graph_whose_contents_are_wrong(sound: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(sound, tmp_path / name))

    assert "past the last one" in with_graph(copy("link"), "links", 61)
    assert "of 61 sampled rows are not those of their vectors, first of row 5" in with_graph(
        copy("code"), "codes", 1
    )
    assert "of 61 sampled rows" in with_graph(copy("bias"), "bias", 1)
    assert "entry" in with_graph(copy("entry"), "", 0, entry="61")
    assert "does not belong" in with_graph(copy("metric"), "", 0, metric="l2")


@pytest.mark.parametrize("metric", ["l1", "hamming"])
def test_a_graph_of_other_codes_whose_contents_are_wrong(metric: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(3).standard_normal((60, 24))
    with vego.open(tmp_path / "db", dimension=24, metric=metric) as db:
        docs = db.collection("docs", index="hnsw", m=4, ef_construction=8)
        docs.insert_batch(ids=[str(i) for i in range(60)], vectors=rows > 0 if metric == "hamming" else rows)
        docs.build_index()
    assert vego.verify(tmp_path / "db", deep=True).ok
    for column, value in (("codes", 99), ("bias", 99)):
        copy = Path(shutil.copytree(tmp_path / "db", tmp_path / column))
        assert "1 of 60 sampled rows are not those of their vectors, first of row 5" in with_graph(
            copy, column, value
        )
    copy = Path(shutil.copytree(tmp_path / "db", tmp_path / "version"))
    assert "version 3 expected" in with_graph(copy, "", 0, version="1")


def test_a_graph_of_other_rows(database: Path) -> None:
    newest = newest_of(database)
    index = HnswIndex(newest.metric, 4, 4, 8)
    index.extend(
        np.random.default_rng(9).standard_normal((61, 4)).astype(np.float32), np.ones(61, np.float32), 61
    )
    columns, metadata = index.to_columns()
    store = LocalStore(database)
    name = names.index_file(store.new_id())
    with store.create(names.index_path("docs", name)) as file:
        summary = lance_fmt.write(file, columns, metadata=metadata)
        file.commit()
    entry = IndexEntry(file=name, rows=61, length=summary.length, crc=summary.footer_crc, kind="hnsw")
    committed(database, SetIndex(entry))
    assert "sampled rows are not those of their vectors" in what_is_wrong(database)


def test_a_write_in_the_log_that_cannot_be(database: Path) -> None:
    store = LocalStore(database)
    newest = newest_of(database)
    log = read_log(
        store,
        "docs",
        collection_id=newest.collection_id,
        first=newest.first_wal,
        flushed_lsn=newest.flushed_lsn,
    )
    writer = WalWriter.create(
        store, "docs", collection_id=newest.collection_id, number=log.next_number, first_lsn=log.next_lsn,
        previous=log.segments[-1].end,
    )  # fmt: skip
    writer.append((Put("bad", bytes(8), b"{}"),))
    writer.seal()
    assert "document 'bad': one of the documents 'bad' has an impossible vector" in what_is_wrong(database)
