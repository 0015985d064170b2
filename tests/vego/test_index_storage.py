from __future__ import annotations

import io

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column
from tests.support.index_damage import array_change, metadata_change, put, upper_change
from vego.errors import CorruptionError, NewerVersionError
from vego.index import HnswIndex

NONE = 0xFFFFFFFF
ROWS = 700


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((ROWS + 300, 10)).astype(np.float32)


@pytest.fixture(scope="module", params=["l2", "cosine", "ip", "l1"])
def index(request, vectors):
    index = HnswIndex(request.param, 10, m=4, ef_construction=30, seed=7)
    index.extend(vectors, norms(vectors), ROWS, threads=1)
    return index


@pytest.fixture(scope="module")
def stored(vectors):
    index = HnswIndex("l2", 10, m=4, ef_construction=30)
    index.extend(vectors, None, ROWS, threads=1)
    return index.to_columns()


def norms(vectors):
    return (1 / np.linalg.norm(vectors, axis=1)).astype(np.float32)


def test_a_file_gives_the_index_back(index, vectors):
    columns, metadata = index.to_columns()
    buffer = io.BytesIO()
    lance_fmt.write(buffer, columns, metadata=metadata)
    with lance_fmt.open(buffer.getvalue()) as file:
        again = HnswIndex.from_columns(file.read(), dict(file.metadata))
    assert (again.params, again.rows) == (index.params, index.rows)
    inverse = norms(vectors)
    for ours, theirs in zip(
        index.search_batch(vectors, inverse, vectors[:50], 5, 40, 20),
        again.search_batch(vectors, inverse, vectors[:50], 5, 40, 20),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    for name, column in again.to_columns()[0].items():
        assert column.equals(columns[name]), name
    assert again.to_columns()[1] == metadata


def test_a_loaded_index_grows_as_the_original(index, vectors):
    columns, metadata = index.to_columns()
    original, loaded = index.copy(), HnswIndex.from_columns(columns, metadata)
    for each in (original, loaded):
        each.extend(vectors, norms(vectors), len(vectors), threads=1)
    np.testing.assert_array_equal(original._graph.links[: len(vectors)], loaded._graph.links[: len(vectors)])
    assert index.rows == ROWS


def test_an_empty_index_is_stored_too(vectors):
    loaded = HnswIndex.from_columns(*HnswIndex("l2", 10).to_columns())
    assert loaded.rows == 0
    assert loaded.search(vectors, None, vectors[0], 3)[0].tolist() == []
    loaded.extend(vectors, None, 300, threads=1)
    assert loaded.search(vectors, None, vectors[5], 1)[0].tolist() == [5]


def put_upper(link=None, offset=None):
    def change(values, offsets):
        if link is not None:
            values[link[0]] = link[1]
        if offset is not None:
            offsets[offset[0]] = offset[1]

    return upper_change(change)


DAMAGE = {
    "a link past the last row": array_change("links", put((5, 0), ROWS)),
    "a link far past the last row": array_change("links", put((5, 0), NONE - 1)),
    "a hole in a link row": array_change("links", put((5, 0), NONE)),
    "more links than 2 m": array_change("links", put((5, slice(None)), 1)),
    "too few rows of links": array_change("links", lambda v: v[:-1]),
    "link rows of another width": array_change("links", lambda v: np.hstack([v, v])),
    "links of another type": array_change("links", lambda v: v.astype(np.int64)),
    "too few codes": array_change("codes", lambda v: v[:-1]),
    "codes of another width": array_change("codes", lambda v: v[:, :32].copy()),
    "too few biases": array_change("bias", lambda v: v[:-1]),
    "an upper link past the last row": put_upper(link=(0, ROWS)),
    "an upper hole": put_upper(link=(0, NONE)),
    "a list that is no number of layers": put_upper(offset=(3, 1)),
    "offsets that fall": put_upper(offset=(3, 400)),
    "offsets that end past the values": put_upper(offset=(-1, 1 << 40)),
    "offsets that start before the values": put_upper(offset=(0, -4)),
    "links missing": lambda columns, metadata: columns.pop("links"),
    "upper missing": lambda columns, metadata: columns.pop("upper"),
    "upper of plain numbers": lambda columns, metadata: columns.update(upper=columns["bias"]),
    "another format": metadata_change(format="vego-ivf"),
    "no metadata": lambda columns, metadata: metadata.clear(),
    "rows that are no number": metadata_change(rows="7e2"),
    "negative rows": metadata_change(rows="-1"),
    "other rows": metadata_change(rows=str(ROWS - 1)),
    "huge rows": metadata_change(rows="9" * 30),
    "entry past the last row": metadata_change(entry=str(ROWS)),
    "entry that is not on top": metadata_change(entry="0"),
    "another top": metadata_change(top="15"),
    "unknown metric": metadata_change(metric="manhattan"),
    "dimension out of bounds": metadata_change(dimension="40000"),
    "another dimension": metadata_change(dimension="11"),
    "m out of bounds": metadata_change(m="1"),
    "another m": metadata_change(m="5"),
    "step of zero": metadata_change(code_step="0x0p+0"),
    "step that is no number": metadata_change(code_step="nan"),
    "step that is text": metadata_change(code_step="much"),
    "centre of another length": metadata_change(code_centre="AAAA"),
    "centre that is not base64": metadata_change(code_centre="?" * 56),
    "infinite centre": metadata_change(code_centre="AACAfw" + "A" * 48 + "=="),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_when_loading(stored, what):
    columns, metadata = dict(stored[0]), dict(stored[1])
    HnswIndex.from_columns(columns, metadata)
    DAMAGE[what](columns, metadata)
    with pytest.raises(CorruptionError, match=r"^some\.lfmt: damaged"):
        HnswIndex.from_columns(columns, metadata, path="some.lfmt")


def test_an_upper_link_must_lead_to_a_node_of_that_layer(stored):
    columns, metadata = dict(stored[0]), dict(stored[1])
    ground = int(np.flatnonzero(np.diff(columns["upper"].bounds) == 0)[0])
    put_upper(link=(0, ground))(columns, metadata)
    with pytest.raises(CorruptionError, match="not on its layer"):
        HnswIndex.from_columns(columns, metadata)


def test_a_newer_version_is_named(stored):
    with pytest.raises(NewerVersionError, match="version 5"):
        HnswIndex.from_columns(stored[0], dict(stored[1]) | {"version": "5"}, path="some.lfmt")


@pytest.mark.parametrize("seed", range(40))
def test_whatever_loads_can_be_searched(stored, vectors, seed):
    """Arrays overwritten at random either fail to load or stay inside their bounds."""
    rng = np.random.default_rng(seed)
    columns, metadata = dict(stored[0]), dict(stored[1])
    values = columns["links"].array.copy()
    rows = rng.integers(0, ROWS, 30)
    values[rows, 0] = rng.integers(0, ROWS + (seed % 2), 30)
    columns["links"] = Column.from_numpy(values)
    columns["codes"] = Column.from_numpy(rng.integers(0, 256, (ROWS, 64), dtype=np.uint8))
    columns["bias"] = Column.from_numpy(rng.integers(-(1 << 31), 1 << 31, ROWS, dtype=np.int32))
    try:
        loaded = HnswIndex.from_columns(columns, metadata)
    except CorruptionError:
        assert values.max(where=values != NONE, initial=0) >= ROWS
        return
    slots, _ = loaded.search_batch(vectors, None, vectors[:20], 5, 40, 20)
    assert slots.max() < ROWS
    loaded.extend(vectors, None, len(vectors), threads=1)
    assert loaded.search_batch(vectors, None, vectors[:20], 5, 40, 20)[0].max() < len(vectors)
