from __future__ import annotations

import io

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column
from tests.support.index_damage import array_change, metadata_change, put
from vego.errors import CorruptionError, NewerVersionError
from vego.index.codes import CODE_KINDS
from vego.index.ivf import IvfIndex

ROWS = 700
METRICS = ["l2", "cosine", "ip"]


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((ROWS + 300, 10)).astype(np.float32)


def norms(vectors):
    return (1 / np.linalg.norm(vectors, axis=1)).astype(np.float32)


def built(vectors, metric="l2", code="pq"):
    index = IvfIndex(metric, 10, code=code, seed=7)
    index.extend(vectors, norms(vectors), ROWS, threads=1)
    return index


@pytest.fixture(scope="module")
def stored(vectors):
    return built(vectors).to_columns()


def contents(index):
    lists = index._lists
    arrays = [lists.centroids, lists.scale.centre, lists.list_of, lists.starts, lists.members]
    probing = lists.probing
    return [*arrays, *lists.arrays.values(), *probing.frame, *probing._replace(frame=())]


@pytest.mark.parametrize("code", CODE_KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_a_file_gives_the_index_back(vectors, metric, code):
    index = built(vectors, metric, code)
    columns, metadata = index.to_columns()
    buffer = io.BytesIO()
    lance_fmt.write(buffer, columns, metadata=metadata)
    with lance_fmt.open(buffer.getvalue()) as file:
        again = IvfIndex.from_columns(file.read(), dict(file.metadata))
    assert (again.params, again.rows, again.lists) == (index.params, index.rows, index.lists)
    for a, b in zip(contents(index), contents(again), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, column in again.to_columns()[0].items():
        assert column.equals(columns[name]), name
    assert again.to_columns()[1] == metadata
    for each in (index, again):
        each.extend(vectors, norms(vectors), len(vectors), threads=1)
    for a, b in zip(contents(index), contents(again), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("code", CODE_KINDS)
@pytest.mark.parametrize("rows", [1, 3])
def test_few_rows_hold_what_was_learned(vectors, code, rows):
    index = IvfIndex("l2", 10, code=code)
    index.extend(vectors, None, rows)
    loaded = IvfIndex.from_columns(*index.to_columns())
    for a, b in zip(contents(index), contents(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_empty_index_is_stored_too(vectors):
    loaded = IvfIndex.from_columns(*IvfIndex("l2", 10).to_columns())
    assert loaded.rows == 0
    assert loaded.search(vectors, None, vectors[0], 3)[0].tolist() == []
    loaded.extend(vectors, None, 300, threads=1)
    assert loaded.search(vectors, None, vectors[5], 1)[0].tolist() == [5]


def trained_change(value=None, offset=None, dtype=None):
    def apply(columns, metadata):
        column = columns["trained"]
        values, offsets = column.child.array.copy(), column.bounds.copy()
        kind = column.child.type
        if value is not None:
            values[value[0]] = value[1]
        if offset is not None:
            offsets[offset[0]] = offset[1]
        if dtype is not None:
            values, kind = values.astype(dtype), lance_fmt.float64()
        columns["trained"] = Column(lance_fmt.list_(kind), Column(kind, values), offsets)

    return apply


DAMAGE = {
    "a list past the last one": array_change("list", put(5, 1000)),
    "the list after the last one": lambda c, m: array_change("list", put(5, int(m["centroids"])))(c, m),
    "lists of another type": array_change("list", lambda v: v.astype(np.int64)),
    "too few lists": array_change("list", lambda v: v[:-1]),
    "list missing": lambda columns, metadata: columns.pop("list"),
    "too few codes": array_change("codes", lambda v: v[:-1]),
    "codes of another width": array_change("codes", lambda v: v[:, :-1].copy()),
    "codes missing": lambda columns, metadata: columns.pop("codes"),
    "a weight that is no number": array_change("weight", put(3, np.nan)),
    "a bias that is no number": array_change("bias", put(3, np.nan)),
    "an error of another type": array_change("error", lambda v: v.astype(np.float64)),
    "trained missing": lambda columns, metadata: columns.pop("trained"),
    "trained of plain numbers": lambda columns, metadata: columns.update(trained=columns["weight"]),
    "trained that is not finite": trained_change(value=(12, np.inf)),
    "trained that is no number": trained_change(value=(-1, np.nan)),
    "trained of doubles": trained_change(dtype=np.float64),
    "offsets that end too soon": trained_change(offset=(-1, 40)),
    "offsets that end past the values": trained_change(offset=(-1, 1 << 40)),
    "offsets that start before the values": trained_change(offset=(0, -4)),
    "another format": metadata_change(format="vego-hnsw"),
    "no metadata": lambda columns, metadata: metadata.clear(),
    "rows that are no number": metadata_change(rows="7e2"),
    "negative rows": metadata_change(rows="-1"),
    "other rows": metadata_change(rows=str(ROWS - 1)),
    "huge rows": metadata_change(rows="9" * 30),
    "no centroids": metadata_change(centroids="0"),
    "other centroids": metadata_change(centroids="3"),
    "more centroids than rows": metadata_change(centroids=str(ROWS + 1)),
    "unknown metric": metadata_change(metric="manhattan"),
    "unknown code": metadata_change(code="pq16"),
    "another code": metadata_change(code="sq8"),
    "dimension out of bounds": metadata_change(dimension="40000"),
    "another dimension": metadata_change(dimension="11"),
    "lists out of bounds": metadata_change(lists=str(1 << 21)),
    "step of zero": metadata_change(step="0x0p+0"),
    "step that is no number": metadata_change(step="nan"),
    "step that is text": metadata_change(step="much"),
    "trained on no rows": metadata_change(trained_rows="0"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_when_loading(stored, what):
    columns, metadata = dict(stored[0]), dict(stored[1])
    IvfIndex.from_columns(columns, metadata)
    DAMAGE[what](columns, metadata)
    with pytest.raises(CorruptionError, match=r"^some\.lfmt: damaged"):
        IvfIndex.from_columns(columns, metadata, path="some.lfmt")


def test_a_scale_that_cannot_be_is_found(vectors):
    columns, metadata = built(vectors, code="sq8").to_columns()
    trained_change(value=(-1, 0.0))(columns, metadata)
    with pytest.raises(CorruptionError, match="step of the codes"):
        IvfIndex.from_columns(columns, metadata)


def test_a_newer_version_is_named(stored):
    with pytest.raises(NewerVersionError, match="version 2"):
        IvfIndex.from_columns(stored[0], dict(stored[1]) | {"version": "2"}, path="some.lfmt")


@pytest.mark.parametrize("code", CODE_KINDS)
@pytest.mark.parametrize("seed", range(10))
def test_whatever_loads_can_be_searched(vectors, code, seed):
    """Any numbers of the right types stay inside their bounds: k slots that exist are found, each once."""
    rng = np.random.default_rng(seed)
    columns, metadata = built(vectors, code=code).to_columns()
    number = int(metadata["centroids"])
    for name, column in columns.items():
        if name == "list":
            values = rng.integers(0, number, ROWS).astype(np.uint32)
        elif name == "trained":
            continue
        elif column.array.dtype == np.float32:
            values = rng.choice(np.float32([-3e38, -1, 0, 1e-30, 1, 3e38, np.inf, -np.inf]), ROWS)
        else:
            limits = np.iinfo(column.array.dtype)
            values = rng.integers(
                limits.min, limits.max, column.array.shape, column.array.dtype, endpoint=True
            )
        columns[name] = Column.from_numpy(values)
    values = columns["trained"].child.array.copy()
    values[rng.integers(0, len(values), 20)] = rng.choice(np.float32([-3e38, 0, 3e38]), 20)
    columns["trained"] = Column(
        columns["trained"].type, Column(lance_fmt.float32(), values), columns["trained"].bounds
    )
    try:
        loaded = IvfIndex.from_columns(columns, metadata)
    except CorruptionError:
        assert code == "sq8"  # its step may be what was overwritten
        return
    accept = rng.random(ROWS) < 0.5
    for mask in (None, accept):
        slots, _ = loaded.search_batch(vectors, None, vectors[:20], 5, accept=mask)
        assert slots.min() >= 0
        assert slots.max() < ROWS
        assert mask is None or mask[slots].all()
        assert all(len(set(row)) == 5 for row in slots.tolist())
    loaded.extend(vectors, None, len(vectors), threads=1)
    loaded = loaded.without(rng.random(len(vectors)) < 0.5)
    assert loaded.search_batch(vectors, None, vectors[:20], 5)[0].max() < loaded.rows
