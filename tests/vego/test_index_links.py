"""Links of three and of four bytes: the same slots, the same graphs, and arrays that grow from one to the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import naive_index as naive
from vego.index import links as links_module
from vego.index.hnsw.index import HnswIndex
from vego.index.kernels import links as kernels
from vego.index.links import NONE, SHORT, SHORT_ROWS, WORD, empty_links, link_bytes, links_of, slots_of

ROWS = 900
VECTORS = np.random.default_rng(1).standard_normal((ROWS, 12)).astype(np.float32)


def rows_of_slots(size):
    slot = st.one_of(st.integers(0, SHORT_ROWS - 1 if size == SHORT else NONE - 1), st.just(NONE))
    return st.integers(1, 9).flatmap(
        lambda width: st.lists(st.lists(slot, min_size=width, max_size=width), max_size=5)
    )


@pytest.mark.parametrize("size", [SHORT, WORD])
@settings(deadline=None)
@given(data=st.data())
def test_slots_come_back(size, data):
    """As arrays, link by link from kernels, and as plain bytes."""
    rows = data.draw(rows_of_slots(size))
    slots = np.array(rows, np.uint32).reshape(len(rows), -1) if rows else np.empty((0, 3), np.uint32)
    links = links_of(slots, size)
    assert links.shape == (*slots.shape, size) and links.flags.c_contiguous
    np.testing.assert_array_equal(slots_of(links), slots)
    again = empty_links(*slots.shape, size)
    again[:] = 0
    for row in range(len(slots)):
        used = [slot for slot in slots[row].tolist() if slot != NONE]
        assert naive.neighbours(links, row) == used
        for j in range(slots.shape[1]):
            assert kernels.link_at(links[row], j) == slots[row, j]
            kernels.put_link(again[row], j, np.uint32(slots[row, j]))
    np.testing.assert_array_equal(again, links)


@pytest.mark.parametrize("size", [SHORT, WORD])
def test_links_are_written_where_they_belong(size):
    links = links_of(np.full((3, 4), 7, np.uint32), size)
    kernels.put_link(links[1], 2, np.uint32(SHORT_ROWS - 1))
    assert slots_of(links).tolist() == [[7] * 4, [7, 7, SHORT_ROWS - 1, 7], [7] * 4]
    kernels.end_links(links[1], 1)
    assert slots_of(links).tolist() == [[7] * 4, [7, NONE, NONE, NONE], [7] * 4]
    kernels.end_links(links[0], 4)
    assert slots_of(links)[0].tolist() == [7] * 4


def test_kernels_and_arrays_mean_the_same():
    """Kernels import nothing from outside of theirs, so both say it."""
    assert (kernels.NONE, kernels.WORD) == (NONE, WORD)


def test_the_largest_slots_of_few_rows_are_no_end():
    assert link_bytes(SHORT_ROWS) == SHORT and link_bytes(SHORT_ROWS + 1) == WORD
    last = np.array([[SHORT_ROWS - 1, NONE]], np.uint32)
    assert slots_of(links_of(last, link_bytes(SHORT_ROWS))).tolist() == last.tolist()


@pytest.mark.parametrize("rows", [0, 1, 64])
def test_a_byte_lies_behind_the_last_link(rows):
    """Kernels read four bytes from the last link of three."""
    links = empty_links(rows, 32, SHORT)
    whole = links
    while whole.base is not None:
        whole = whole.base
    end = links.ctypes.data + links.nbytes
    assert end + WORD - SHORT <= whole.ctypes.data + whole.nbytes
    assert links.ctypes.data % 64 == 0


def grown(steps):
    index = HnswIndex("l2", 12, m=4, ef_construction=20)
    for stop in steps:
        index.extend(VECTORS, None, stop, threads=2)
    return index


def assert_same(one, two):
    a, b = one._graph, two._graph
    used = int(a.upper_start[a.rows])
    np.testing.assert_array_equal(slots_of(a.links[: a.rows]), slots_of(b.links[: b.rows]))
    np.testing.assert_array_equal(a.upper[:used], b.upper[:used])
    np.testing.assert_array_equal(a.codes[: a.rows], b.codes[: b.rows])
    known = VECTORS[: a.rows]
    for accept in (None, np.arange(a.rows) % 3 > 0, np.arange(a.rows) % 20 == 0):
        found = [index.search_batch(known, None, VECTORS[:40], 5, 30, 20, accept) for index in (one, two)]
        np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("steps", [(ROWS,), (300, ROWS), (300, 500, ROWS)])
def test_a_graph_is_the_same_with_links_of_either_size(monkeypatch, steps):
    """Grown with short links, with long ones, and from one to the other; without some rows, and from its columns."""
    short = grown(steps)
    assert short._graph.links.shape[2] == SHORT and short._graph.upper.shape[2] == WORD
    removed = np.random.default_rng(2).random(ROWS) < 0.5
    fewer = short.without(removed)
    for limit in (0, 400, 550):
        monkeypatch.setattr(links_module, "SHORT_ROWS", limit)
        other = grown(steps)
        assert other._graph.links.shape[2] == WORD
        assert_same(short, other)
        less = other.without(removed)
        assert less._graph.links.shape[2] == link_bytes(less.rows)
        np.testing.assert_array_equal(slots_of(less._graph.links), slots_of(fewer._graph.links))
        loaded = HnswIndex.from_columns(*other.to_columns())
        assert loaded._graph.links.shape[2] == WORD
        assert_same(short, loaded)
        monkeypatch.undo()
        loaded = HnswIndex.from_columns(*other.to_columns())
        assert loaded._graph.links.shape[2] == SHORT
        assert_same(short, loaded)


def test_links_of_a_large_file_stay_there(monkeypatch):
    """Four bytes wide, as they are in it, and read-only: they are copied where the graph grows."""
    from vego.index.hnsw import storage

    index = grown((500,))
    columns, metadata = index.to_columns()
    monkeypatch.setattr(storage, "MOST_COPIED", 1000)
    columns["links"].values.flags.writeable = False
    loaded = HnswIndex.from_columns(columns, metadata)
    assert loaded._graph.links.shape[2] == WORD
    assert np.shares_memory(loaded._graph.links, columns["links"].array)
    assert_same(index, loaded)
    index.extend(VECTORS, None, ROWS, threads=1)
    loaded.extend(VECTORS, None, ROWS, threads=1)
    assert loaded._graph.links.shape[2] == SHORT
    assert_same(index, loaded)
