"""Hash tables of bits: what a search looks at is what is written down, and no more is missing than that says."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
import vego
from lance_fmt import Column
from vego.errors import CorruptionError, DimensionMismatchError, InvalidArgumentError, NewerVersionError
from vego.index import LshIndex, Metric, VectorIndex, exact_search
from vego.index.lsh.tables import positions_of, shape_for
from vego.table.vectors import NOTHING_FROZEN, Chunk, Vectors
from vego.vector_type import Element


def clustered(rows, dimension, seed=0, noise=0.15):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).random((40, dimension)) < 0.5
    bits = centres[rng.integers(0, 40, rows)] ^ (rng.random((rows, dimension)) < noise)
    return np.packbits(bits, axis=1)


def built(vectors, **options):
    index = LshIndex(8 * vectors.shape[1], **options)
    index.extend(vectors, None, len(vectors))
    return index


def naive_search(index, vectors, query, k, ef, accept=None):
    """(slots, distances, how many were scored), by dicts of lists."""
    tables = index.tables
    bits = np.unpackbits(vectors, axis=1)
    asked = np.unpackbits(query)
    powers = 1 << np.arange(tables.bits)
    accept = np.ones(len(vectors), bool) if accept is None else accept
    seen: set[int] = set()
    masks = sorted(range(1 << tables.bits), key=lambda mask: (mask.bit_count(), mask))
    for probe, mask in enumerate(masks):
        if probe >= ef and sum(accept[list(seen)]) >= k:
            break
        for positions in tables.positions:
            key = int((asked[positions] * powers).sum()) ^ mask
            seen.update(np.flatnonzero((bits[:, positions] * powers).sum(axis=1) == key).tolist())
    found = [slot for slot in seen if accept[slot]]
    away = {slot: int(np.bitwise_count(vectors[slot] ^ query).sum()) for slot in found}
    best = sorted(found, key=lambda slot: (away[slot], slot))[:k]
    return best, [away[slot] for slot in best], len(found)


@given(
    rows=st.integers(1, 60),
    width=st.integers(1, 12),
    k=st.integers(1, 20),
    ef=st.integers(1, 20),
    masked=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_a_search_is_as_written_down(rows, width, k, ef, masked, seed):
    rng = np.random.default_rng(seed)
    vectors = np.packbits(rng.random((rows, 8 * width)) < 0.3, axis=1)
    query = vectors[0] ^ np.packbits(rng.random(8 * width) < 0.1)
    accept = rng.random(rows) < 0.5 if masked else None
    index = built(vectors, seed=seed % 7)
    slots, distances = index.search(vectors, None, query, k, ef, accept=accept)
    expected = naive_search(index, vectors, query, k, ef, accept)
    assert (slots.tolist(), distances.tolist()) == expected[:2]
    assert index.scored(vectors, None, query, k, ef, accept) == expected[2]
    everything = index.search(vectors, None, query, k, 1 << 16, accept=accept)
    exact = exact_search(Metric.HAMMING, vectors, None, query[None], k, accept=accept)
    assert everything[0].tolist() == [slot for slot in exact[0][0].tolist() if slot >= 0]
    assert everything[1].tolist() == exact[1][0][: len(everything[1])].tolist()


def test_recall_rises_with_the_buckets_looked_at():
    vectors, queries = clustered(4_000, 128, noise=0.35), clustered(4_050, 128, noise=0.35)[4_000:]
    index = built(vectors)
    _, exact = exact_search(Metric.HAMMING, vectors, None, queries, 10)
    reached = []
    for ef in (1, 4, 16, 1 << 16):
        _, distances = index.search_batch(vectors, None, queries, 10, ef, threads=2)
        reached.append(float((distances <= exact[:, -1:]).mean()))
    assert reached == sorted(reached)
    assert reached[0] < 0.9 < reached[-1] == 1
    assert index.calibrate(vectors, None, "2026-01-01T00:00:00+00:00")
    assert not index.calibrate(vectors, None, "later")
    ef, rerank = index.effort(10, 0.95)
    _, distances = index.search_batch(vectors, None, queries, 10, ef, rerank)
    assert (distances <= exact[:, -1:]).mean() > 0.9


@pytest.mark.parametrize(
    ("dimension", "rows"), [(8, 1), (8, 10_000), (64, 0), (256, 1_000_000), (32_768, 1 << 30)]
)
def test_keys_fit_and_share_no_bit_where_there_are_enough(dimension, rows):
    tables, bits = shape_for(dimension, rows)
    assert 1 <= bits <= min(16, dimension) and 1 <= tables <= 16
    positions = positions_of(dimension, tables, bits, 3)
    assert positions.shape == (tables, bits) and 0 <= positions.min() <= positions.max() < dimension
    if tables * bits <= dimension:
        assert len(np.unique(positions)) == positions.size


def test_growing_is_building_at_once():
    vectors = clustered(3_000, 64)
    index = LshIndex(64)
    told = []
    for stop in (1, 5, 300, 300, 1_200, 3_000):
        assert (
            index.extend(vectors, None, stop, progress=lambda done, total: told.append((done, total))) == stop
        )
    assert told[-1] == (3_000, 3_000)
    assert index.extend(vectors, None, 3_000, cancel=lambda: True) == 3_000
    assert isinstance(index, VectorIndex)
    again = LshIndex(64)
    assert again.extend(vectors, None, 100, cancel=lambda: True) == 0
    again.extend(vectors, None, 3_000)
    for query in vectors[::400]:
        wide = index.search(vectors, None, query, 5, 1 << 16)
        assert wide[0].tolist() == again.search(vectors, None, query, 5, 1 << 16)[0].tolist()
    keys = index.tables.keys
    for table, (positions, order, starts) in enumerate(
        zip(index.tables.positions, index.tables.slots, index.tables.starts, strict=True)
    ):
        bits = np.unpackbits(vectors, axis=1)[:, positions]
        assert (keys[:, table] == (bits * (1 << np.arange(bits.shape[1]))).sum(axis=1)).all()
        assert sorted(order.tolist()) == list(range(3_000))
        for bucket in (0, 3, len(starts) - 2):
            there = order[starts[bucket] : starts[bucket + 1]]
            assert there.tolist() == np.flatnonzero(keys[:, table] == bucket).tolist()


@given(share=st.sampled_from([0.0, 0.3, 1.0]), shuffled=st.booleans(), seed=st.integers(0, 99))
def test_removed_slots_are_gone(share, shuffled, seed):
    rng = np.random.default_rng(seed)
    vectors = clustered(200, 40, seed)
    index = built(vectors)
    removed = rng.random(200) < share
    kept = np.flatnonzero(~removed)
    order = rng.permutation(kept) if shuffled else kept
    other = index.without(removed, order=order if shuffled else None)
    assert (index.rows, other.rows) == (200, len(kept))
    if len(kept):
        found = other.search(vectors[order], None, vectors[0], 5, 1 << 16)
        exact = exact_search(Metric.HAMMING, vectors[order], None, vectors[:1], min(5, len(kept)))
        assert found[0].tolist() == exact[0][0].tolist()
    else:
        assert other.search(vectors, None, vectors[0], 5)[0].tolist() == []


def test_blocks_are_settled_before_an_answer_comes_from_them():
    vectors = clustered(1_000, 64)
    checked = []

    def check(low, high):
        if low <= 3 <= high:
            raise CorruptionError("data", 0, "a block does not match its checksum")
        checked.extend(range(low, high + 1))

    index = built(vectors)

    def mapped(check):
        chunk = Chunk.mapped(vectors[:900].copy(), 6, check, with_norms=False)
        tail = vectors[900:].copy()
        return Vectors(NOTHING_FROZEN.and_also([chunk]), tail, np.empty(0, np.float32), Element.BIT)

    seen = []
    whole = mapped(lambda low, high: seen.extend(range(low, high + 1)))
    found = index.search(whole, None, vectors[5], 5, 1 << 16)
    assert found[0].tolist() == index.search(vectors, None, vectors[5], 5, 1 << 16)[0].tolist()
    assert sorted(set(seen)) == list(range(15))
    with pytest.raises(CorruptionError):
        index.search(mapped(check), None, vectors[5], 5, 1 << 16)


def stored(index):
    columns, metadata = index.to_columns()
    file = io.BytesIO()
    lance_fmt.write(file, columns, metadata=metadata)
    with lance_fmt.open(file.getvalue()) as found:
        return found.read(), dict(found.metadata)


def test_a_file_gives_the_index_back():
    vectors = clustered(700, 96)
    index = built(vectors, seed=5)
    index.calibrate(vectors, None, "2026-01-01T00:00:00+00:00")
    again = LshIndex.from_columns(*stored(index))
    assert (again.parameters(), again.rows, again.calibration) == (index.parameters(), 700, index.calibration)
    for ours, theirs in zip(
        index.search_batch(vectors, None, vectors[:20], 5),
        again.search_batch(vectors, None, vectors[:20], 5),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert again.extend(np.concatenate([vectors, vectors]), None, 1_400) == 1_400
    empty = LshIndex.from_columns(*stored(LshIndex(96)))
    assert (empty.rows, empty.dimension, empty.nbytes) == (0, 96, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "l2"}, {"dimension": "20"}, {"dimension": "0"}, {"bits": "17"}, {"bits": "2"}, {"tables": "3"},
        {"tables": "99"}, {"rows": "699"}, {"seed": "-1"}, {"seed": str(1 << 64)}, {"format": "vego-ivf"},
        {"bits": "x"},
    ],
)  # fmt: skip
def test_files_that_contradict_themselves_are_refused(change):
    columns, metadata = stored(built(clustered(700, 96)))
    with pytest.raises(CorruptionError, match=r"some\.lfmt"):
        LshIndex.from_columns(columns, metadata | change, "some.lfmt")


def test_other_versions_and_types_are_refused():
    columns, metadata = stored(built(clustered(700, 96)))
    with pytest.raises(NewerVersionError, match="version 2"):
        LshIndex.from_columns(columns, metadata | {"version": "2"})
    keys = Column.from_numpy(columns["keys"].to_numpy().astype(np.uint32))
    with pytest.raises(CorruptionError, match="keys"):
        LshIndex.from_columns({"keys": keys}, metadata)
    with pytest.raises(CorruptionError, match="keys"):
        LshIndex.from_columns({}, metadata)


def test_bad_arguments_are_refused():
    vectors = clustered(50, 64)
    index = built(vectors)
    with pytest.raises(InvalidArgumentError, match="multiple of 8"):
        LshIndex(20)
    with pytest.raises(InvalidArgumentError):
        index.search(vectors, None, vectors[0].astype(np.float32), 3)
    with pytest.raises(DimensionMismatchError):
        index.search(vectors, None, vectors[0][:3], 3)
    with pytest.raises(DimensionMismatchError):
        index.search(vectors[:20], None, vectors[0], 3)
    with pytest.raises(InvalidArgumentError):
        index.extend(vectors, None, 51)
    with pytest.raises(InvalidArgumentError):
        index.without(np.zeros(3, bool))


def test_the_life_of_a_collection(tmp_path):
    vectors, queries = clustered(4_000, 128), clustered(4_040, 128)[4_000:]
    ids = [str(i) for i in range(4_000)]

    def recall(docs, **options):
        _, exact = docs.search_batch(queries, 10, exact=True, **options)
        _, found = docs.search_batch(queries, 10, **options)
        return float((found <= exact[:, -1:]).mean())

    with vego.open(tmp_path / "db", metric="hamming", index="lsh", background=False) as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=ids, vectors=vectors, metadata={"n": list(range(4_000))})
        assert docs.stats()["indexed_slots"] == 4_000
        plan = docs.explain(queries[0])
        assert plan.strategy == "buckets" and 10 <= plan.visited < 4_000
        assert recall(docs) > 0.9
        assert docs.explain(queries[0], filter="n < 2000").exact
        assert recall(docs, filter="n < 3999") > 0.9
        docs.insert(id="behind", vector=queries[0], metadata={"n": 5})
        assert docs.search(queries[0], 1).ids == ["behind"]
        assert docs.explain(queries[0]).strategy == "buckets"
        docs.delete_batch(ids[:200])
        assert docs.explain(queries[0]).strategy == "buckets"
        assert not set(ids[:200]) & set(docs.search(vectors[7], 50).ids)
        docs.compact(full=True)
        docs.build_index()
        assert recall(docs) > 0.9
        assert len(docs.search_range(queries[0], 128, exact=True)) == 3_801
        assert docs.index_report().kind == "lsh" and str(docs.index_report())
        before = docs.search_batch(queries, 10)
    with vego.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        after = docs.search_batch(queries, 10)
        np.testing.assert_array_equal(after[0], before[0])
        assert docs.explain(queries[0]).indexed == 3_801
        assert docs.index_report().calibration is not None
    report = vego.verify(tmp_path / "db", deep=True)
    assert report.ok and report.collections[0].recall > 0.8, report
    with vego.open(tmp_path / "other", dimension=8) as db:
        for metric in ("l2", "cosine", "ip", "l1"):
            with pytest.raises(InvalidArgumentError, match=f"'lsh' does not work with metric '{metric}'"):
                db.collection("docs", metric=metric, index="lsh")
