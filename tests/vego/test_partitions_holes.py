"""Slots of dropped partitions: what they cost, that nobody meets them, and what the past still has of them."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vego
from tests.support.versioned import Clock, clock_fixture  # noqa: F401
from vego.index import indexed_rows
from vego.table import hole
from vego.table.compaction import order_after, runs_there
from vego.table.hole import Hole
from vego.table.ids import IdColumn
from vego.table.manifest import SegmentEntry
from vego.table.partition import Partition
from vego.table.vectors import NOTHING_FROZEN, Vectors
from vego.vector_type import Element, VectorType


def entry(number: int, rows: int, partition: int | None = 1, **fields: Any) -> SegmentEntry:
    kept = None if partition is None else Partition(partition)
    fields = {"length": 100, "crc": 1} | fields
    return SegmentEntry(file=f"{number:032x}.lfmt", rows=rows, partition=kept, **fields)


def got(docs: vego.Collection, name: str) -> vego.Document:
    found = docs.get(name)
    assert found is not None
    return found


def test_a_hole_is_one_block_of_zeros() -> None:
    there = Hole(entry(1, 1_000_000, dropped=True, length=0, crc=0), VectorType(Element.FLOAT32, 768))
    chunks = there.chunks(with_norms=True)
    assert there.chunks(with_norms=True) is chunks
    bases = {chunk.vectors.__array_interface__["data"][0] for chunk in chunks}
    assert sum(len(chunk.vectors) for chunk in chunks) == 1_000_000 and len(bases) == 1
    assert max(chunk.vectors.nbytes for chunk in chunks) <= 64 << 20
    vectors = Vectors(NOTHING_FROZEN.and_also(chunks), np.ones((1, 768), np.float32), np.ones(1, np.float32))
    slots = np.array([0, 499_999, 999_999, 1_000_000])
    assert vectors.take(slots)[:, 0].tolist() == [0, 0, 0, 1]
    assert vectors.inverse_norms(slots).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
def test_no_search_meets_a_hole(tmp_path: Path, metric: str) -> None:
    """Holes of many blocks at the front, in the middle and at the end, in the process that drops and in later ones."""
    array = np.random.default_rng(3).standard_normal((1_200, 8)).astype(np.float32)
    parts = np.arange(1_200) // 200
    left = [row for row in range(1_200) if parts[row] in (1, 4)]

    def check(docs: vego.Collection) -> None:
        for some in (None, "p == 1 or p == 4"):
            found = docs.search(-np.ones(8), k=len(left) + 1, filter=some)
            assert sorted(int(hit.id) for hit in found) == left
            assert all(np.array_equal(hit.vector, array[int(hit.id)]) for hit in found)
        assert docs.stats()["dead_slots"] == 800
        assert "0" not in docs and docs.get("1199") is None and got(docs, "200").metadata == {"p": 1}

    still = patch.object(indexed_rows.IndexedRows, "_segments_to_merge", return_value=False)
    with patch.object(hole, "_BLOCK_BYTES", 8 * 4 * 7), still:
        with vego.open(tmp_path, metric=metric, background=False, dimension=8) as db:
            docs = db.collection("c", partition_by="p", index="flat")
            ids = [f"{row}" for row in range(1_200)]
            docs.insert_batch(ids=ids, vectors=array, metadata={"p": parts.tolist()})
            assert [docs.drop_partition(part) for part in (0, 2, 3, 5)] == [200] * 4
            check(docs)
        for read_only in (True, False):
            with vego.open(tmp_path, read_only=read_only) as db:
                check(db.collection("c"))


def test_a_drop_looks_at_no_id(tmp_path: Path) -> None:
    options: dict[str, Any] = {"dimension": 2, "background": False, "durability": "none"}
    with vego.open(tmp_path, **options) as db:
        docs = db.collection("c", partition_by="p", index="flat")
        docs.insert_batch(
            ids=[f"{row}" for row in range(4_000)],
            vectors=np.ones((4_000, 2)),
            metadata={"p": [row % 2 for row in range(4_000)]},
        )
    with vego.open(tmp_path, **options) as db:
        docs = db.collection("c")
        with patch.object(IdColumn, "_loaded", side_effect=AssertionError):
            assert docs.drop_partition(0) == 2_000
        assert "0" not in docs and "1" in docs
        loaded = IdColumn._loaded
        read = []

        def counted(self: IdColumn) -> bytes:
            read.append(self.rows)
            return loaded(self)

        docs.insert(id="0", vector=[1, 2], metadata={"p": 0})
        with patch.object(IdColumn, "_loaded", counted):
            assert docs.drop_partition(1) == 2_000 and "1" not in docs and "0" in docs
        assert len(read) <= 1, "of what was dropped now, whose slots are in the table"


def test_files_of_a_dropped_partition_are_closed(tmp_path: Path) -> None:
    """They are not held open, or mapped, until somebody compacts."""
    with vego.open(tmp_path, dimension=4, background=False) as db:
        docs = db.collection("c", partition_by="p", index="flat", retain_versions=2)
        docs.insert_batch(ids=list("ab"), vectors=np.ones((2, 4)), metadata={"p": [1, 2]})
        docs.flush()
        assert got(docs, "a").metadata == {"p": 1} and len(docs.search(np.ones(4))) == 2
        (gone,) = [e.file for e in docs._rows.rows.manifest.segments if e.partition == Partition(1)]  # type: ignore[union-attr]
        maps = Path("/proc/self/maps")
        assert gone in maps.read_text()
        with patch.object(indexed_rows.IndexedRows, "_segments_to_merge", return_value=False):
            docs.drop_partition(1)
        assert len(docs) == 1  # whoever looks sees the new state, and nobody has the old one
        gc.collect()
        assert gone not in maps.read_text()


def test_branches_and_moments_of_partitions(tmp_path: Path, clock: Clock) -> None:
    """What is in the log of a moment becomes segments of one partition each; holes stay what they are."""
    with vego.open(tmp_path, dimension=2, background=False) as db:
        docs = db.collection("c", partition_by="p", retain_versions=1_000)
        docs.insert_batch(
            ids=list("abcdef"), vectors=np.ones((6, 2)), metadata={"p": [1, 2, 1, 2, None, True]}
        )
        docs.flush()
        docs.drop_partition(2)
        docs.upsert_batch(ids=list("xay"), vectors=np.ones((3, 2)), metadata={"p": [7, 2, 1]})
        docs.delete("x")
        moment = clock.now
        docs.upsert_batch(ids=list("zc"), vectors=np.ones((2, 2)), metadata={"p": [2, 7]})
        docs.flush()
        docs.drop_partition(1)
        then = {"a": 2, "c": 1, "e": None, "f": True, "y": 1}
        assert {name: got(docs.at(timestamp=moment), name).metadata["p"] for name in then} == then
        other = db.branch("c", "other", timestamp=moment)
        docs.restore(timestamp=moment)
        there = [(None, 1), (True, 1), (1, 2), (2, 1)]
        for each in (docs, other):
            assert {hit.id: hit.metadata["p"] for hit in each.search([1, 1], k=9)} == then
            assert [(one.value, one.documents) for one in each.partitions()] == there
            each.compact(full=True)
            assert each.stats()["dead_slots"] == 0 and len(each) == 5
            assert each.drop_partition(1) == 2
    assert vego.verify(tmp_path, deep=True).ok


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_runs_that_a_graph_has_grown_over_are_left_out(data: st.DataObject) -> None:
    """What `runs_there` lets through keeps what the graph covers in front; runs of a missing segment are left out."""
    count = data.draw(st.integers(1, 8))
    parts = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    rows = data.draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    entries = [entry(number, rows[number], parts[number]) for number in range(count)]
    bases = [0, *np.cumsum(rows).tolist()]
    indexed = data.draw(st.integers(0, bases[-1]))
    runs: list[Sequence[int]] = []
    for part in range(3):
        there = [number for number in range(count) if parts[number] == part]
        run = sorted(data.draw(st.sets(st.sampled_from(there)))) if there else []
        runs += [run] if run else []
    files = [[entries[number].file for number in run] for run in runs]
    missing = data.draw(st.none() | st.sampled_from(range(count)))
    now = [one for number, one in enumerate(entries) if number != missing]
    if missing is not None:
        files = [run for run in files if entries[missing].file in run]
        assert runs_there(now, files, 0) == []
        return
    found = runs_there(now, files, indexed)
    order = order_after(bases, found)
    assert set(order[:indexed].tolist()) == set(range(indexed))
    assert all(run in found for run in runs if run[0] >= np.searchsorted(bases[1:], indexed, side="right"))
