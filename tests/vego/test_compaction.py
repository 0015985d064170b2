"""Compaction: what is merged when, that every document stays what it was, and that space comes back."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vego
from tests.support.compacted import DIMENSION, assert_no_rubbish, assert_same, filled, opened, size_of
from tests.support.documents import IDS, KEYS, METADATA, VALUES
from tests.support.model import same_value
from vego.table.compaction import DEAD_SHARE, LEAST_RUN, MOST_BYTES, choose_runs, steps_of
from vego.table.manifest import DeletesEntry, SegmentEntry

# -- what is merged --------------------------------------------------------------------------------


def segment(number: int, rows: int, length: int, dead: int = 0) -> SegmentEntry:
    name = f"{number:032x}"
    deletes = DeletesEntry(file=f"{name}.del", count=dead, length=1, crc=0) if dead else None
    return SegmentEntry(file=f"{name}.lfmt", rows=rows, length=length, crc=0, deletes=deletes)


def live_bytes(entry: SegmentEntry) -> int:
    dead = 0 if entry.deletes is None else entry.deletes.count
    return entry.length * (entry.rows - dead) // entry.rows


@st.composite
def segments(draw: st.DrawFn) -> list[SegmentEntry]:
    sizes = st.sampled_from([1, 2, 10, 100, 5_000]) | st.integers(1, 9_000)
    unit = draw(st.sampled_from([1, MOST_BYTES // 20_000, MOST_BYTES // 5_000]))
    found = []
    for number, rows in enumerate(draw(st.lists(sizes, max_size=20))):
        dead = draw(st.sampled_from([0, 0, 0, 1, rows // 6, rows // 5, rows // 2, rows]))
        found.append(segment(number, rows, rows * unit, dead))
    return found


def merged(entries: list[SegmentEntry], runs: list[range], first_number: int) -> list[SegmentEntry]:
    """What `entries` are once `runs` are rewritten: each as long as its live rows are."""
    after, starts = [], {run.start: run for run in runs}
    taken = {position for run in runs for position in run}
    for position, entry in enumerate(entries):
        if position in starts:
            of_run = [entries[i] for i in starts[position]]
            rows = sum(one.rows - (one.deletes.count if one.deletes else 0) for one in of_run)
            if rows:
                length = max(1, sum(map(live_bytes, of_run)))
                after.append(segment(first_number + position, rows, length))
        elif position not in taken:
            after.append(entry)
    return after


@given(segments(), st.booleans())
def test_runs_are_disjoint_neighbours_of_bounded_size(entries: list[SegmentEntry], full: bool) -> None:
    runs = choose_runs(entries, full=full)
    positions = [position for run in runs for position in run]
    assert positions == sorted(set(positions))
    assert all(0 <= position < len(entries) for position in positions)
    for run in runs:
        inside = [entries[position] for position in run]
        assert len(run) == 1 or sum(map(live_bytes, inside)) <= MOST_BYTES
        if len(run) == 1:
            deletes = inside[0].deletes
            assert deletes is not None
            assert full or deletes.count * DEAD_SHARE >= inside[0].rows
        elif not full:
            sizes = [entry.length for entry in inside]
            assert len(run) >= LEAST_RUN
            assert 2 * max(sizes) <= sum(sizes)
    untouched = [entry for position, entry in enumerate(entries) if position not in positions]
    for entry in untouched:
        assert entry.deletes is None or (not full and entry.deletes.count * DEAD_SHARE < entry.rows)


@given(segments())
def test_after_a_full_compaction_there_is_nothing_to_do(entries: list[SegmentEntry]) -> None:
    after = merged(entries, choose_runs(entries, full=True), 1000)
    assert all(entry.deletes is None for entry in after)
    assert choose_runs(after, full=True) == []


@given(segments())
@settings(max_examples=30)
def test_planning_comes_to_an_end(entries: list[SegmentEntry]) -> None:
    for turn in range(1, 40):
        runs = choose_runs(entries)
        if not runs:
            return
        before, entries = entries, merged(entries, runs, 1000 * turn)
        assert len(entries) < len(before) or sum(map(live_bytes, before)) < sum(e.length for e in before)
    raise AssertionError("the same segments are merged again and again")


@pytest.mark.parametrize("deleting", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("largest", [1, 30])
def test_rows_are_rewritten_a_logarithmic_number_of_times(deleting: float, largest: int) -> None:
    """Batches as they come, deletes of `deleting` rows for each that comes, and compaction after each batch."""
    rng = random.Random(f"{deleting} {largest}")
    alive: list[list[bool]] = []  # of the rows of each segment
    rewrites: list[list[int]] = []
    most_segments = most_rewrites = total = 0
    for _ in range(600):
        size = rng.randint(1, largest)
        total += size
        alive.append([True] * size)
        rewrites.append([0] * size)
        for _ in range(int(deleting * size)):
            one = rng.choice(alive)
            one[rng.randrange(len(one))] = False
        entries = [segment(i, len(a), 1000 * len(a), a.count(False)) for i, a in enumerate(alive)]
        for run in reversed(choose_runs(entries)):
            kept = [
                (there, count + 1)
                for position in run
                for there, count in zip(alive[position], rewrites[position], strict=True)
                if there
            ]
            alive[run.start : run.stop] = [[there for there, _ in kept]] if kept else []
            rewrites[run.start : run.stop] = [[count for _, count in kept]] if kept else []
        most_segments = max(most_segments, len(alive))
        most_rewrites = max([most_rewrites, *(count for counts in rewrites for count in counts)])
    bound = np.log2(total)
    print(
        f"{total} rows: at most {most_segments} segments, {most_rewrites} times rewritten; log2 is {bound:.1f}"
    )
    assert most_segments <= 2 * bound + LEAST_RUN
    assert most_rewrites <= 2 * bound


def test_no_segments_and_one() -> None:
    for full in (False, True):
        assert choose_runs([], full=full) == []
        assert choose_runs([segment(0, 10, 100)], full=full) == []
        assert choose_runs([segment(0, 10, 2 * MOST_BYTES, dead=5)], full=full) == [range(1)]
        assert choose_runs([segment(0, 10, 100, dead=10)], full=full) == [range(1)]
    assert choose_runs([segment(0, 10, 100, dead=1)]) == []


# -- documents stay what they were -----------------------------------------------------------------

NUMPY = st.sampled_from(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint64", "float16", "float32", "float64"]
)


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Any]:
    """Metadata that comes in as arrays."""
    dtype = np.dtype(draw(NUMPY))
    values = np.frombuffer(draw(st.binary(min_size=24, max_size=24)), np.uint8)
    return {draw(KEYS): values[: 3 * dtype.itemsize].view(dtype) if dtype.kind != "b" else values[:3] > 99}


ONE_TYPE = st.sampled_from(
    [
        st.none() | st.integers(-5, 5),
        st.none() | st.floats(),
        st.booleans(),
        st.lists(st.integers(-3, 3), max_size=2),
        st.lists(st.floats(), max_size=2),
        st.lists(st.text("ab", max_size=2), max_size=2),
        VALUES,
    ]
)


@st.composite
def batches(draw: st.DrawFn) -> Any:
    """The documents of one segment: anything, one key of one type, or arrays."""
    kind = draw(st.sampled_from(["anything", "one type", "arrays"]))
    if kind == "arrays":
        return draw(columns())
    metadata = METADATA
    if kind == "one type":
        values = draw(ONE_TYPE)
        metadata = st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2)
    return draw(st.dictionaries(IDS, metadata, min_size=1, max_size=5))


@given(
    st.lists(batches(), min_size=2, max_size=6),
    st.sets(st.integers(0, 30), max_size=6),
    st.booleans(),
)
@settings(max_examples=30)
def test_every_value_keeps_its_type(content: list[Any], deleted: set[int], buffered: bool) -> None:
    directory = Path(tempfile.mkdtemp(prefix="vego-compact-"))
    try:
        db, docs = opened(directory / "db")
        for number, batch in enumerate(content):
            if all(isinstance(value, np.ndarray) for value in batch.values()):
                ids = [f"array{number}-{row}" for row in range(3)]
                docs.insert_batch(
                    ids=ids, vectors=np.full((3, DIMENSION), number, np.float32), metadata=batch
                )
            else:
                vector = np.full(DIMENSION, number, np.float32)
                docs.upsert_batch([vego.Document(name, vector, metadata) for name, metadata in batch.items()])
            if not (buffered and number == len(content) - 1):
                docs.flush()
        names = sorted(docs.search(np.zeros(DIMENSION), k=100).ids)
        docs.delete_batch([name for position, name in enumerate(names) if position in deleted])
        before = [docs.get(name) for name in names]
        docs.compact(full=True)
        assert docs.stats()["dead_slots"] == 0
        assert docs.stats()["segments"] <= 1
        assert_documents(docs, names, before)
        db.close()
        db, docs = opened(directory / "db")
        assert_documents(docs, names, before)
        docs.compact(full=True)
        assert_documents(docs, names, before)
        db.close()
    finally:
        shutil.rmtree(directory)


def assert_documents(docs: vego.Collection, names: list[str], before: list[vego.Document | None]) -> None:
    assert len(docs) == sum(document is not None for document in before)
    for name, document in zip(names, before, strict=True):
        found = docs.get(name)
        assert (found is None) == (document is None), name
        if found is not None and document is not None:
            assert same_value(found.metadata, document.metadata), (found.metadata, document.metadata)
            assert np.array_equal(np.asarray(found.vector), np.asarray(document.vector))


def test_filters_find_the_same_before_and_after(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    for batch, values in enumerate(
        [[1, 2, None], [1.5, 2.0, 3.0], ["x", "y", "1"], [True, False, None], [[1], 2, {}]]
    ):
        for row, value in enumerate(values):
            docs.insert(id=f"{batch}-{row}", vector=[batch, row, 0, 0], metadata={"a": value, "n": batch})
        docs.insert(id=f"{batch}-without", vector=[batch, 9, 0, 0])
        docs.flush()
    docs.delete("0-0")
    filters = ["a = 2", "a >= 1.5", "a = 'x'", "a = true", "a != 2", "n in (1, 2)", "a >= 1 and n < 2"]
    before = {text: sorted(docs.search(np.zeros(4), k=50, filter=text).ids) for text in filters}
    assert before["a = 2"]
    for _ in range(2):
        docs.compact(full=True)
        assert {text: sorted(docs.search(np.zeros(4), k=50, filter=text).ids) for text in filters} == before
        db.close()
        db, docs = opened(tmp_path / "db")
    db.close()


# -- space -----------------------------------------------------------------------------------------


def test_the_space_of_what_was_deleted_comes_back(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    rng = np.random.default_rng(2)
    for batch in range(5):
        docs.insert_batch(
            ids=[f"{batch}-{row}" for row in range(1200)],
            vectors=rng.standard_normal((1200, DIMENSION)),
            metadata={"text": [f"some text {rng.random()}" for _ in range(1200)]},
        )
    docs.build_index()
    gone = [f"{batch}-{row}" for batch in range(5) for row in range(1200) if (row + batch) % 5 < 3]
    docs.delete_batch(gone)
    docs.flush()
    before = size_of(tmp_path / "db")
    report = docs.compact(full=True)
    collected = docs.vacuum(2)
    after = size_of(tmp_path / "db")
    print(f"{before:,} bytes, after deleting 60 % and compaction {after:,}: {1 - after / before:.1%} less")
    assert after <= 0.7 * before
    assert report.dropped_rows == len(gone)
    assert report.segments_before > report.segments_after == 1
    assert report.bytes_after < 0.5 * report.bytes_before
    assert collected.bytes >= report.bytes_before
    assert len(docs) == 2400
    db.close()
    assert_no_rubbish(tmp_path / "db")


def test_the_graph_goes_on_after_a_compaction(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((3000, DIMENSION)).astype(np.float32)
    docs.insert_batch(ids=[str(row) for row in range(3000)], vectors=vectors)
    docs.delete_batch([str(row) for row in range(0, 3000, 2)])
    docs.compact(full=True)
    assert docs.stats()["indexed_slots"] == 1500
    docs.insert_batch(ids=[f"new{row}" for row in range(1100)], vectors=vectors[:1100] + 1)
    docs.build_index()
    for _ in range(2):
        assert docs.stats()["indexed_slots"] == 2600
        found = [docs.search(vectors[row], k=1, ef=200).ids for row in range(1, 600, 2)]
        assert np.mean([ids == [str(row)] for ids, row in zip(found, range(1, 600, 2), strict=True)]) >= 0.99
        db.close()
        db, docs = opened(tmp_path / "db")
    db.close()


def test_reports_and_progress(tmp_path: Path) -> None:
    model = filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db")
    steps: list[tuple[int, int]] = []
    report = docs.compact(full=True, progress=lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1] > 0
    assert (report.segments_before > 1, report.segments_after, report.dropped_rows) == (True, 1, 60)
    again = docs.compact(full=True)
    assert (again.segments_before, again.segments_after, again.dropped_rows) == (1, 1, 0)
    assert again.bytes_before == again.bytes_after == report.bytes_after
    assert docs.compact().dropped_rows == 0
    empty = db.collection("empty").compact(full=True)
    assert (empty.segments_before, empty.bytes_after) == (0, 0)
    assert_same(docs, model)
    db.close()
    with vego.open(tmp_path / "db", read_only=True) as db:
        with pytest.raises(vego.ReadOnlyError):
            db.collection("c").compact()
        assert_same(db.collection("c"), model)


@pytest.mark.parametrize("seed", range(5))
def test_steps(seed: int) -> None:
    """Every run is in one step, in order; a step ends with the run that makes it as large as it has to be."""
    rng = random.Random(seed)
    entries = [segment(n, 10, rng.randrange(1, 100)) for n in range(40)]
    runs = [range(start, start + rng.randint(1, 4)) for start in range(0, 36, 4)]
    for least in (0, 1, 50, 200, 10_000):
        steps = steps_of(entries, runs, least)
        assert [run for step in steps for run in step] == runs
        for step in steps:
            sizes = [sum(entries[position].length for position in run) for run in step]
            assert sum(sizes[:-1]) < least or len(step) == 1
            assert sum(sizes) >= least or step is steps[-1]
    assert steps_of(entries, [], 100) == []
