"""Every kind of index over vectors in mapped files: the same answers, and nothing of a block before it was checked."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import vego
from vego.errors import CorruptionError
from vego.index import HnswIndex, IvfIndex
from vego.index.codes import CODE_KINDS
from vego.options import INDEX_KINDS
from vego.table.vectors import NOTHING_FROZEN, Chunk, Vectors, inverse_norms_of

METRICS = ["l2", "cosine", "ip"]
KINDS = ("hnsw", *CODE_KINDS)
CASES = [*itertools.product(KINDS, METRICS), ("hnsw", "l1")]
COLLECTIONS = [case for case in itertools.product(INDEX_KINDS, METRICS) if case[0] != "lsh"]
COLLECTIONS += [("auto", "l1"), ("flat", "l1")]
ROWS, DIMENSION, K, SHIFT = 2500, 16, 10, 3


def clustered(rows, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((60, DIMENSION)) * 2
    values = centres[rng.integers(0, 60, rows)] + rng.standard_normal((rows, DIMENSION)) / 2
    return values.astype(np.float32)


def mapped(vectors, cuts=(700, 1708, 2400), damaged=()):
    """Chunks that end at `cuts`, nothing of them looked at yet, then a tail; and the numbers of checked slots."""
    checked, chunks, first = [], [], 0
    for cut in cuts:

        def check(low, high, first=first, cut=cut):
            slots = range(first + (low << SHIFT), min(first + ((high + 1) << SHIFT), cut))
            if set(slots) & set(damaged):
                raise CorruptionError("data", 0, "a block does not match its checksum")
            checked.extend(slots)

        chunks.append(Chunk.mapped(vectors[first:cut].copy(), SHIFT, check, with_norms=True))
        first = cut
    tail = vectors[first:].copy()
    return Vectors(NOTHING_FROZEN.and_also(chunks), tail, inverse_norms_of(tail)), checked


def empty(kind, metric):
    return HnswIndex(metric, DIMENSION) if kind == "hnsw" else IvfIndex(metric, DIMENSION, kind)


def built(kind, metric, vectors, norms):
    index = empty(kind, metric)
    index.extend(vectors, norms, len(vectors), threads=1)
    return index


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_answers_are_those_over_one_array(kind, metric):
    vectors, queries = clustered(ROWS), clustered(40, 1)
    norms = inverse_norms_of(vectors)
    index = built(kind, metric, vectors, norms)
    accept = np.random.default_rng(3).random(ROWS) < 0.3
    rows = np.flatnonzero(accept).astype(np.uint32)
    for mask in (None, accept):
        expected = index.search_batch(vectors, norms, queries, K, 8, 20, mask)
        for threads in (1, 2):
            found = index.search_batch(mapped(vectors)[0], None, queries, K, 8, 20, mask, threads)
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
        known, checked = mapped(vectors)
        for i, query in enumerate(queries[:5]):
            one = index.search(known, None, query, K, 8, 20, mask)
            assert one[0].tolist() == expected[0][i].tolist()
            assert set(one[0][one[0] < 2400].tolist()) <= set(checked)
        assert len(checked) == len(set(checked))
    expected = index.scan_codes(vectors, norms, queries[0], K, 20, rows)
    found = index.scan_codes(mapped(vectors)[0], None, queries[0], K, 20, rows)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_an_index_is_built_as_over_one_array(kind, metric):
    vectors = clustered(ROWS)
    columns, metadata = built(kind, metric, vectors, inverse_norms_of(vectors)).to_columns()
    index = empty(kind, metric)
    index.extend(mapped(vectors)[0], None, ROWS, threads=1)
    found = index.to_columns()
    assert found[1] == metadata
    for name, column in columns.items():
        assert found[0][name].equals(column), name


@pytest.mark.parametrize("kind", CODE_KINDS)
def test_damage_is_met_only_where_rows_are_scored(kind):
    vectors = clustered(ROWS)
    index = built(kind, "cosine", vectors, inverse_norms_of(vectors))
    known, _ = mapped(vectors, damaged=[1001])
    for query in (vectors[1001], vectors[1002]):
        with pytest.raises(CorruptionError, match="checksum"):
            index.search(known, None, query, 3)
    apart = np.arange(ROWS) // 8 != (1001 - 700) // 8 + 700 // 8
    apart[990:1012] = False
    slots, _ = index.search(known, None, vectors[1001], 3, accept=apart)
    assert len(slots) == 3 and apart[slots].all()
    with pytest.raises(CorruptionError, match="checksum"):
        empty(kind, "cosine").extend(known, None, ROWS)


def near(docs, queries, **options):
    """Whether answers are about as near as those of an exact search."""
    _, exact = docs.search_batch(queries, k=K, exact=True, **options)
    _, found = docs.search_batch(queries, k=K, **options)
    return float((found <= exact[:, -1:] + 1e-4 * np.abs(exact[:, -1:]) + 1e-5).mean())


@pytest.mark.parametrize(("kind", "metric"), COLLECTIONS)
def test_a_collection_in_mapped_segments(tmp_path, kind, metric):
    """Insert, update, delete, compact, with the database opened anew between any two of them."""
    rng = np.random.default_rng(5)
    rows, wanted = 4500, 0.75 if kind.endswith(("pq", "rabitq")) else 0.9  # few bits say little of 16 numbers
    vectors, queries = clustered(rows), clustered(30, 1)
    held = {f"d{n}": vectors[n] for n in range(rows)}
    numbers = {f"d{n}": n for n in range(rows)}

    def steps():
        yield lambda docs: None
        changed = rng.choice(rows, 400, replace=False).tolist()
        moved = clustered(400, 7)
        held.update({f"d{n}": vector for n, vector in zip(changed, moved, strict=True)})
        yield lambda docs: docs.upsert_batch(
            ids=[f"d{n}" for n in changed], vectors=moved, metadata={"n": changed}
        )
        gone = [f"d{n}" for n in range(0, rows, 3)]
        for name in gone:
            del held[name]
        yield lambda docs: docs.delete_batch(gone)
        yield lambda docs: docs.compact(full=True)
        more = clustered(1200, 8)
        held.update({f"e{n}": vector for n, vector in enumerate(more)})
        numbers.update({f"e{n}": n for n in range(1200)})
        yield lambda docs: docs.insert_batch(
            ids=[f"e{n}" for n in range(1200)], vectors=more, metadata={"n": list(range(1200))}
        )
        yield lambda docs: docs.build_index()
        yield lambda docs: docs.compact(full=True)

    with vego.open(tmp_path, dimension=DIMENSION, metric=metric, index=kind, background=False) as db:
        docs = db.collection("c")
        for first in range(0, rows, 1500):
            part = range(first, first + 1500)
            docs.insert_batch(
                ids=[f"d{n}" for n in part], vectors=vectors[first : first + 1500], metadata={"n": list(part)}
            )
        docs.build_index()
    for step in steps():
        with vego.open(tmp_path, background=False) as db:
            docs = db.collection("c")
            chunks = docs._state().snapshot.view.vectors._frozen.chunks
            assert not all(chunk.settled for chunk in chunks)
            step(docs)
            self_found = docs.search_batch(queries, k=K)  # the first to meet most blocks
            assert near(docs, queries) >= wanted
            for chosen in (vego.field("n") < 200, vego.field("n") >= 200):
                assert near(docs, queries, filter=chosen) >= wanted
            np.testing.assert_array_equal(docs.search_batch(queries, k=K)[0], self_found[0])
            assert len(docs) == len(held)
            for row in self_found.ids[:3]:
                for hit in docs.get_batch(list(row)):
                    assert hit.vector.tobytes() == held[hit.id].tobytes()
                    assert hit.metadata == {"n": numbers[hit.id]}
            assert docs.stats()["index"] == kind
            assert (docs.stats()["indexed_slots"] > 0) == (kind != "flat")
    report = vego.verify(tmp_path, deep=True)
    assert report.ok, report
