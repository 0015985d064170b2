"""Nodes taken out of the graph: what is left is a sound graph that finds as much as one built anew."""

from __future__ import annotations

import io
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lance_fmt
from tests.support import naive_index as naive
from tests.support.index_vectors import clustered, inverse
from vego.errors import CorruptionError, InvalidArgumentError
from vego.index import HnswIndex, Metric, exact_search
from vego.index.hnsw.build import with_all_reachable
from vego.index.kernels.removal import BEHIND
from vego.index.links import link_bytes, links_of, slots_of, wide_links

METRICS = ["l2", "cosine", "ip", "l1"]
NONE = naive.NONE


def built(metric, vectors, **options):
    index = HnswIndex(metric, vectors.shape[1], **options)
    index.extend(vectors, inverse(vectors), len(vectors), threads=1)
    return index


def loaded(index):
    """What a file gives back; its arrays are not to be written to."""
    columns, metadata = index.to_columns()
    data = io.BytesIO()
    lance_fmt.write(data, columns, metadata=metadata)
    with lance_fmt.open(data.getvalue()) as file:
        found = HnswIndex.from_columns(file.read(), dict(file.metadata))
    graph = found._graph
    for field in fields(graph):
        array = getattr(graph, field.name)
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return found


def used_arrays(index):
    """The bytes of the graph that count."""
    graph = index._graph
    rows, used = graph.rows, int(graph.upper_start[graph.rows])
    parts = (graph.codes, graph.bias, graph.links, graph.levels)
    return [part[:rows].tobytes() for part in parts] + [
        graph.upper_start[: rows + 1].tobytes(), graph.upper[:used].tobytes(), (rows, graph.entry, graph.top)
    ]  # fmt: skip


def assert_sound(index):
    """Every rule of a graph, checked the slow way."""
    graph, m = index._graph, index.params.m
    rows = graph.rows
    for node in range(rows):
        for layer in range(int(graph.levels[node]) + 1):
            place = node if layer == 0 else int(graph.upper_start[node]) + layer - 1
            row = slots_of((graph.upper if layer else graph.links)[place][None])[0].tolist()
            links = row[: row.index(NONE)] if NONE in row else row
            assert row[len(links) :] == [NONE] * (len(row) - len(links))
            assert len(links) <= (m if layer else 2 * m)
            assert node not in links
            assert len(set(links)) == len(links)
            assert all(link < rows and graph.levels[link] >= layer for link in links)
    assert int(graph.upper_start[rows]) == int(graph.levels[:rows].sum())
    if rows:
        assert graph.codes.ctypes.data % 64 == graph.links.ctypes.data % 64 == 0  # see `aligned_empty`
        assert graph.top == graph.levels[graph.entry] == graph.levels[:rows].max()
        assert naive.reachable(graph.links, rows, graph.entry) == rows


def healed_by_hand(graph, params, removed):
    """`removal.without` up to the reachability of every node, over lists."""
    kept = np.flatnonzero(~removed)
    new = {int(node): place for place, node in enumerate(kept)}
    links = np.full((len(kept), params.link_width), NONE, np.uint32)
    upper = []
    for node, place in new.items():
        for layer in range(int(graph.levels[node]) + 1):
            table = graph.upper if layer else graph.links
            row_of = (lambda v, up=layer - 1: int(graph.upper_start[v]) + up) if layer else (lambda v: v)
            chosen = _healed_row(
                graph, params, removed, table, row_of, node, 2 * params.m if not layer else params.m
            )
            row = [new[v] for v in chosen]
            if layer:
                upper.append(row + [NONE] * (params.m - len(row)))
            else:
                links[place, : len(row)] = row
    return links, np.array(upper, np.uint32).reshape(-1, params.m)


def _healed_row(graph, params, removed, table, row_of, node, cap):
    own = naive.neighbours(table, row_of(node))
    if not any(removed[v] for v in own):
        return own
    keep = [v for v in own if not removed[v]]
    seen, behind, staying = {node, *keep}, [], []
    look_at = [own]
    while look_at:
        for v in look_at.pop(0):
            if v in seen:
                continue
            seen.add(v)
            if not removed[v]:
                staying.append(v)
            elif len(behind) < BEHIND:
                behind.append(v)
                look_at.append(naive.neighbours(table, row_of(v)))
    query, offset = naive.signed(graph.codes, node), naive.offsets(graph.codes, graph.bias)
    staying.sort(key=lambda v: (naive.distance(graph.codes, graph.bias, v, query), v))
    for v in staying[: max(params.ef_construction, cap)]:
        to_node = naive.distance(graph.codes, graph.bias, v, query) + int(offset[node])
        between = [
            naive.distance(graph.codes, graph.bias, v, naive.signed(graph.codes, w)) + int(offset[w])
            for w in keep
        ]
        if len(keep) < cap and all(16 * d >= params.strictness * to_node for d in between):
            keep.append(v)
    return keep


def by_hand(index, removed):
    """The arrays that `index.without(removed)` must have on layer 0 and above."""
    graph, params = index._graph, index.params
    links, upper = healed_by_hand(graph, params, removed)
    kept = ~removed
    levels = graph.levels[: graph.rows][kept]
    entry = int(np.argmax(levels))
    smaller = replace(
        graph, codes=graph.codes[: graph.rows][kept].copy(), bias=graph.bias[: graph.rows][kept],
        links=links_of(links, link_bytes(len(links))), levels=levels, upper=wide_links(upper),
        upper_start=np.concatenate([[0], np.cumsum(levels)]).astype(np.uint32),
        rows=len(links), entry=entry, top=int(levels[entry]),
    )  # fmt: skip
    return with_all_reachable(smaller, params), upper


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_equals_its_twin(metric, share):
    vectors = clustered(500, 8, seed=4)
    index = built(metric, vectors, m=4, ef_construction=16)
    removed = np.random.default_rng(5).random(500) < share
    found = index.without(removed, threads=2)
    expected, upper = by_hand(index, removed)
    np.testing.assert_array_equal(found._graph.links, expected.links)
    np.testing.assert_array_equal(slots_of(found._graph.upper), upper)
    assert (found._graph.entry, found._graph.top) == (expected.entry, expected.top)
    np.testing.assert_array_equal(found._graph.codes, index._graph.codes[:500][~removed])
    assert_sound(found)


@given(
    metric=st.sampled_from(METRICS),
    rows=st.integers(0, 120),
    distinct=st.integers(1, 120),
    m=st.sampled_from([2, 4, 16]),
    ef=st.sampled_from([1, 8, 40]),
    shares=st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=3),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=40)
def test_any_removals_and_extensions_leave_a_sound_graph(metric, rows, distinct, m, ef, shares, seed):
    rng = np.random.default_rng(seed)
    pool = rng.integers(-5, 6, (distinct, 3)).astype(np.float32)
    vectors = pool[rng.integers(0, distinct, rows)]
    index = built(metric, vectors, m=m, ef_construction=ef)
    for share in shares:
        removed = rng.random(len(vectors)) < share
        before = used_arrays(index)
        smaller = index.without(removed, threads=1)
        assert used_arrays(index) == before
        assert_sound(smaller)
        assert smaller.rows == np.count_nonzero(~removed)
        if rng.random() < 0.5:
            smaller = loaded(smaller)
        vectors = np.concatenate([vectors[~removed], pool[rng.integers(0, distinct, 30)]])
        index = smaller.copy()
        index.extend(vectors, inverse(vectors), len(vectors), threads=1)
        assert_sound(index)
    query = pool[0] + 1
    slots, _ = index.search(vectors, inverse(vectors), query, 5, ef=400, rerank=400)
    assert len(slots) == min(5, len(vectors))
    assert len(set(slots.tolist())) == len(slots)


def without_where(index, removed):
    before = used_arrays(index)
    smaller = index.without(removed)
    assert used_arrays(index) == before
    assert_sound(smaller)
    return smaller


def test_who_is_removed():
    """Nothing, one, the entry, whole layers, all but one, everything."""
    vectors = clustered(1500, 8)
    index = built("l2", vectors, m=4, ef_construction=40)
    graph = index._graph
    levels = graph.levels[:1500]
    assert graph.top >= 3
    nothing = without_where(index, np.zeros(1500, bool))
    assert used_arrays(nothing) == used_arrays(index)
    entry = np.arange(1500) == graph.entry
    assert without_where(index, entry)._graph.top <= graph.top
    for layer in range(1, graph.top + 1):
        assert without_where(index, levels >= layer)._graph.top == layer - 1
    only_tops = without_where(index, levels < graph.top)
    assert only_tops.rows == np.count_nonzero(levels == graph.top)
    alone = without_where(index, ~entry)
    assert (alone.rows, alone._graph.entry, alone._graph.top) == (1, 0, graph.top)
    assert alone.search(vectors[entry], None, vectors[0], 3)[0].tolist() == [0]
    none = without_where(index, np.ones(1500, bool))
    assert none.rows == 0
    assert len(none.search(vectors[:0], None, vectors[0], 3)[0]) == 0
    none.extend(vectors, None, 1500, threads=1)
    assert used_arrays(none) == used_arrays(index)


def test_a_removed_region_is_bridged():
    """All that lies between two clusters goes, and more nodes than one looks behind."""
    rng = np.random.default_rng(7)
    line = np.sort(rng.uniform(0, 100, 2000))[:, None].astype(np.float32)
    index = built("l2", line, m=4, ef_construction=40)
    smaller = without_where(index, (line[:, 0] > 5) & (line[:, 0] < 95))
    kept = line[(line[:, 0] <= 5) | (line[:, 0] >= 95)]
    for query in ([1.0], [99.0], [50.0]):
        slots, _ = smaller.search(kept, None, np.array(query, np.float32), 5, ef=200, rerank=200)
        expected, _ = exact_search(Metric.L2, kept, None, np.array([query], np.float32), 5)
        assert slots.tolist() == expected[0].tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_threads_and_loading_change_nothing(metric):
    vectors = clustered(2500, 20)
    index = built(metric, vectors, m=8, ef_construction=40)
    removed = np.random.default_rng(1).random(2500) < 0.4
    removed.flags.writeable = False
    one = used_arrays(index.without(removed, threads=1))
    assert used_arrays(index.without(removed, threads=4)) == one
    assert used_arrays(index.without(removed)) == one
    assert used_arrays(index.copy().without(removed)) == one
    assert used_arrays(loaded(index).without(removed)) == one
    assert used_arrays(index.without(removed.astype(int).tolist())) == one


def test_room_to_grow_is_not_part_of_the_graph():
    """The arrays of a grown graph are longer than its rows."""
    vectors = clustered(1400, 8)
    parts = HnswIndex("l2", 8, m=4, ef_construction=40)
    for stop in (500, 900, 1000, 1010):
        parts.extend(vectors, None, stop, threads=1)
    assert parts._graph.capacity > 1010
    removed = np.random.default_rng(2).random(1010) < 0.5
    again = loaded(parts).without(removed)
    assert used_arrays(parts.without(removed)) == used_arrays(again)
    kept = np.concatenate([vectors[:1010][~removed], vectors[1010:]])
    for index in (parts.without(removed), again):
        index.extend(kept, None, len(kept), threads=1)
        assert_sound(index)


@pytest.mark.parametrize("metric", METRICS)
def test_written_and_read_back(metric):
    vectors = clustered(1200, 12)
    index = built(metric, vectors, m=6, ef_construction=30)
    smaller = index.without(np.arange(1200) % 3 == 0)
    again = loaded(smaller)
    assert used_arrays(again) == used_arrays(smaller)
    kept = vectors[np.arange(1200) % 3 != 0]
    more = np.concatenate([kept, clustered(400, 12, seed=3)])
    both = [smaller.copy(), again.copy()]
    for one in both:
        one.extend(more, inverse(more), len(more), threads=1)
        assert_sound(one)
    assert used_arrays(both[0]) == used_arrays(both[1])


def recall(metric, vectors, queries, index, ef, rerank):
    norms = inverse(vectors)
    _, distances = index.search_batch(vectors, norms, queries, 10, ef=ef, rerank=rerank, threads=2)
    _, exact = exact_search(Metric(metric), vectors, norms, queries, 10)
    limit = exact[:, -1:] + 1e-4 * np.abs(exact[:, -1:]) + 1e-5
    return float((distances <= limit).mean())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_recall_is_that_of_a_graph_built_anew(metric, share):
    data = clustered(4400, 32)
    vectors, queries = data[:4000], data[4000:]
    removed = np.random.default_rng(9).random(4000) < share
    kept = vectors[~removed]
    healed = recall(metric, kept, queries, built(metric, vectors).without(removed), 64, 40)
    fresh = recall(metric, kept, queries, built(metric, kept), 64, 40)
    print(f"{metric} {share:.0%} removed: {healed:.4f}, built anew {fresh:.4f}")
    assert healed >= fresh - 0.005


def test_recall_after_many_small_removals():
    """As in a collection that is compacted again and again while it grows."""
    data = clustered(5400, 24, seed=2)
    queries, rest = data[5000:], data[:5000]
    rng = np.random.default_rng(3)
    vectors = rest[:2000]
    index = built("l2", vectors)
    for turn in range(10):
        removed = rng.random(len(vectors)) < 0.15
        vectors = np.concatenate([vectors[~removed], rest[2000 + 300 * turn : 2300 + 300 * turn]])
        index = index.without(removed)
        index.extend(vectors, None, len(vectors), threads=2)
    assert_sound(index)
    healed = recall("l2", vectors, queries, index, 48, 30)
    fresh = recall("l2", vectors, queries, built("l2", vectors), 48, 30)
    print(f"after ten rounds {healed:.4f}, built anew {fresh:.4f}")
    assert healed >= fresh - 0.005


def test_recall_where_fewer_candidates_than_links_are_weighed():
    """`ef_construction` below 2 m: a row that is chosen anew must not shrink to it."""
    data = clustered(3300, 24, seed=5)
    vectors, queries = data[:3000], data[3000:]
    removed = np.random.default_rng(9).random(3000) < 0.3
    kept = vectors[~removed]
    options = {"m": 32, "ef_construction": 8}
    smaller = built("ip", vectors, **options).without(removed)
    healed = recall("ip", kept, queries, smaller, 48, 30)
    fresh = recall("ip", kept, queries, built("ip", kept, **options), 48, 30)
    print(f"ef_construction 8: {healed:.4f}, built anew {fresh:.4f}")
    assert healed >= fresh - 0.005


@pytest.mark.parametrize("marks", [np.zeros(299, bool), np.zeros(301, bool), np.zeros((1, 300), bool), True])
def test_a_mask_of_another_length_is_refused(marks):
    index = built("l2", clustered(300, 4))
    with pytest.raises(InvalidArgumentError, match="expected 300 marks"):
        index.without(marks)
    assert index.rows == 300


def test_a_wrong_graph_is_not_taken_from_a_file():
    """What `assert_sound` checks of upper layers is what reading checks."""
    index = built("l2", clustered(600, 4), m=4).without(np.arange(600) < 100)
    graph = index._graph
    low = int(np.flatnonzero(graph.levels == 0)[0])
    upper = slots_of(graph.upper.copy())
    upper[0, 0] = low
    index._adopt(replace(graph, upper=wide_links(upper)))
    columns, metadata = index.to_columns()
    with pytest.raises(CorruptionError, match="not on its layer"):
        HnswIndex.from_columns(columns, metadata)


def test_the_kernel_is_compiled_once():
    """A mapped file is read-only; for the kernel it must not be another type."""
    from vego.index.kernels.removal import bypass

    index = built("l2", clustered(300, 4), m=4)
    removed = np.arange(300) % 2 == 0
    removed.flags.writeable = False
    index.without(removed)
    loaded(index).without(removed)
    if hasattr(bypass, "signatures"):
        kinds = [str(signature[0].dtype) for signature in bypass.signatures]
        assert len(set(kinds)) == len(kinds)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 300), share=st.sampled_from([0.0, 0.3, 0.9]))
@settings(max_examples=25, deadline=None)
def test_nodes_in_another_order(seed, rows, share):
    """The same graph with other numbers: what it is without an order, relabelled one by one."""
    rng = np.random.default_rng(seed)
    vectors = clustered(rows, 6, seed)
    index = built("l2", vectors, m=3, ef_construction=12)
    removed = rng.random(rows) < share
    order = rng.permutation(np.flatnonzero(~removed))
    moved = index.without(removed, order=order)
    assert_sound(moved)
    plain, other = index.without(removed)._graph, moved._graph
    assert (other.rows, other.top) == (plain.rows, plain.top)
    place = np.argsort(order)  # of the nodes in their old order, where each is now
    for node in range(plain.rows):
        there = int(place[node])
        assert np.array_equal(plain.codes[node], other.codes[there])
        assert (plain.bias[node], plain.levels[node]) == (other.bias[there], other.levels[there])
        old = [place[link] for link in naive.neighbours(plain.links, node)]
        assert naive.neighbours(other.links, there) == old or share
        for layer in range(int(plain.levels[node])):
            row = naive.neighbours(plain.upper, plain.upper_start[node] + layer)
            now = naive.neighbours(other.upper, other.upper_start[there] + layer)
            assert {int(place[link]) for link in row} == set(now) or share
    slots, _ = (
        moved.search(vectors[order], inverse(vectors[order]), vectors[order[0]], 1, 32, 32)
        if len(order)
        else ([0], None)
    )
    assert len(order) == 0 or np.array_equal(vectors[order[slots[0]]], vectors[order[0]])


def test_an_order_of_other_nodes():
    index = built("l2", clustered(9, 4))
    for wrong in ([0, 1], [0, 0, 2, 3, 4, 5, 6, 7, 8], list(range(1, 10))):
        with pytest.raises(InvalidArgumentError, match="order"):
            index.without(np.zeros(9, bool), order=np.array(wrong))
