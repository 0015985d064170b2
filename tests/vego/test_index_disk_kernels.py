"""The kernels of the graph on the disk against plain ones, and records that are not what was written."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import naive_index as naive
from vego.errors import CorruptionError
from vego.index import HnswIndex, Metric
from vego.index.disk import DISK_METRICS
from vego.index.disk.parts import StoredPart, layout_of
from vego.index.disk.records import Place, RecordLayout, Records
from vego.index.kernels.record_search import scan_records, search_records
from vego.index.kernels.records import ask_for, intact, record_address, record_at, record_distance
from vego.index.links import slots_of
from vego.table.vectors import inverse_norms_of

METRICS = [metric.value for metric in DISK_METRICS]
ROWS, DIMENSION = 700, 10
NONE = 0xFFFFFFFF


def stored(layout, records, first=0):
    """The records (n, words) of the nodes from 0 on, as they lie."""
    laid = layout.laid(records, 0)
    return Records(
        layout, np.pad(laid, (0, layout.size(len(records)) - len(laid))), len(records), "index", first
    )


def record_of(records, node):
    """A view of the record of a node."""
    start = records.layout.starts(np.array([node]))[0]
    return records.array[start : start + records.layout.words]


def stored_part(metric, rows=ROWS, dimension=DIMENSION, m=4, seed=0, blocks=True):
    """A graph with its records, and the vectors of these."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    norms = inverse_norms_of(vectors)
    index = HnswIndex(metric, dimension, m=m, ef_construction=30)
    index.extend(vectors, norms, rows, threads=1)
    layout = layout_of(index.params, blocks=blocks)
    records = layout.filled(slots_of(index.graph.links[:rows]), vectors, norms, 0)
    return StoredPart.of(index.params, index.graph, stored(layout, records)), vectors, norms


@pytest.mark.parametrize("dimension", [1, 3, 8, 24])
@pytest.mark.parametrize("width", [1, 8, 9])
@pytest.mark.parametrize("blocks", [True, False])
def test_a_record_is_what_its_description_says(dimension, width, blocks):
    rng = np.random.default_rng(dimension)
    layout = RecordLayout(dimension, width, blocks)
    if blocks:
        assert layout.words == 4 + width + dimension
    else:
        assert layout.words % 16 == 0 and layout.words - 16 < 4 + width + dimension <= layout.words
    vectors = rng.standard_normal((5, dimension)).astype(np.float32)
    norms = inverse_norms_of(vectors)
    links = np.full((5, width + 2), NONE, np.uint32)
    counts = [0, 1, width, width // 2, width]
    for row, count in enumerate(counts):
        links[row, :count] = rng.integers(0, 1000, count)
    records = layout.filled(links, vectors, norms, 100)
    for row, count in enumerate(counts):
        own = links[row, :count].tolist()
        expected = naive.record(own, width, vectors[row], norms[row], layout.words, layout.keys, 100 + row)
        assert records[row].tolist() == expected
    assert (layout.keys % np.uint64(2) == 1).all() and len(set(layout.keys.tolist())) == layout.words


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_word_is_believed(data):
    layout = RecordLayout(6, 4, data.draw(st.booleans()))
    vectors = np.arange(18, dtype=np.float32).reshape(3, 6)
    filled = layout.filled(np.full((3, 4), NONE, np.uint32), vectors, inverse_norms_of(vectors), 0)
    records = stored(layout, filled, first=20)
    np.testing.assert_array_equal(records.taken(np.array([2, 0, 1])), filled[[2, 0, 1]])
    row, word = data.draw(st.integers(0, 2)), data.draw(st.integers(0, layout.words - 1))
    record_of(records, row)[word] ^= np.uint32(data.draw(st.integers(1, 2**32 - 1)))
    with pytest.raises(CorruptionError, match=f"slot {20 + row} is damaged"):
        records.taken(np.arange(3))
    with pytest.raises(CorruptionError, match=f"slot {20 + row} is damaged"):
        records.links(3)
    assert (records.taken(np.delete(np.arange(3), row)) == np.delete(filled, row, 0)).all()


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("dimension", [6, 985, 1030])
def test_each_flipped_byte_of_a_record_is_found(dimension, blocks):
    """By the kernels of a search too; what is between records belongs to none of them."""
    layout = RecordLayout(dimension, 4, blocks)
    vectors = np.random.default_rng(0).standard_normal((3, dimension)).astype(np.float32)
    filled = layout.filled(np.full((3, 4), 1, np.uint32), vectors, inverse_norms_of(vectors), 0)
    records = stored(layout, filled)
    place, words, _, keys = records.place
    raw = records.array.view(np.uint8)
    inside = np.zeros(len(raw), np.bool_)
    for start in 4 * layout.starts(np.arange(3)):
        inside[start : start + 4 * layout.words] = True
    assert inside.sum() == 3 * 4 * layout.words
    for byte in range(0, len(raw), 1 if dimension == 6 else 7):
        raw[byte] ^= 1 << byte % 8
        whole = [intact(record_at(place, words, node), keys, node) for node in range(3)]
        assert whole.count(False) == inside[byte]
        raw[byte] ^= 1 << byte % 8
    records.taken(np.arange(3))


def test_only_records_there_are_can_be_taken():
    records = stored_part("l2", rows=20)[0].stored
    for nodes in ([-1], [0, 20], [2**40]):
        with pytest.raises(IndexError):
            records.taken(np.array(nodes))
    with pytest.raises(IndexError):
        records.run(10, 21)
    assert records.taken(np.empty(0, np.int64)).shape == (0, records.layout.words)
    with pytest.raises(ValueError, match="words"):
        Records(records.layout, records.array[:-1], 20, "index")


# -- where records lie -----------------------------------------------------------------------------


def places(words, step, nodes):
    """Word at which each record begins: behind the one before, or at the next block where it touches fewer so."""
    found, place = [], 0
    for _ in range(nodes):
        touched = (place + words - 1) // 1024 - place // 1024 + 1
        if touched > -(-words // 1024):
            place = -(-place // 1024) * 1024
        found.append(place)
        place += step
    return found


@settings(max_examples=300, deadline=None)
@given(
    dimension=st.integers(1, 4200) | st.integers(900, 1100) | st.sampled_from([1, 32_768]),
    width=st.integers(1, 130),
    nodes=st.integers(1, 3000),
)
@example(dimension=1000, width=19, nodes=9)  # of 1,023 words, and so on
@example(dimension=1000, width=20, nodes=9)
@example(dimension=1000, width=21, nodes=3000)
@example(dimension=2000, width=44, nodes=9)
@example(dimension=1500, width=32, nodes=9)
@example(dimension=1500, width=33, nodes=9)
@example(dimension=500, width=8, nodes=9)
@example(dimension=500, width=9, nodes=9)
def test_records_lie_where_they_take_the_fewest_reads(dimension, width, nodes):
    layout = RecordLayout(dimension, width)
    words = 4 + width + dimension
    starts = layout.starts(np.arange(nodes))
    assert starts.tolist() == places(words, layout.step, nodes)
    touched = (starts + words - 1) // 1024 - starts // 1024 + 1
    assert (touched == -(-words // 1024)).all()
    assert (np.diff(starts) >= words).all()
    # Word by word no more of them fit; cache lines are kept whole where that costs no room.
    densest = places(words, words, nodes)
    assert layout.size(nodes) == -(-(starts[-1] + words) // 1024) * 1024
    assert layout.size(nodes) == -(-(densest[-1] + words) // 1024) * 1024
    lines = places(words, -(-words // 16) * 16, layout.group_nodes)
    assert (layout.step % 16 == 0) == (lines[-1] + words <= layout.group_words)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), blocks=st.booleans(), width=st.integers(1, 70))
def test_kernels_find_records_where_they_lie(data, blocks, width):
    layout = RecordLayout(data.draw(st.integers(1, 2500)), width, blocks)
    base = data.draw(st.integers(0, 2**40)) * 4
    place = Place(base, layout.group_nodes, 4 * layout.group_words, 4 * layout.step)
    nodes = data.draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20))
    starts = layout.starts(np.array(nodes, np.int64)).tolist()
    for kind in (np.uint32, np.int64):
        assert [record_address(place, kind(node)) for node in nodes] == [base + 4 * start for start in starts]
    for node, start in zip(nodes, starts, strict=True):
        assert layout.node_at(start) == layout.node_at(start + layout.words - 1) == node
        assert layout.node_at(max(start - 1, 0)) in (node, max(node - 1, 0))
        assert layout.size(node) <= start < start + layout.words <= layout.size(node + 1) or blocks


def resident(array, pages):
    """Which pages of a mapped array are in memory."""
    states = (ctypes.c_ubyte * pages)()
    address = ctypes.c_void_p(array.ctypes.data)
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    assert mincore(address, ctypes.c_size_t(pages * mmap.PAGESIZE), states) == 0
    return [state & 1 for state in states]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which pages are in memory")
def test_records_that_are_asked_for_are_read(tmp_path):
    """That and no more: neither the pages before nor those behind, as a touch of the mapping would."""
    path, pages = tmp_path / "records", 64
    path.write_bytes(bytes(pages * mmap.PAGESIZE))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    array = np.frombuffer(mapped, np.uint8)
    if any(resident(array, pages)):
        pytest.skip("a file system that is memory")
    size = mmap.PAGESIZE
    halves = Place(array.ctypes.data, 2, size, size // 2)
    ask_for(halves, size // 8, 81, 1)
    ask_for(halves, size // 8, 41, 2)
    step = size + size // 4  # each in two pages, three in four
    ask_for(Place(array.ctypes.data, 3, 4 * size, step), step // 4, 13, 1)
    expected = [17, 18, 20, 21, 40]
    deadline = time.monotonic() + 30
    while sum(resident(array, pages)) < len(expected) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert np.flatnonzero(resident(array, pages)).tolist() == expected


@pytest.mark.parametrize("blocks", [True, False])
def test_a_record_of_another_node_is_not_believed(blocks):
    layout = RecordLayout(6, 4, blocks)
    vectors = np.ones((3, 6), np.float32)
    records = layout.filled(np.full((3, 4), NONE, np.uint32), vectors, inverse_norms_of(vectors), 0)
    assert all(intact(records[node], layout.keys, node) for node in range(3))
    assert not intact(records[1], layout.keys, 0)
    assert not intact(np.zeros(layout.words, np.uint32), layout.keys, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_are_those_of_the_exact_scan(metric):
    part, vectors, norms = stored_part(metric)
    query = np.random.default_rng(5).standard_normal(DIMENSION).astype(np.float32)
    place, words, width, _ = part.stored.place
    length = np.linalg.norm(query)
    expected = naive.rank_values(metric, vectors, norms, query)
    for node in range(0, ROWS, 37):
        assert record_at(place, words, node).tolist() == record_of(part.stored, node).tolist()
        value = record_distance(Metric.parse(metric).code, place, width, node, query, np.float32(1 / length))
        value = np.sqrt(value) if metric == "l2" else value
        assert abs(value - expected[node]) <= 1e-5 * (1 + abs(expected[node]))


def found_by(part, queries, k, ef, beam, accept=None, rows=ROWS):
    slots, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    reads, met = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    s = part.snapshot
    damaged = search_records(
        part.params.metric.code, *part.stored.place, s.codes, s.bias, s.upper, s.upper_start, s.frame,
        s.inverse_step, s.rows, s.entry, s.top, queries, ef, beam,
        np.empty(0, np.bool_) if accept is None else accept, np.zeros(rows + 64, np.uint8),
        slots, distances, reads, met,
    )  # fmt: skip
    return damaged, slots, distances, reads, met


def code_of(part, query):
    """The signed code of a query, by the formula."""
    scale, metric = part.graph.scale, part.params.metric
    if metric is Metric.COSINE:
        query = query * (np.float32(1) / np.linalg.norm(query).astype(np.float32))
    step = scale.inverse_step
    if metric is Metric.INNER_PRODUCT:
        step = np.float32(127) / np.abs(query).max()
    levels = np.clip(np.rint((query - scale.centre) * step), -128, 127)
    return np.pad(levels, (0, scale.code_width - len(query))).astype(np.int8)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("ef", "beam"), [(1, 1), (12, 1), (40, 4), (40, 8), (200, 16)])
@pytest.mark.parametrize("blocks", [True, False])
def test_a_search_is_the_plain_one(metric, ef, beam, blocks):
    part, vectors, norms = stored_part(metric, blocks=blocks)
    graph = part.graph
    queries = np.random.default_rng(6).standard_normal((8, DIMENSION)).astype(np.float32)
    accept = np.random.default_rng(7).random(ROWS) < 0.5
    for mask in (None, accept):
        damaged, slots, distances, reads, met = found_by(part, queries, 5, ef, beam, mask)
        assert damaged == -1
        for row, query in enumerate(queries):
            code = code_of(part, query)
            seed = naive.descend(
                graph.codes, graph.biases, graph.upper, graph.upper_start, code, graph.entry, graph.top, 0
            )
            links_of = lambda node: naive.neighbours(graph.links, node)  # noqa: E731
            bias = graph.biases[:ROWS]
            expanded = naive.walk_records(graph.codes, bias, links_of, code, seed, ef, beam)
            taken = [slot for slot in expanded if mask is None or mask[slot]]
            assert (reads[row], met[row]) == (len(expanded), len(taken))
            expected = naive.exact_search(metric, vectors, norms, query, 5, taken)
            count = len(expected)
            assert slots[row, :count].tolist() == [slot for slot, _ in expected]
            np.testing.assert_allclose(distances[row, :count], [far for _, far in expected], 1e-4, 1e-5)
            assert (slots[row, count:] == -1).all() and np.isinf(distances[row, count:]).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rerank", [1, 5, 30, 1000])
@pytest.mark.parametrize("blocks", [True, False])
def test_a_scan_is_the_plain_one(metric, rerank, blocks):
    part, vectors, norms = stored_part(metric, blocks=blocks)
    graph, s = part.graph, part.snapshot
    rng = np.random.default_rng(8)
    for query in rng.standard_normal((5, DIMENSION)).astype(np.float32):
        candidates = rng.choice(ROWS, 300, replace=False).astype(np.uint32)
        slots, distances = np.empty(5, np.int64), np.empty(5, np.float32)
        damaged, told = scan_records(
            part.params.metric.code, *part.stored.place, s.codes, s.bias, s.frame, s.inverse_step,
            candidates, query, rerank, slots, distances,
        )  # fmt: skip
        code = code_of(part, query)
        by_code = sorted(
            (naive.distance(graph.codes, graph.biases, slot, code), slot) for slot in candidates.tolist()
        )
        expected = naive.exact_search(
            metric, vectors, norms, query, 5, [slot for _, slot in by_code[:rerank]]
        )
        assert damaged == -1 and (told or rerank < 300)
        assert slots.tolist() == [slot for slot, _ in expected] + [-1] * (5 - len(expected))
        np.testing.assert_allclose(distances[: len(expected)], [far for _, far in expected], 1e-4, 1e-5)
        if told:
            true = naive.exact_search(metric, vectors, norms, query, 5, candidates.tolist())
            assert slots.tolist() == [slot for slot, _ in true]


def sealed(part, node):
    """Give the record of a node, which the test has changed, the right checksum."""
    record, keys = record_of(part.stored, node), part.stored.layout.keys
    total = int(keys[0]) * (node + 1) + sum(
        int(key) * int(word) for key, word in zip(keys[2:], record[2:], strict=True)
    )
    record[0], record[1] = total % 2**32, total // 2**32 % 2**32


@pytest.mark.parametrize("count", [0, 8, 9, 2**31, 2**32 - 1])
@pytest.mark.parametrize("link", [0, ROWS - 1, ROWS, 2**31, NONE - 1, NONE])
def test_links_that_lead_nowhere_are_not_followed(count, link):
    """Records with good checksums that say what no index says: any slots may be found, but slots."""
    part, _, _ = stored_part("l2")
    for node in range(0, ROWS, 2):
        record_of(part.stored, node)[3] = count
        record_of(part.stored, node)[4:12] = link
        sealed(part, node)
    queries = np.random.default_rng(6).standard_normal((20, DIMENSION)).astype(np.float32)
    damaged, slots, distances, reads, _ = found_by(part, queries, 5, 40, 8)
    assert damaged == -1
    assert ((slots >= -1) & (slots < ROWS)).all()
    assert (distances[:, 1:] >= distances[:, :-1]).all() and (reads <= ROWS).all()
    if count and link >= ROWS:
        with pytest.raises(CorruptionError, match="slot 0 is damaged"):
            part.in_memory(ROWS)


@pytest.mark.parametrize("stop", [ROWS, ROWS + 100])
def test_links_come_back_as_they_were(stop):
    part, _, _ = stored_part("l2")
    again = part.in_memory(stop).graph
    np.testing.assert_array_equal(again.links[:ROWS], part.graph.links[:ROWS])
    assert (again.rows, len(again.links), again.capacity) == (ROWS, stop, stop)


def test_vectors_that_are_no_numbers_are_farthest():
    part, _, _ = stored_part("cosine")
    for node in range(ROWS):
        record_of(part.stored, node)[12:22] = np.float32(np.nan).view(np.uint32)
        sealed(part, node)
    query = np.ones((1, DIMENSION), np.float32)
    damaged, slots, distances, _, _ = found_by(part, query, 5, 40, 8)
    assert damaged == -1 and (slots >= 0).all() and np.isinf(distances).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_damaged_record_is_named(metric):
    part, vectors, _ = stored_part(metric)
    _, slots, _, _, _ = found_by(part, vectors[:1], 5, 40, 8)
    record_of(part.stored, slots[0, 2])[15] ^= 1
    assert found_by(part, vectors[:1], 5, 40, 8)[0] == slots[0, 2]
    candidates = np.arange(ROWS, dtype=np.uint32)
    with pytest.raises(CorruptionError, match=f"slot {slots[0, 2]} is damaged"):
        part.scan(None, vectors[0], 5, 20, candidates)
    for read in (
        lambda: part.stored.links(ROWS),
        lambda: part.stored.vectors(np.arange(ROWS)),
        lambda: part.records(0, ROWS),
    ):
        with pytest.raises(CorruptionError, match=f"slot {slots[0, 2]} is damaged"):
            read()
