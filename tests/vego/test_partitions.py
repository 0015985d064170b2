"""Partitions: what a segment holds, what a filter reads, what a drop writes, and who sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vego
from tests.support.filter_strategies import expressions
from vego import names
from vego.backup import restore
from vego.index import HnswIndex, indexed_rows
from vego.query import Expr, fields_of, matches, residual
from vego.salvaging import salvage_segments
from vego.store import LocalStore
from vego.table.manifest import load_latest
from vego.table.partition import MAX_PARTITIONS, Partition
from vego.table.segment import Segment
from vego.verification import verify

DAYS = ["mon", "tue", "wed"]


def filled(path: Path, rows: int = 3_000, **options: Any) -> tuple[vego.Database, vego.Collection]:
    """`rows` documents, a third of each day, row by row in turn."""
    db = vego.open(path, background=False, durability="none", dimension=8, metric="l2")
    docs = db.collection("events", partition_by="day", **options)
    rng = np.random.default_rng(rows)
    docs.insert_batch(
        ids=[f"{row}" for row in range(rows)],
        vectors=rng.normal(size=(rows, 8)).astype(np.float32),
        metadata={
            "day": [DAYS[row % 3] for row in range(rows)],
            "n": np.arange(rows),
            "m": np.arange(rows) % 7,
        },
    )
    return db, docs


def counted_reads(segments: list[tuple[Any, str]]) -> Any:
    right = Segment.values

    def values(self: Segment, name: str) -> Any:
        segments.append((None if self.entry.partition is None else self.entry.partition.value, name))
        return right(self, name)

    return patch.object(Segment, "values", values)


def test_what_a_filter_need_not_read_is_not_read(tmp_path: Path) -> None:
    db, docs = filled(tmp_path)
    read: list[tuple[Any, str]] = []
    query = np.zeros(8)
    with db, counted_reads(read):
        assert len(docs.search(query, k=2_000, filter="day == 'tue'")) == 1_000
        assert read == []
        found = docs.search(query, k=2_000, filter="day >= 'tue' and day != 'wed' and n < 300")
        assert len(found) == 100 and read == [("tue", "n")]
        read.clear()
        docs.search(query, k=5, filter="day == 'mon' or (day == 'tue' and m == 3)")
        assert read == [("tue", "m")]
        read.clear()
        assert len(docs.search(query, k=5, filter="day == 'sun' and m == 1")) == 0
        assert len(docs.search(query, k=5, filter="day is null")) == 0
        assert read == []
        docs.search(query, k=5, filter="not (day == 'mon') and m == 1")
        assert read == [("wed", "m")]  # that of tue is there already
        plan = docs.explain(query, filter="day == 'mon' or (day == 'tue' and m == 3)")
        assert (plan.partitions, plan.pruned, plan.taken) == (3, 1, 1)
        assert "1 of 3 partitions pruned, 1 taken whole" in str(plan)
        assert "partitions" not in str(docs.explain(query))


@given(expr=expressions(), data=st.data())
def test_what_is_left_of_a_filter_is_the_filter(expr: Expr, data: st.DataObject) -> None:
    names_ = sorted(fields_of(expr))
    values = st.sampled_from([None, True, False, 0, 1, -3, "a", "1", "2020-01-01", ""])
    key = data.draw(st.sampled_from(names_))
    known = {key: data.draw(values)}
    rest = residual(expr, known)
    for _ in range(5):
        others = {name: data.draw(values) for name in names_ if name != key}
        whole = matches(expr, others | known)
        assert whole == (matches(rest, others) if isinstance(rest, Expr) else rest)
    if isinstance(rest, Expr):
        assert key not in fields_of(rest)


def test_every_segment_is_of_one_partition(tmp_path: Path) -> None:
    db, docs = filled(tmp_path, flush_bytes=100_000)
    with db:
        for number in range(60):
            value = ["mon", 1, "1", True, None, False][number % 6]
            docs.upsert(id=f"{number}", vector=np.ones(8), metadata={"day": value, "n": number})
        docs.flush()
        values = [(one.value, one.documents) for one in docs.partitions()]
        assert values == [
            (None, 10), (False, 10), (True, 10), (1, 10), ("1", 10), ("mon", 990), ("tue", 980), ("wed", 980)
        ]  # fmt: skip
        assert [type(value) for value, _ in values[1:5]] == [bool, bool, int, str]
        for segment in docs._created().rows.segments:
            (value,) = {segment.metadata(row).get("day") for row in range(segment.rows)}
            assert segment.entry.partition == Partition(value)
        docs.compact(full=True)
        assert [one.segments for one in docs.partitions()] == [1] * 8
        assert docs.get("3").metadata == {"day": True, "n": 3}
        assert docs.stats()["partitions"] == 8
        docs.update("3", metadata={"day": "tue"})
        assert {one.value: one.documents for one in docs.partitions()}["tue"] == 981
        assert len(docs.search(np.ones(8), k=99, filter="day == true")) == 9


def test_small_shares_wait_in_the_buffer(tmp_path: Path) -> None:
    with vego.open(tmp_path, dimension=4, background=False, durability="none") as db:
        docs = db.collection("c", partition_by="tenant")
        docs.insert_batch(
            ids=[f"{i}" for i in range(2_000)],
            vectors=np.ones((2_000, 4)),
            metadata={"tenant": [i % 100 for i in range(2_000)]},
        )
        assert docs.stats()["segments"] == 0 and docs.stats()["buffered_rows"] == 2_000
        docs.insert_batch(vectors=np.ones((2_000, 4)), metadata={"tenant": [i % 2 for i in range(2_000)]})
        assert docs.stats()["segments"] == 102  # the buffer, and two large shares of its own
        assert [one.documents for one in docs.partitions()] == [1_020, 1_020] + [20] * 98
        with pytest.raises(vego.InvalidArgumentError, match=f"{MAX_PARTITIONS:,} at most"):
            docs.insert_batch(
                vectors=np.ones((MAX_PARTITIONS, 4)),
                metadata={"tenant": list(range(50, 50 + MAX_PARTITIONS))},
            )
        assert len(docs) == 4_000
        docs.drop_partition(0)
        docs.insert_batch(vectors=np.ones((901, 4)), metadata={"tenant": list(range(100, 1_001))})
        with pytest.raises(vego.InvalidArgumentError, match="drop some"):
            docs.insert(vector=np.ones(4), metadata={"tenant": "one more"})


@pytest.mark.parametrize(
    ("value", "what"),
    [(1.5, "float 1.5"), ([1], "list"), ({"a": 1}, "dict"), (b"x", "bytes"), (1 << 63, "64 bits"),
     (np.float32(2), "float"), ("x" * 513, "512 bytes"), (np.nan, "float nan")],
)  # fmt: skip
def test_values_that_are_no_partitions(tmp_path: Path, value: Any, what: str) -> None:
    with vego.open(tmp_path, dimension=2, background=False) as db:
        docs = db.collection("c", partition_by="p")
        docs.insert(id="a", vector=[1, 2], metadata={"p": "x"})
        good = {"id": "b", "vector": [1, 2], "metadata": {"p": 1}}
        bad = {"id": "c", "vector": [1, 2], "metadata": {"p": value}}
        calls: list[Callable[[], object]] = [
            lambda: docs.insert(id="b", vector=[1, 2], metadata={"p": value}),
            lambda: docs.upsert(id="a", vector=[1, 2], metadata={"p": value}),
            lambda: docs.update("a", metadata={"p": value}),
            lambda: docs.drop_partition(value),
        ]
        for call in calls:
            with pytest.raises(vego.InvalidMetadataError, match=what):
                call()
        with pytest.raises(vego.InvalidMetadataError, match=f"row 1.*'c'.*'p'.*{what}"):
            docs.insert_batch([good, bad])
        columns = {"p": [1, value]} if not isinstance(value, float) else {"p": np.array([value, value])}
        with pytest.raises(vego.InvalidMetadataError, match=what):
            docs.insert_batch(ids=["b", "c"], vectors=np.ones((2, 2)), metadata=columns)
        with pytest.raises(vego.InvalidMetadataError, match=what), docs.transaction() as changes:
            changes.upsert(id="d", vector=[1, 2], metadata={"p": value})
        outcome = docs.insert_valid([good, bad])
        assert outcome.ids == ["b"] and [one.row for one in outcome.rejected] == [1]
        assert len(docs) == 2


def test_the_key_is_fixed(tmp_path: Path) -> None:
    with vego.open(tmp_path, dimension=2, partition_by="p") as db:
        docs = db.collection("c")
        docs.insert(vector=[1, 2], metadata={"p": 1})
        assert db.collection("plain", partition_by=None).options.partition_by is None
        with pytest.raises(vego.InvalidArgumentError, match=r"no partitions.*partition_by=KEY"):
            db.collection("plain").partitions()
        with pytest.raises(vego.InvalidArgumentError, match="no partitions"):
            db.collection("plain").drop_partition(1)
        for wrong in ("", "$id", 5, "x" * 300):
            with pytest.raises(vego.UnknownOptionError, match="partition_by"):
                db.collection("other", partition_by=wrong)
    with vego.open(tmp_path) as db:
        with pytest.raises(vego.InvalidArgumentError, match="partition_by='p', not 'q'"):
            db.collection("c", partition_by="q")
        with pytest.raises(vego.InvalidArgumentError, match="partition_by='p', not None"):
            db.collection("c", partition_by=None)
        with pytest.raises(vego.InvalidArgumentError, match="partition_by=None, not 'p'"):
            db.collection("plain", partition_by="p")
        assert db.collection("c", partition_by="p").partitions()[0].value == 1
        assert db.collection("empty", partition_by="p").partitions() == []
        assert db.collection("empty").drop_partition(3) == 0


def written(path: Path) -> set[Path]:
    return {one for one in path.rglob("*") if one.is_file()}


def test_a_drop_writes_one_manifest(tmp_path: Path) -> None:
    db, docs = filled(tmp_path, index="flat")
    with db, patch.object(indexed_rows.IndexedRows, "_segments_to_merge", return_value=False):
        docs.tag("before")
        reader = docs.at(tag="before")
        found = docs.search(np.zeros(8), k=1)[0]
        before, version = written(tmp_path), docs.stats()["version"]
        assert docs.drop_partition("tue") == 1_000
        (new,) = written(tmp_path) - before
        assert new.suffix == ".manifest" and docs.stats()["version"] == version + 1
        assert len(docs) == 2_000 and "1" not in docs and docs.get("1") is None
        assert [one.value for one in docs.partitions()] == ["mon", "wed"]
        assert docs.stats()["dead_slots"] == 1_000
        assert docs.drop_partition("tue") == 0 and docs.stats()["version"] == version + 1
        assert found.document.id in reader and len(reader) == len(docs.at(tag="before")) == 3_000
        assert reader.get("1").metadata["day"] == "tue"
        docs.insert(id="1", vector=np.ones(8), metadata={"day": "tue"})
        with vego.open(tmp_path, read_only=True) as other:
            assert len(other.collection("events")) == 2_001
            assert other.collection("events").get("1").metadata == {"day": "tue"}
    report = verify(tmp_path, deep=True)
    assert report.ok, report.findings
    with vego.open(tmp_path, background=False) as db:
        docs = db.collection("events")
        assert docs.stats()["dead_slots"] == 1_000
        docs.restore(tag="before")
        assert len(docs) == 3_000 and docs.get("1").metadata["n"] == 1
        docs.drop_partition("mon")
        docs.untag("before")
        docs.optimize()
        assert docs.stats()["dead_slots"] == 0
        files = [path for path in written(tmp_path) if path.suffix == ".lfmt" and path.parent.name == "data"]
        assert len(files) == 2, "space comes back"


def test_the_graph_goes_on_after_drops_and_merges(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(9_000, 16)).astype(np.float32)
    with vego.open(tmp_path, dimension=16, metric="l2", background=False, durability="none") as db:
        docs = db.collection("c", partition_by="p")
        for part in range(6):
            rows = range(1_500 * part, 1_500 * (part + 1))
            docs.insert_batch(
                ids=[str(row) for row in rows],
                vectors=vectors[rows],
                metadata={"p": [row % 3 for row in rows]},
            )
        assert docs.stats()["indexed_slots"] >= 8_000
        docs.build_index()
        docs.drop_partition(1)
        assert docs.stats()["dead_slots"] == 0, "the hole is gone"
        docs.compact(full=True)
        assert docs.stats()["segments"] == 2 and docs.stats()["indexed_slots"] == 6_000
        left = np.flatnonzero(np.arange(9_000) % 3 != 1)
        queries = rng.normal(size=(50, 16)).astype(np.float32)
        found = docs.search_batch(queries, k=10, ef=128)
        assert docs.explain(queries[0]).strategy == "graph"
        for query, ids in zip(queries, found.ids, strict=True):
            exact = left[np.argsort(((vectors[left] - query) ** 2).sum(1))[:10]]
            assert len({int(one) for one in ids} & set(exact.tolist())) >= 8
    report = verify(tmp_path, deep=True)
    assert report.ok and report.collections[0].recall > 0.9


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("of", [0, 1])
def test_a_drop_while_segments_are_rewritten(tmp_path: Path, of: int, again: bool) -> None:
    """Of the partition itself, or of another one that comes first."""
    with vego.open(tmp_path, dimension=2, background=False, durability="none") as db:
        docs = db.collection("c", partition_by="p", index="flat")
        for turn in range(6):
            docs.insert_batch(
                ids=[f"{turn} {row}" for row in range(20)], vectors=np.ones((20, 2)),
                metadata={"p": [row % 2 for row in range(20)]},
            )  # fmt: skip
            with patch.object(indexed_rows.IndexedRows, "_segments_to_merge", return_value=False):
                docs.flush()
        right = indexed_rows.rewrite

        def meanwhile(*arguments: Any) -> Any:
            done = right(*arguments)
            _, _, segments, _, runs, *_ = arguments
            if segments[runs[0][0]].entry.partition != Partition(of):
                return done
            with patch.object(indexed_rows.IndexedRows, "_segments_to_merge", return_value=False):
                assert docs.drop_partition(1) == 60
                if again:
                    docs.insert(id="new", vector=[1, 2], metadata={"p": 1})
            return done

        with patch.object(indexed_rows, "rewrite", meanwhile):
            docs.compact(full=True)
        assert len(docs) == 60 + again and {hit.metadata["p"] for hit in docs.search([1, 1], k=60)} <= {0, 1}
        assert all((f"{turn} {row}" in docs) == (row % 2 == 0) for turn in range(6) for row in range(20))
        docs.compact(full=True)
        assert docs.stats()["dead_slots"] == 0 and ("new" in docs) == again
    with vego.open(tmp_path) as db:
        assert len(db.collection("c")) == 60 + again


def test_writers_that_share(tmp_path: Path) -> None:
    """What was committed before a drop is dropped, what comes after it stays; nobody loses anything else."""
    options = {"shared": True, "dimension": 2, "background": False}
    with vego.open(tmp_path, **options) as first, vego.open(tmp_path, **options) as second:
        one = first.collection("c", partition_by="p")
        one.insert_batch(ids=list("abcd"), vectors=np.ones((4, 2)), metadata={"p": [1, 2, 1, 2]})
        other = second.collection("c", partition_by="p")
        other.insert(id="e", vector=[1, 2], metadata={"p": 1})
        assert one.drop_partition(1) == 3
        other.insert(id="f", vector=[1, 2], metadata={"p": 1})
        first.refresh()
        assert sorted(hit.id for hit in one.search([1, 1], k=9)) == ["b", "d", "f"]
        assert other.get("a") is None and len(other) == 3

        right = indexed_rows.RowStore.drop_partition
        turns = []

        def late(self: Any, partition: Partition) -> int:
            if not turns:
                turns.append(other.insert(id="g", vector=[1, 2], metadata={"p": 2}))
            return right(self, partition)

        with patch.object(indexed_rows.RowStore, "drop_partition", late):
            assert one.drop_partition(2) == 3, "the insert was faster, so it is dropped as well"
        assert sorted(hit.id for hit in one.search([1, 1], k=9)) == ["f"]
        other.insert_batch(ids=list("xyz"), vectors=np.ones((3, 2)), metadata={"p": [1, 2, "z"]})
        one.compact(full=True)
        second.refresh()
        assert sorted(hit.id for hit in other.search([1, 1], k=9)) == ["f", "x", "y", "z"]
        assert other.stats()["dead_slots"] == 0
    assert verify(tmp_path, deep=True).ok


def test_backup_and_restore(tmp_path: Path) -> None:
    db, docs = filled(tmp_path / "db")
    with db:
        docs.tag("all")
        docs.drop_partition("mon")
        docs.insert(id="new", vector=np.ones(8), metadata={"day": 7})
        db.backup(tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "again")
    for path in (tmp_path / "copy", tmp_path / "again"):
        assert verify(path, deep=True).ok
        with vego.open(path, read_only=True) as db:
            docs = db.collection("events")
            assert [one.value for one in docs.partitions()] == [7, "tue", "wed"]
            assert len(docs) == 2_001 and len(docs.at(tag="all")) == 3_000


def test_rows_of_another_partition_are_damage(tmp_path: Path) -> None:
    db, _ = filled(tmp_path)
    db.close()
    store = LocalStore(tmp_path)
    manifest = load_latest(store, "events")
    assert manifest is not None
    mon, tue, *rest = manifest.segments
    swapped = replace(
        manifest,
        segments=(replace(mon, partition=tue.partition), replace(tue, partition=mon.partition), *rest),
    )
    path = tmp_path / names.manifest_path("events", manifest.version)
    path.write_bytes(swapped.to_bytes())
    report = verify(tmp_path)
    assert len(report.findings) == 2
    assert any("'tue' expected, found 'mon'" in found.what for found in report.findings)


def test_salvage_knows_what_the_column_said(tmp_path: Path) -> None:
    db, docs = filled(tmp_path)
    with db:
        docs.drop_partition("mon")
        path = tmp_path / docs._created().rows.segments[0].path
    data = bytearray(path.read_bytes())
    offset = data.find(b"tue")
    assert offset > 0
    data[offset] ^= 1
    path.write_bytes(bytes(data))
    assert not verify(tmp_path, deep=True).ok
    done = salvage_segments(tmp_path, "events")
    assert done.lost_rows == 0
    with vego.open(tmp_path) as db:
        docs = db.collection("events")
        assert docs.get("1").metadata == {"day": "tue", "n": 1, "m": 1}
        assert len(docs.search(np.zeros(8), k=1_500, filter="day == 'tue'")) == 1_000
        docs.vacuum(2)
    report = verify(tmp_path, deep=True)
    assert report.ok, report.findings


# -- threads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "none"])
def test_readers_while_slots_move(tmp_path: Path, durability: str) -> None:
    """Flushes sort the buffer, compactions move segments, drops make holes: every answer is of one moment."""
    wrong: list[object] = []
    done = Event()

    def read(docs: vego.Collection, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            while not done.is_set():
                number = int(rng.integers(0, 600))
                found = docs.get(f"{number}")
                if found is not None and (found.metadata["n"], found.vector[0]) != (number, number):
                    wrong.append(found)
                part = int(rng.integers(0, 4))
                for hit in docs.search([number, 0], k=5, filter=f"p == {part}"):
                    if hit.metadata["p"] != part or hit.document.vector[0] != int(hit.id):
                        wrong.append(hit.document)
        except BaseException as error:
            wrong.append(error)
            raise

    with vego.open(tmp_path, dimension=2, metric="l2", durability=durability, flush_bytes=3_000) as db:
        docs = db.collection("c", partition_by="p")
        docs.insert(id="0", vector=[0, 1], metadata={"p": 0, "n": 0})
        threads = [Thread(target=read, args=(docs, seed)) for seed in range(2)]
        for one in threads:
            one.start()
        try:
            expected: dict[int, int] = {0: 0}
            for turn in range(600):
                part = turn * 7 % 4
                docs.upsert(id=f"{turn}", vector=[turn, 1], metadata={"p": part, "n": turn})
                expected[turn] = part
                if turn % 150 == 149:
                    docs.drop_partition(part)
                    expected = {n: p for n, p in expected.items() if p != part}
        finally:
            done.set()
            for one in threads:
                one.join()
        assert wrong == []
        assert {int(name) for name in docs.to_table(["id"])["id"].to_pylist()} == expected.keys()


def test_the_graph_does_not_grow_over_holes(tmp_path: Path) -> None:
    """A partition that was dropped before the graph covered it leaves no nodes."""
    with vego.open(tmp_path, dimension=4, metric="l2", background=False, durability="none") as db:
        docs = db.collection("c", partition_by="p")
        vectors = np.random.default_rng(1).normal(size=(4_000, 4))
        grown: list[int] = []
        right = HnswIndex.extend

        def extend(self: Any, vectors: Any, norms: Any, stop: int, **options: Any) -> int:
            grown.append(stop)
            return right(self, vectors, norms, stop, **options)

        never = patch.object(indexed_rows.IndexedRows, "_waiting", return_value=False)
        alone = patch.object(indexed_rows.IndexedRows, "_segments_to_merge", return_value=False)
        with never, alone:
            docs.insert_batch(vectors=vectors[:2_000], metadata={"p": [1] * 2_000})
            docs.insert_batch(vectors=vectors[2_000:], metadata={"p": [2] * 2_000})
            assert docs.drop_partition(1) == 2_000
        with patch.object(HnswIndex, "extend", extend):
            docs.insert_batch(vectors=vectors[:1_500], metadata={"p": [3] * 1_500})
            docs.build_index()
        assert grown and max(grown) == 3_500
        assert (docs.stats()["indexed_slots"], docs.stats()["dead_slots"]) == (3_500, 0)
        assert len(docs.search(vectors[0], k=3_500)) == 3_500


def test_a_large_batch_replaces_buffered_rows(tmp_path: Path) -> None:
    """The commit that adds it flushes the buffer, whose rows change places; the right ones die."""
    with vego.open(tmp_path, dimension=2, background=False, durability="none", index="flat") as db:
        docs = db.collection("c", partition_by="p")
        ids = [f"{row}" for row in range(40)]
        docs.insert_batch(ids=ids, vectors=np.ones((40, 2)), metadata={"p": [row % 4 for row in range(40)]})
        more = [*ids[5:25], *(f"new {row}" for row in range(1_480))]
        docs.upsert_batch(ids=more, vectors=np.full((1_500, 2), 2), metadata={"p": [9] * 1_500})
        for moment in range(2):
            assert len(docs) == 1_520 and len(docs.search([1, 1], k=2_000)) == 1_520
            for row, name in enumerate(ids):
                found = docs.get(name)
                assert found is not None
                assert (found.metadata["p"], found.vector[0]) == ((9, 2) if 5 <= row < 25 else (row % 4, 1))
            assert [one.documents for one in docs.partitions()] == [5, 5, 5, 5, 1_500]
            if not moment:
                docs.compact(full=True)
