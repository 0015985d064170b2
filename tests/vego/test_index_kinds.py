"""Every kind of index in a collection: what is written, deleted, merged and opened again is found."""

from __future__ import annotations

import numpy as np
import pytest

import vego
from vego.errors import UnknownOptionError
from vego.index import HnswIndex, IvfIndex, Metric
from vego.index.kinds import IVF_KINDS, empty_index
from vego.options import INDEX_KINDS, CollectionOptions

ROWS, DIMENSION, K = 3000, 16, 10
METRICS = [metric.value for metric in Metric]


def clustered(rows, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((60, DIMENSION)) * 2
    values = centres[rng.integers(0, 60, rows)] + rng.standard_normal((rows, DIMENSION)) / 2
    return values.astype(np.float32)


def recall(docs, queries, **options):
    """The share of answers no further than the k-th of an exact search."""
    _, exact = docs.search_batch(queries, k=K, exact=True, **options)
    _, found = docs.search_batch(queries, k=K, **options)
    return float((found <= exact[:, -1:] + 1e-4 * np.abs(exact[:, -1:]) + 1e-5).mean())


@pytest.mark.parametrize("kind", sorted(IVF_KINDS))
@pytest.mark.parametrize("metric", METRICS)
def test_the_life_of_a_collection(tmp_path, kind, metric):
    vectors, queries = clustered(ROWS), clustered(ROWS + 40)[ROWS:]
    wanted = 0.8 if "rabitq" in kind else 0.95  # 16 bits say little about 16 components
    ids = [str(i) for i in range(ROWS)]
    with vego.open(tmp_path, dimension=DIMENSION, metric=metric, index=kind, background=False) as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=ids, vectors=vectors, metadata={"n": list(range(ROWS))})
        docs.build_index()
        assert docs.stats()["indexed_slots"] == ROWS
        assert recall(docs, queries) >= wanted
        assert recall(docs, queries, filter=vego.field("n") < 300) >= wanted
        assert recall(docs, queries, filter=vego.field("n") >= 300) >= wanted
        docs.delete_batch(ids[::3])
        docs.insert_batch(ids=["new"], vectors=queries[:1], metadata={"n": [-1]})
        assert metric == "ip" or docs.search(queries[0], k=1)[0].id == "new"
        docs.compact(full=True)
        docs.build_index()
        assert recall(docs, queries) >= wanted
        before = docs.search_batch(queries, k=K)
    with vego.open(tmp_path) as db:
        docs = db.collection("docs")
        assert docs.stats()["index"] == kind
        assert docs.stats()["indexed_slots"] == ROWS - ROWS // 3 + 1
        after = docs.search_batch(queries, k=K)
        np.testing.assert_array_equal(after[0], before[0])
        np.testing.assert_array_equal(after[1], before[1])
        assert not set(ids[::3]) & {hit.id for hit in docs.search(queries[0], k=200)}
    report = vego.verify(tmp_path, deep=True)
    assert report.ok, report


def test_every_option_has_an_index():
    for kind in INDEX_KINDS:
        if kind == "flat":
            continue
        index = empty_index(CollectionOptions(index=kind), Metric.L2, 5)
        assert isinstance(index, IvfIndex if kind in IVF_KINDS else HnswIndex)
        assert (index.metric, index.dimension, index.rows) == (Metric.L2, 5, 0)
    with pytest.raises(UnknownOptionError, match="ivf_pq"):
        CollectionOptions(index="ivfpq")
