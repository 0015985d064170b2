"""The graph on the disk: what it finds, in how many parts it is, and what its file says."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column
from tests.support import golden_disk_index as golden
from tests.support.index_damage import array_change, upper_change
from vego.errors import CorruptionError, DimensionMismatchError, InvalidArgumentError, NewerVersionError
from vego.index import DiskIndex, exact_search
from vego.index.disk import DISK_METRICS
from vego.index.disk.parts import FreshPart, StoredPart
from vego.index.index_file import read_index
from vego.table.vectors import address_of, inverse_norms_of

METRICS = [metric.value for metric in DISK_METRICS]
DIMENSION = 12


def surface(rows, dimension=DIMENSION, seed=0):
    """Rows near a surface of four dimensions, and the queries too."""
    turn = np.random.default_rng(99).standard_normal((4, dimension))
    rng = np.random.default_rng(seed)
    values = np.tanh(rng.standard_normal((rows, 4)) @ turn * 0.5) + 0.05 * rng.standard_normal(
        (rows, dimension)
    )
    return values.astype(np.float32)


def built(metric, vectors, **options):
    index = DiskIndex(metric, vectors.shape[1], m=6, ef_construction=40, **options)
    norms = inverse_norms_of(vectors)
    while index.rows < len(vectors):
        index.extend(vectors, norms, len(vectors), threads=1)
        index = saved(index)
    return index


def file_of(index):
    columns, metadata = index.to_columns()
    sink = io.BytesIO()
    lance_fmt.write(sink, columns, metadata=metadata, level="speed")
    return sink.getvalue()


def saved(index):
    """The index that its file has: all of it on the disk."""
    again = read_index(lance_fmt.open(file_of(index)))
    assert all(isinstance(part, StoredPart) for part in again._parts)
    assert (again.rows, again.params, again.part_rows) == (index.rows, index.params, index.part_rows)
    return again


def recall(index, vectors, queries, k=10, ef=64, accept=None):
    """The share found, after a look at all that must hold of an answer."""
    norms = inverse_norms_of(vectors)
    slots, distances = index.search_batch(vectors, norms, queries, k, ef, 2 * k, accept)
    allowed = np.arange(index.rows) if accept is None else np.flatnonzero(accept[: index.rows])
    true, exact = exact_search(index.metric, vectors, norms, queries, k, rows=allowed.astype(np.uint32))
    count = min(k, len(allowed))
    assert (slots[:, :count] >= 0).all() and (slots[:, count:] == -1).all()
    for row in range(len(queries)):
        found = slots[row, :count]
        assert len(set(found.tolist())) == count and set(found.tolist()) <= set(allowed.tolist())
        for slot, far in zip(found.tolist(), distances[row].tolist(), strict=False):
            where = np.flatnonzero(true[row] == slot)
            assert not len(where) or exact[row, where[0]] == np.float32(far)  # to the last bit
    assert (distances[:, 1:] >= distances[:, :-1]).all()
    limits = exact[:, count - 1 : count] if count else exact[:, :0]
    return 1.0 if not count else float((distances[:, :count] <= limits + 1e-6).mean())


@settings(max_examples=25, deadline=None)
@given(
    metric=st.sampled_from(METRICS),
    rows=st.integers(1, 1500),
    part_rows=st.sampled_from([300, 700, 10_000]),
    dimension=st.sampled_from([2, 12, 70]),
    share=st.sampled_from([None, 0.0, 0.01, 0.3, 0.9]),
    seed=st.integers(0, 1000),
)
def test_nearly_all_of_the_nearest_are_found(metric, rows, part_rows, dimension, share, seed):
    vectors, queries = surface(rows, dimension, seed), surface(10, dimension, seed + 1)
    index = built(metric, vectors, part_rows=part_rows)
    assert index.rows == rows and index.parameters()["parts"] == -(-rows // part_rows)
    accept = None if share is None else np.random.default_rng(seed).random(rows) < share
    assert recall(index, vectors, queries, accept=accept) >= (0.9 if metric != "ip" else 0.8)
    assert recall(index, vectors, queries, ef=rows) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_one_query_is_a_batch_of_one(metric):
    vectors = surface(900)
    index, norms = built(metric, vectors, part_rows=500), inverse_norms_of(vectors)
    slots, distances = index.search_batch(vectors, norms, vectors[:50], 7, 30, 20, threads=2)
    for row in range(50):
        one = index.search(vectors, norms, vectors[row], 7, 30, 20)
        np.testing.assert_array_equal(one[0], slots[row])
        np.testing.assert_array_equal(one[1], distances[row])
    assert 30 * 2 <= index.visited(vectors, norms, vectors[0], 7, 30, 20) <= 2 * 60


def test_vectors_of_the_caller_are_not_looked_at():
    vectors = surface(900)
    index = built("l2", vectors)
    nothing = np.full_like(vectors, np.nan)
    for some in (None, np.arange(900) % 2 == 0, np.arange(900) < 9):
        expected = index.search_batch(vectors, None, vectors[:20], 5, 30, 20, some)
        found = index.search_batch(nothing, None, vectors[:20], 5, 30, 20, some)
        np.testing.assert_array_equal(found, expected)
    rows = np.arange(100, 300, dtype=np.uint32)
    found = index.scan_codes(nothing, None, vectors[150], 5, 20, rows)[0]
    assert found[0] == 150 and ((found >= 100) & (found < 300)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_filter_that_leaves_what_is_far_off(metric):
    """What matches is not where the query is: a walk meets too little of it, and codes are scanned."""
    vectors = surface(4000)
    index = built(metric, vectors)
    order = np.argsort(vectors[:, 0])
    accept = np.zeros(4000, np.bool_)
    accept[order[1600:]] = True
    assert recall(index, vectors, vectors[order[:10]], accept=accept) >= 0.95


def test_a_walk_that_meets_few_matches_is_given_up(monkeypatch):
    scans, scan = [], StoredPart.scan
    monkeypatch.setattr("vego.index.disk.parts.scan_beats_reads", lambda *_: False)
    monkeypatch.setattr(StoredPart, "scan", lambda *given: scans.append(given) or scan(*given))
    vectors = surface(4000)
    index, query = built("l2", vectors), vectors[:1]
    order = np.argsort(((vectors - query) ** 2).sum(axis=1))
    accept = np.arange(4000) % 2 == 0
    assert recall(index, vectors, query, k=2, ef=32, accept=accept) == 1 and not scans
    accept = np.ones(4000, np.bool_)
    accept[order[:28]] = False  # of the 32 that a walk looks at
    assert recall(index, vectors, query, k=2, ef=32, accept=accept) == 1 and len(scans) == 1


def test_a_scan_reads_more_where_codes_are_all_alike():
    broad, narrow = 50 * surface(1000), 0.01 * surface(1000, seed=1)
    vectors = np.concatenate([broad, narrow + 40]).astype(np.float32)
    index = built("l2", vectors)
    accept = np.arange(2000) >= 1000
    assert recall(index, vectors, broad[:20], accept=accept) == 1


def test_codes_are_never_wide():
    vectors = np.random.default_rng(0).standard_normal((8192, 320)).astype(np.float32)
    index = DiskIndex("l2", 320, m=4, ef_construction=8)
    index.extend(vectors, None, 8192)
    assert index.code_width == 128  # noise, of which 128 axes say little
    assert saved(index).extend(vectors, None, 8192) == 8192


# -- parts -----------------------------------------------------------------------------------------


def sizes(index):
    return [(type(part).__name__[0], part.rows) for part in index._parts]


def test_a_part_is_extended_once_a_quarter_came_behind_it():
    vectors = surface(3000)
    index = built("l2", vectors[:1000])
    assert sizes(index) == [("S", 1000)]
    index.extend(vectors, None, 1100, threads=1)
    assert sizes(index) == [("S", 1000), ("F", 100)]
    index.extend(vectors, None, 1240, threads=1)
    assert sizes(index) == [("S", 1000), ("F", 240)]
    assert recall(index, vectors, surface(30, seed=5)) >= 0.95
    index.extend(vectors, None, 1250, threads=1)
    assert sizes(index) == [("F", 1250)]
    index = saved(index)
    index.extend(vectors, None, 1300, threads=1)
    index = saved(index)
    assert sizes(index) == [("S", 1250), ("S", 50)]
    index.extend(vectors, None, 1310, threads=1)
    assert sizes(index) == [("S", 1250), ("S", 50), ("F", 10)]
    index.extend(vectors, None, 1320, threads=1)  # both are no more than a quarter behind the first
    assert sizes(index) == [("S", 1250), ("F", 70)]
    index.extend(vectors, None, 3000, threads=1)
    assert sizes(index) == [("F", 3000)]
    assert recall(saved(index), vectors, surface(30, seed=5)) >= 0.95


def test_no_part_grows_beyond_its_bound():
    vectors = surface(2300)
    index = DiskIndex("l2", DIMENSION, m=6, ef_construction=40, part_rows=500)
    seen = []
    assert index.extend(vectors, None, 2300, threads=1, progress=lambda *now: seen.append(now)) == 500
    assert seen[-1] == (500, 2300)
    assert index.extend(vectors, None, 2300, threads=1) == 1000  # who does not save has both in memory
    assert sizes(index) == [("F", 500), ("F", 500)]
    index = saved(index)
    for stop in (1500, 2000, 2300):
        assert index.extend(vectors, None, 2300, threads=1) == stop
        index = saved(index)
    assert sizes(index) == [("S", 500)] * 4 + [("S", 300)]
    assert recall(index, vectors, surface(30, seed=5), ef=32) >= 0.95


def test_a_call_that_is_cancelled_loses_nothing():
    vectors = surface(9000)
    index = DiskIndex("l2", DIMENSION, m=4, ef_construction=12)
    index.extend(vectors, None, 6000)
    index = saved(index)
    index.extend(vectors, None, 7499)
    assert sizes(index) == [("S", 6000), ("F", 1499)]
    assert index.extend(vectors, None, 9000, cancel=lambda: True) == 7499  # a batch behind 6,000 is less
    assert sizes(index) == [("S", 6000), ("F", 1499)]
    assert recall(index, vectors, surface(30, seed=5)) >= 0.9
    fresh = DiskIndex("l2", DIMENSION, m=4, ef_construction=12)
    assert 0 < fresh.extend(vectors, None, 9000, cancel=lambda: True) < 9000


def test_a_copy_grows_by_itself():
    vectors = surface(1500)
    index = DiskIndex("l2", DIMENSION, m=6, ef_construction=40)
    index.extend(vectors, None, 800, threads=1)
    other = index.copy()
    other.extend(vectors, None, 1500, threads=1)
    assert (index.rows, other.rows) == (800, 1500)
    assert recall(index, vectors, surface(30, seed=5)) >= 0.95
    assert recall(other, vectors, surface(30, seed=5)) >= 0.95


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("fresh", [False, True])
def test_slots_are_removed(metric, fresh):
    vectors = surface(2000)
    index = built(metric, vectors[:1500], part_rows=800)
    if fresh:
        index.extend(vectors, inverse_norms_of(vectors), 1600, threads=1)
    rng = np.random.default_rng(3)
    removed = rng.random(index.rows) < 0.3
    removed[:800] &= np.arange(800) < 0  # the first part stays as it is
    smaller = index.without(removed)
    kept = vectors[: index.rows][~removed]
    assert smaller.rows == len(kept) and sizes(smaller)[0] == ("S", 800)
    assert recall(smaller, kept, surface(30, seed=5)) >= 0.9
    again = saved(smaller)
    assert recall(again, kept, surface(30, seed=5)) >= 0.9
    gone = rng.random(len(kept)) < 0.5
    twice = saved(smaller.without(gone))  # of slots that were moved before
    assert recall(twice, kept[~gone], surface(30, seed=5)) >= 0.9
    removed = np.ones(index.rows, np.bool_)
    assert index.without(removed).rows == 0
    assert index.rows == len(removed)


def test_slots_come_in_another_order():
    vectors = surface(1600)
    index = built("l2", vectors, part_rows=800)
    rng = np.random.default_rng(4)
    removed = rng.random(1600) < 0.2
    kept = np.flatnonzero(~removed)
    order = np.concatenate([rng.permutation(kept[kept < 800]), rng.permutation(kept[kept >= 800])])
    moved = saved(index.without(removed, order=order))
    assert moved.rows == len(order)
    assert recall(moved, vectors[order], surface(30, seed=5)) >= 0.9
    assert index.without(removed, order=rng.permutation(kept)).rows == 0  # nothing stays together
    mixed = np.concatenate([kept[kept < 800], kept[kept >= 800][::-1]])
    assert sizes(index.without(np.zeros(1600, np.bool_), order=np.arange(1600))) == sizes(index)
    assert index.without(removed, order=mixed).rows == len(kept)
    with pytest.raises(InvalidArgumentError, match="order"):
        index.without(removed, order=kept[:-1])
    with pytest.raises(InvalidArgumentError, match="marks"):
        index.without(removed[:-1])


def test_recall_is_measured_once():
    vectors = surface(3000)
    index = built("l2", vectors)
    assert index.effort(10, 0.95) is None and index.usual_effort(10) == (64, 20)
    assert index.calibrate(vectors, None, "2026-11-21T00:00:00+00:00")
    assert not index.calibrate(vectors, None, "later")
    ef, _ = index.effort(10, 0.95)
    assert 16 <= ef <= 64
    assert saved(index).calibration == index.calibration == index.copy().calibration


def test_what_is_asked_wrongly():
    vectors = surface(200)
    index = built("l2", vectors)
    with pytest.raises(DimensionMismatchError, match="200 rows are indexed, found 100"):
        index.search(vectors[:100], None, vectors[0], 3)
    with pytest.raises(DimensionMismatchError):
        index.search(vectors, None, vectors[0, :5], 3)
    with pytest.raises(InvalidArgumentError, match="k"):
        index.search(vectors, None, vectors[0], 0)
    with pytest.raises(InvalidArgumentError, match="stop"):
        index.extend(vectors, None, 100)
    with pytest.raises(InvalidArgumentError, match="rows"):
        index.scan_codes(vectors, None, vectors[0], 3, 20, np.array([200]))
    for wrong in (0, True, 1.5, 1 << 40):
        with pytest.raises(InvalidArgumentError, match="part_rows"):
            DiskIndex("l2", 3, part_rows=wrong)


# -- files -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(1, 10_000), (700, 10_000), (700, 300)])
def whole(request):
    rows, part_rows = request.param
    vectors = surface(rows)
    return built("cosine", vectors, part_rows=part_rows), vectors


def test_a_file_of_a_file_is_the_same(whole):
    index, vectors = whole
    data = file_of(index)
    assert file_of(saved(index)) == data
    norms = inverse_norms_of(vectors)
    for mine, others in zip(
        index.search_batch(vectors, norms, vectors[:20], 5, 30, 20),
        saved(index).search_batch(vectors, norms, vectors[:20], 5, 30, 20),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, others)
    memory = saved(index).memory()
    blocks = sum(-(-part.rows // 36) for part in index._parts)  # of 36 records of (4 + 12 + 12) words
    assert memory["records"] == 4096 * blocks
    assert memory["codes"] == index.rows * 64 and memory["links"] < 10 * index.rows + 100
    assert sum(memory.values()) == saved(index).nbytes


@pytest.mark.parametrize("inside", [(False, False), (True, False), (True, True)])
def test_a_part_with_narrow_codes_beside_one_with_wide(inside, monkeypatch):
    """And, as in large parts, one whose biases are in its codes beside one whose are not."""
    vectors = np.concatenate([surface(8192, 160), np.random.default_rng(0).standard_normal((8192, 160))])
    vectors = vectors.astype(np.float32)
    index = DiskIndex("l2", 160, m=4, ef_construction=12, part_rows=8192)
    for large in inside:
        monkeypatch.setattr("vego.index.projection.FAR_ROWS", 0 if large else 1 << 30)
        index.extend(vectors, None, len(vectors))
    assert [part.graph.scale.code_width for part in index._parts] == [64, 128]
    assert tuple(part.graph.scale.bias_in_rows for part in index._parts) == inside
    columns, metadata = index.to_columns()
    assert (metadata["version"], "bias" in columns) == (("3", False) if all(inside) else ("2", True))
    again = saved(index)
    queries = vectors[::1000]
    for mine, others in zip(
        index._parts[0].index.search_batch(vectors, None, queries, 1, 64, 64),
        again.search_batch(vectors, None, queries, 1, 64, 64),
        strict=True,
    ):
        np.testing.assert_array_equal(mine[:9], others[:9])
    assert recall(again, vectors, surface(20, 160, 3), k=5) >= 0.9


def test_an_empty_index_is_stored_too():
    again = saved(DiskIndex("ip", 5, m=7, part_rows=11))
    assert (again.rows, again.params.m, again.part_rows, again.nbytes > 0) == (0, 7, 11, False)
    assert again.search(np.empty((0, 5), np.float32), None, np.ones(5), 3)[0].tolist() == []
    vectors = surface(10, 5)
    assert again.extend(vectors, None, 10) == 10


def said(**changes):
    return lambda columns, metadata: metadata.update({k.replace("_0_", "0."): v for k, v in changes.items()})


WRONG = {
    "another format": said(format="vego-hnsw"),
    "no rows": lambda columns, metadata: metadata.pop("rows"),
    "rows fewer": said(rows="699"),
    "rows more": said(rows="701"),
    "rows no number": said(rows="-1"),
    "more parts": said(parts="2"),
    "no parts": said(parts="0"),
    "many parts": said(parts="99999"),
    "part_rows": said(part_rows="0"),
    "rows of a part": said(_0_rows="10"),
    "more rows of a part": said(_0_rows="701"),
    "code width": said(_0_code_width="128"),
    "code width 0": said(_0_code_width="0"),
    "metric": said(_0_metric="far"),
    "dimension": said(_0_dimension="13"),
    "large dimension": said(_0_dimension="1000000000"),
    "m": said(_0_m="1"),
    "other m": said(_0_m="8"),
    "entry": said(_0_entry="700"),
    "top": said(_0_top="9"),
    "version of a part": said(_0_version="0"),
    "step": said(_0_code_step="inf"),
    "centre": said(_0_code_centre="AAAA"),
    "calibration": said(calibration="[1]"),
    "records begin nowhere": lambda columns, metadata: metadata.pop("records_begin"),
    "records begin elsewhere": said(records_begin="0"),
    "records begin far off": said(records_begin="1024"),
    "records begin before": said(records_begin="-1"),
    "records in another layout": said(version="1"),
    "records of version 0": said(version="0"),
    "no records": lambda columns, metadata: columns.pop("records"),
    "no codes": lambda columns, metadata: columns.pop("codes"),
    "records of another size": array_change("records", lambda values: values[:, :16].copy()),
    "fewer records": array_change("records", lambda values: values[:-1]),
    "records of another type": array_change("records", lambda values: values.view(np.int32)),
    "codes of another type": array_change("codes", lambda values: values.view(np.int8)),
    "codes that are numbers": array_change("codes", lambda values: values[:, 0].copy()),
    "bias": array_change("bias", lambda values: values.astype(np.int64)),
    "upper link": upper_change(lambda values, offsets: values.__setitem__(0, 700)),
    "upper lengths": upper_change(lambda values, offsets: offsets.__setitem__(slice(1, None), offsets[-1])),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_contradicts_itself_is_refused(name):
    index = built("l2", surface(700))
    columns, metadata = index.to_columns()
    columns = {name: Column.from_numpy(c.array) if c.type.is_vector else c for name, c in columns.items()}
    assert DiskIndex.from_columns(columns, metadata, "right").rows == 700
    WRONG[name](columns, metadata)
    with pytest.raises(CorruptionError, match="made.lfmt"):
        DiskIndex.from_columns(columns, metadata, "made.lfmt")


def test_records_that_are_said_to_begin_elsewhere_are_damaged():
    """Where the column has room for that: no word is read that is not in it."""
    vectors = surface(700)
    columns, metadata = built("l2", vectors).to_columns()
    index = DiskIndex.from_columns(columns, metadata | {"records_begin": "1009"}, "made.lfmt")
    with pytest.raises(CorruptionError, match=r"made\.lfmt.*damaged"):
        index.search(vectors, None, vectors[0], 3)


def test_a_later_version_is_left_to_a_later_vego():
    columns, metadata = built("l2", surface(50)).to_columns()
    for changed in (said(version="4"), said(_0_version="5")):
        later = dict(metadata)
        changed(columns, later)
        with pytest.raises(NewerVersionError):
            DiskIndex.from_columns(columns, later)


def test_blocks_are_those_of_the_file(whole, tmp_path):
    """Each record in as few blocks of the file as it needs: here one."""
    index, vectors = whole
    path = tmp_path / "index.lfmt"
    columns, metadata = index.to_columns()
    lance_fmt.write(path, columns, metadata=metadata, level="speed")
    raw, place = path.read_bytes(), 4096
    for part in read_index(lance_fmt.open(path, mmap=True))._parts:
        layout = part.stored.layout
        assert address_of(part.stored.array) % 4096 == 0  # the file is mapped
        records = part.records(0, part.rows)
        for node, start in enumerate(4 * layout.starts(np.arange(part.rows)) + place):
            assert raw[start : start + 4 * layout.words] == records[node].tobytes()
            assert start // 4096 == (start + 4 * layout.words - 1) // 4096
        place += -(-part.rows // 36) * 4096
    assert len(raw) < place + len(vectors) * (4 + 64 + 80) + 10_000


@pytest.mark.parametrize("dimension", [12, 1500])
def test_records_come_in_any_pieces(dimension):
    vectors = surface(90, dimension)
    index = DiskIndex("l2", dimension, m=4, ef_construction=12, part_rows=50)
    for _ in range(2):
        index.extend(vectors, None, 90, threads=1)
    column = index.to_columns()[0]["records"]
    whole = column.array
    assert whole.shape == (90, column.type.dimension)
    assert not whole.reshape(-1)[:1008].any()
    for first in range(0, 90, 7):
        for stop in (first + 1, min(first + 13, 90), 90):
            np.testing.assert_array_equal(column.slice(first, stop).array, whole[first:stop])
    assert column.slice(5, 5).array.shape == (0, column.type.dimension)


def test_files_of_version_1_are_read():
    """Made by the code that wrote them: records one behind the other, in whole cache lines."""
    vectors = golden.vectors()
    norms = inverse_norms_of(vectors)
    index = read_index(lance_fmt.open(golden.FOLDER / "disk-v1.lfmt"))
    assert sizes(index) == [("S", 80), ("S", 40)] and index.params.m == 6
    assert index.memory()["records"] == 120 * 128
    now = saved(index)
    assert now.memory()["records"] == (3 + 2) * 4096  # 39 in a block, 80 and 40 of them
    for some in (index, now):
        for first, part in ((0, some._parts[0]), (80, some._parts[1])):
            slots = np.arange(part.rows)[::-1]
            found, inverse = part.stored.vectors(slots)
            np.testing.assert_array_equal(found, vectors[first + slots])
            np.testing.assert_array_equal(inverse, norms[first + slots])
        assert recall(some, vectors, vectors[:40] + vectors[40:80], ef=120) == 1
        assert recall(some, vectors, vectors[:40], accept=np.arange(120) % 3 == 0) == 1
        assert (
            recall(some.without(np.arange(120) % 5 == 0), vectors[np.arange(120) % 5 != 0], vectors[:9]) == 1
        )
    for mine, others in zip(
        index.search_batch(vectors, norms, vectors, 5, 8, 5), now.search_batch(vectors, norms, vectors, 5, 8, 5),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(mine, others)
    for part, other in zip(index._parts, now._parts, strict=True):
        np.testing.assert_array_equal(part.stored.links(part.rows), other.stored.links(part.rows))
        np.testing.assert_array_equal(part.records(3, 30), other.records(3, 30))


@pytest.mark.parametrize("version", [1, 2])
def test_no_flipped_byte_of_a_golden_file_is_believed(version):
    """Its records are damaged: searches say so."""
    data = bytearray((golden.FOLDER / f"disk-v{version}.lfmt").read_bytes())
    vectors = golden.vectors()
    norms = inverse_norms_of(vectors)
    right = read_index(lance_fmt.open(bytes(data))).search_batch(vectors, norms, vectors[:20], 5, 120, 5)
    assert right[0][:, 0].tolist() == list(range(20))
    refused = 0
    for place in range(4096, 4096 + 80 * 104, 11):
        data[place] ^= 16
        index = read_index(lance_fmt.open(bytes(data)))
        try:
            found = index.search_batch(vectors, norms, vectors[:20], 5, 120, 5)
        except CorruptionError as error:
            assert "damaged" in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(found, right)
        data[place] ^= 16
    assert refused > 80 * 104 // 11 * (1 if version == 1 else 0.8)


def test_no_flipped_byte_changes_an_answer():
    """Every byte of a file, a bit of it flipped: the file is refused, or a search is, or nothing is different.

    Of the zeros between records, which only `verify` looks at, some.
    """
    vectors = surface(40, 4)
    norms = inverse_norms_of(vectors)
    index = DiskIndex("cosine", 4, m=2, ef_construction=8, part_rows=25)
    index.extend(vectors, norms, 40)
    index.extend(vectors, norms, 40)
    data = file_of(index)
    accept = np.arange(40) % 3 != 0

    def answers(data):
        found = read_index(lance_fmt.open(data))
        return [
            *found.search_batch(vectors, norms, vectors, 5, 8, 5),
            *found.search_batch(vectors, norms, vectors, 5, 8, 5, accept),
        ]

    right = answers(data)
    refused = 0
    zeros = [*range(64, 4096), *range(4096 + 25 * 64, 8192), *range(8192 + 15 * 64, 12288)]
    assert not any(data[place] for place in zeros)
    places = sorted({*range(len(data))} - {*zeros}) + zeros[::41]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            found = answers(bytes(changed))
        except (
            CorruptionError,
            NewerVersionError,
            lance_fmt.CorruptFileError,
            lance_fmt.UnsupportedVersionError,
        ):
            refused += 1
            continue
        for mine, others in zip(found, right, strict=True):
            np.testing.assert_array_equal(mine, others, err_msg=f"byte {place}")
        if place in zeros:
            with pytest.raises(lance_fmt.CorruptFileError):
                lance_fmt.open(bytes(changed)).verify()
    assert refused > len(places) / 2
    assert isinstance(index._parts[0], FreshPart)
