from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.kernels.decorator import kernel
from tests.support import naive_index as naive
from vego.index.hnsw.index import HnswIndex
from vego.index.kernels import agreement, code_scan, hnsw_build, hnsw_filtered, intrinsics, repair, walk
from vego.index.kernels.distance import encode_query, encode_rows, inverse_norm
from vego.index.links import SHORT, WORD, empty_links, links_of, put_slots, slots_of
from vego.index.metrics import Metric
from vego.index.views import aligned_empty, marked_slots
from vego.table.vectors import Vectors

METRICS = ["l2", "cosine", "ip", "l1"]


def data(rows, dimension, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    return vectors, (1 / np.linalg.norm(vectors, axis=1)).astype(np.float32)


@pytest.fixture(scope="module", params=METRICS)
def case(request):
    """A small graph of each metric with a query code, and the pieces kernels take."""
    vectors, norms = data(600, 24)
    index = HnswIndex(request.param, 24, m=4, ef_construction=30)
    index.extend(vectors, norms, 600, threads=1)
    graph = index._graph
    code = np.zeros((1, 64), np.int8)
    query = data(1, 24, seed=9)[0][0]
    encode_query(index.metric.code, query, graph.scale.frame, graph.scale.inverse_step, code[0])
    return SimpleNamespace(
        index=index, graph=graph, vectors=vectors, norms=norms, query=query, code=code, metric=request.param
    )


@given(st.integers(1, 5), st.integers(0, 1 << 32))
def test_dot_of_codes_is_exact(lines, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (7, 64 * lines), dtype=np.uint8)
    queries = rng.integers(-128, 128, (3, 64 * lines)).astype(np.int8)
    for row, query in ((0, 0), (6, 2), (3, 1)):
        found = intrinsics.dot_codes(codes, np.uint32(row), queries, query)
        assert found == naive.dot(codes, row, queries, query)


def test_dot_of_codes_at_the_largest_dimension_does_not_overflow():
    codes = np.full((1, 32_768), 255, np.uint8)
    queries = np.full((1, 32_768), -128, np.int8)
    assert intrinsics.dot_codes(codes, np.uint32(0), queries, 0) == -255 * 128 * 32_768


def compared(rows=20, width=128):
    """Codes of each kind with queries, and one as large as dimensions can be."""
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, (rows, width), dtype=np.uint8)
    queries = rng.integers(0, 256, (rows, width), dtype=np.uint8)
    for kind in (np.uint8, np.int8, np.uint64):
        yield codes.view(kind), queries.view(np.int8 if kind is np.uint8 else kind)
    yield np.full((1, 32_768), 127, np.int8), np.full((1, 32_768), 127, np.int8)
    yield np.full((1, 32_768), -128, np.int8), np.full((1, 32_768), 127, np.int8)


@kernel
def agreements(codes, queries, out):
    for i in range(codes.shape[0]):
        out[i] = agreement.agreement(codes, np.uint32(i), queries, np.int64(i))


def test_agreement_is_that_of_the_kind_of_codes():
    for codes, queries in compared():
        out = np.zeros(len(codes), np.int64)
        agreements(codes, queries, out)
        expected = [naive.agreement(*pair) for pair in zip(codes, queries, strict=True)]
        assert out.tolist() == expected
        assert [agreement.agreement(codes, i, queries, i) for i in range(len(codes))] == expected


AGREEMENTS = """
from tests.vego.test_index_kernels import *
for codes, queries in compared():
    out = np.zeros(len(codes), np.int64)
    agreements(codes, queries, out)
    print(out.tolist())
"""


@pytest.mark.parametrize("without", [["avx512bw"], ["avx512bw", "avx2", "avx512vpopcntdq"]])
def test_agreement_is_the_same_on_processors_with_less(without):
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    features.update(dict.fromkeys(without, False))
    environment = os.environ | {"NUMBA_CPU_FEATURES": features.flatten()}
    run = subprocess.run(
        [sys.executable, "-c", AGREEMENTS], env=environment, capture_output=True, text=True, check=True
    )
    expected = [
        str([naive.agreement(*pair) for pair in zip(codes, queries, strict=True)])
        for codes, queries in compared()
    ]
    assert run.stdout.split("\n")[:-1] == expected


def test_byte_lanes_reads_the_feature_string():
    assert agreement.byte_lanes("+avx2,+avx512bw") == 64
    assert agreement.byte_lanes("+avx2,-avx512bw") == 32
    assert agreement.byte_lanes("-avx2") == 0


@pytest.mark.parametrize("biases", [True, False])
def test_codes_in_the_role_of_queries(biases):
    """Without the bias that is in the row where there is no array of them."""
    for codes, _ in compared():
        bias = np.arange(len(codes) if biases else 0, dtype=np.int32)
        room, offset = query_of_last(codes, bias)
        if biases:
            assert offset == naive.offsets(codes, bias)[-1]
        elif codes.dtype == np.uint8:
            inside = codes[-1, -4:].copy().view(np.int32)[0]
            assert offset == naive.offsets(codes[-1:, :-4], inside)[0]
        assert room.shape == (1, codes.shape[1])
        expected = naive.signed(codes, len(codes) - 1)
        if codes.dtype == np.uint8 and not biases:
            expected[-4:] = 0
        np.testing.assert_array_equal(room[0], expected)
        if codes.dtype == np.uint8 or biases:
            plain = agreement.query_rows(codes, 1)
            assert agreement.as_query(codes, bias, len(codes) - 1, plain[0]) == offset
            assert plain.dtype == room.dtype
            np.testing.assert_array_equal(plain, room)


def test_a_bias_is_in_an_array_or_in_the_row():
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 256, (9, 128)).astype(np.uint8)
    inside = codes.copy().view(np.int32)[:, -1]
    apart, nothing = rng.integers(-(1 << 31), 1 << 31, 9).astype(np.int32), np.empty(0, np.int32)
    for bias, expected in ((apart, apart), (nothing, inside)):
        assert [bias_of_row(codes, bias, np.uint32(row)) for row in range(9)] == expected.tolist()
        assert [agreement.bias_of_loop(codes, bias, row) for row in range(9)] == expected.tolist()


@kernel
def bias_of_row(codes, bias, row):
    return agreement.bias_of(codes, bias, row)


@kernel
def query_of_last(codes, bias):
    room = agreement.query_rows(codes, 1)
    offset = agreement.as_query(codes, bias, codes.shape[0] - 1, room[0])
    return room, offset


DOTS = """
import numpy as np
from vego.index.kernels.intrinsics import dot_codes
rng = np.random.default_rng(5)
codes = rng.integers(0, 256, (50, 448), dtype=np.uint8)
queries = rng.integers(-128, 128, (50, 448)).astype(np.int8)
print([dot_codes(codes, np.uint32(i), queries, i) for i in range(50)])
"""


@pytest.mark.parametrize("without", [["avx512vnni"], ["avx512vnni", "avxvnni"]])
def test_dot_of_codes_is_the_same_on_processors_with_less(without):
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    features.update(dict.fromkeys(without, False))
    lanes = intrinsics.vnni_lanes(features.flatten())
    assert lanes == (8 if features.get("avxvnni") else 0)
    environment = os.environ | {"NUMBA_CPU_FEATURES": features.flatten()}
    run = subprocess.run(
        [sys.executable, "-c", DOTS], env=environment, capture_output=True, text=True, check=True
    )
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, (50, 448), dtype=np.uint8)
    queries = rng.integers(-128, 128, (50, 448)).astype(np.int8)
    assert run.stdout.strip() == str([naive.dot(codes, i, queries, i) for i in range(50)])


def test_vnni_lanes_reads_the_feature_string():
    assert intrinsics.vnni_lanes("+avx2,+avx512vnni,+avxvnni") == 16
    assert intrinsics.vnni_lanes("+avx2,-avx512vnni,+avxvnni") == 8
    assert intrinsics.vnni_lanes("+avx2,-avxvnni") == 0
    assert intrinsics.vnni_lanes("") == 0


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_encode_rows(metric):
    vectors, norms = data(40, 70)
    vectors *= np.float32(1.7)
    centre = np.float32(0.1) * np.arange(70, dtype=np.float32) / 70
    step = np.float32(40 if metric != "cosine" else 300)
    codes = np.full((40, 128), 9, np.uint8)
    bias = np.empty(40, np.int32)
    known = Vectors.of(vectors, norms)
    encode_rows(Metric(metric).code, *known.kernel_tables(), 0, 40, centre, step, codes, bias)
    expected = naive.encode(metric, vectors, norms, centre, step, 128)
    row = np.empty(128, np.int8)
    assert [agreement.as_query(codes, bias, v, row) for v in range(40)] == naive.offsets(codes, bias).tolist()
    np.testing.assert_array_equal(row, naive.signed(codes, 39))
    assert np.abs(codes.astype(int) - expected[0].astype(int)).max() <= 1  # rounding of reordered products
    again = naive.encode("l2", codes[:, :70].astype(np.float32), norms, np.float32(128), np.float32(1), 128)
    if metric == "ip":
        assert (bias == 0).all()
    else:
        assert (bias == again[1]).all()
        assert (naive.offsets(codes, bias) == again[2]).all()


def test_codes_under_l1():
    vectors, _ = data(40, 70)
    vectors[3] *= 1e30  # far outside of the scale
    index = HnswIndex("l1", 70, m=4, ef_construction=20)
    index.extend(vectors, None, 40, threads=1)
    g = index._graph
    assert g.codes.dtype == np.int8 and g.scale.axes is None
    levels = np.clip(np.rint((vectors - g.scale.centre) * g.scale.inverse_step), -128, 127)
    np.testing.assert_array_equal(g.codes[:40, :70], levels)
    assert not g.codes[:40, 70:].any()
    assert (g.bias[:40] == levels.sum(axis=1)).all()
    for v, q in ((0, 1), (3, 9)):
        apart = naive.distance(g.codes, g.bias, v, g.codes[q]) + g.bias[q]
        assert apart == np.abs(levels[v] - levels[q]).sum()


def test_inverse_norm_of_nothing_is_zero():
    assert inverse_norm(np.zeros(5, np.float32)) == 0
    assert inverse_norm(np.array([3, 4], np.float32)) == pytest.approx(0.2)


def test_insert_keeps_a_sorted_pool():
    rng = np.random.default_rng(1)
    for limit in (1, 2, 7):
        pool, expected = np.empty(limit, np.int64), []
        for key in rng.integers(-50, 50, 60).tolist():
            if len(expected) < limit or key < expected[-1]:
                walk.insert(pool, len(expected), limit, key)
                expected = sorted([*expected, key])[:limit]
            assert pool[: len(expected)].tolist() == expected


def test_stamps_wrap_by_clearing():
    stamps = np.zeros(10, np.uint8)
    for expected in [*range(1, 256), 1, 2]:
        assert walk.next_stamp(stamps) == expected
        assert not (stamps[:9] == expected).any()
        stamps[:9] = expected


@pytest.mark.parametrize("ties", [walk.OLDEST_FIRST, walk.NEWEST_FIRST])
@pytest.mark.parametrize("places", [1, 2, 32, 2048])
@pytest.mark.parametrize("limit", [1, 3, 40])
def test_walk(case, limit, places, ties):
    """Also where what was seen is forgotten at once."""
    g = case.graph
    pool, fresh = np.empty(limit, np.int64), np.empty(64, np.int64)
    for seed in (0, 17, 599):
        seen = np.arange(places, dtype=np.uint32)
        count, scored = walk.walk(
            g.codes, g.bias, g.links, g.upper_start, 0, g.rows, case.code, np.uint32(seed), limit,
            ties, seen, pool, fresh,
        )  # fmt: skip
        found = [walk.slot_of(key ^ ties) for key in pool[:count]]
        newest = ties == walk.NEWEST_FIRST
        expected, met = naive.walk(g.codes, g.bias, g.links, lambda v: v, case.code[0], seed, limit, newest)
        assert found == expected
        assert scored == met if places == 2048 else scored >= met


@pytest.mark.parametrize("places", [1, 4, 1024])
def test_a_walk_among_equals_ends(places):
    """Where nothing is nearer than what was forgotten, nothing comes back."""
    rng = np.random.default_rng(9)
    codes, bias = aligned_empty((200, 64), np.uint8), np.zeros(200, np.int32)
    codes[:] = 0
    links = links_of(rng.integers(0, 200, (200, 8)).astype(np.uint32), SHORT)
    pool, fresh = np.empty(5, np.int64), np.empty(64, np.int64)
    count, _ = walk.walk(
        codes, bias, links, np.zeros(201, np.uint32), 0, 200, np.zeros((1, 64), np.int8), np.uint32(150), 5,
        walk.OLDEST_FIRST, np.empty(places, np.uint32), pool, fresh,
    )  # fmt: skip
    expected, _ = naive.walk(codes, bias, links, lambda v: v, np.zeros(64, np.int8), 150, 5)
    assert [walk.slot_of(key) for key in pool[:count]] == expected


def test_a_table_of_what_was_seen():
    for limit, places in ((1, 256), (4, 256), (5, 512), (1000, 1 << 16), (1 << 20, 1 << 20)):
        seen = walk.seen_table(limit)
        assert seen.dtype == np.uint32 and len(seen) == places
        some = np.random.default_rng(4).choice(1 << 31, min(places, 4096), replace=False).astype(np.uint32)
        taken = [walk.place_of(slot, walk.unused_bits(seen)) for slot in some]
        assert min(taken) >= 0 and max(taken) < places
        assert len(set(taken)) > 0.58 * len(some)
    assert walk.place_of(np.uint32(naive.NONE), walk.unused_bits(np.empty(1, np.uint32))) == 0


def test_descend(case):
    g = case.graph
    assert g.top >= 2
    for level in range(g.top + 1):
        found = walk.descend(
            g.codes, g.bias, g.upper, g.upper_start, g.rows, case.code, g.entry, g.top, level
        )
        assert found == naive.descend(
            g.codes, g.bias, g.upper, g.upper_start, case.code[0], g.entry, g.top, level
        )


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_walk_accepted(case, share):
    g = case.graph
    accept = np.random.default_rng(2).random(600) < share
    stamps, fresh = np.zeros(700, np.uint8), np.empty(g.links.shape[1] + 1, np.int64)
    best, pool = np.empty(12, np.int64), np.empty(600, np.int64)
    count, scored = hnsw_filtered.walk_past(
        g.codes, g.bias, g.links, g.rows, case.code, np.uint32(5), accept, 600,
        stamps, np.uint8(walk.next_stamp(stamps)), pool, fresh, best,
    )  # fmt: skip
    found = [walk.slot_of(key) for key in best[:count]]
    assert found == naive.walk_accepted(g.codes, g.bias, g.links, case.code[0], 5, 12, accept)
    assert count <= scored <= 600
    gave_up, scored = hnsw_filtered.walk_past(
        g.codes, g.bias, g.links, g.rows, case.code, np.uint32(5), accept, 8,
        stamps, np.uint8(walk.next_stamp(stamps)), pool, fresh, best,
    )  # fmt: skip
    assert gave_up == -1
    assert scored <= 8


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("room", [3, 16])
def test_walk_through(case, share, room):
    g = case.graph
    accept = np.random.default_rng(2).random(600) < share
    picks = np.flatnonzero(accept)
    seeds = np.empty(4, np.int64)
    taken = hnsw_filtered.sample_accepted(accept, 600, len(picks), seeds)
    assert taken == min(4, len(picks))
    wanted = [picks[(2 * i + 1) * len(picks) // (2 * taken)] for i in range(taken)]
    assert seeds[:taken].tolist() == wanted
    stamps, fresh = np.zeros(700, np.uint8), np.empty(24, np.uint32)
    hops, pool = np.empty(16, np.uint32), np.empty(12, np.int64)
    for entry in (5, int(picks[0]) if len(picks) else 7):
        arguments = g.codes, g.bias, g.links, g.rows, case.code, np.uint32(entry), seeds[:taken], accept
        count, work = hnsw_filtered.walk_through(
            *arguments, 10_000, stamps, np.uint8(walk.next_stamp(stamps)), hops, fresh, pool, room
        )
        found = [walk.slot_of(key) for key in pool[:count]]
        expected = naive.walk_through(
            g.codes, g.bias, g.links, case.code[0], entry, wanted, 12, accept, len(fresh), room
        )
        assert (found, work) == expected
        assert accept[found].all()
        if work > 1:
            assert hnsw_filtered.walk_through(
                *arguments, work - 1, stamps, np.uint8(walk.next_stamp(stamps)), hops, fresh, pool, room
            )[0] == -1  # fmt: skip


def test_seeds_of_a_mask_over_several_blocks():
    accept = np.zeros(20_000, np.bool_)
    accept[[3, 4095, 4096, 9000, 19_999]] = True
    for size in (1, 2, 5, 12):
        seeds = np.empty(size, np.int64)
        taken = hnsw_filtered.sample_accepted(accept, 20_000, 5, seeds)
        assert taken == min(5, size)
        assert accept[seeds[:taken]].all()
        assert len(set(seeds[:taken].tolist())) == taken


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_around_a_node(case, share):
    g = case.graph
    accept = np.random.default_rng(2).random(600) < share
    for node in (0, 77):
        near = naive.neighbours(g.links, node)
        around = [node, *near, *(two for one in near for two in naive.neighbours(g.links, one))]
        expected = np.mean([accept[slot] for slot in around])
        assert hnsw_filtered.local_share(g.links, g.rows, accept, np.uint32(node)) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_slots_of_a_mask(share):
    accept = np.random.default_rng(3).random(1000) < share
    for start, stop in ((0, 1000), (0, 0), (7, 7), (130, 999), (999, 1000)):
        found = marked_slots(accept, start, stop)
        assert found.dtype == np.uint32
        assert found.tolist() == [slot for slot in range(start, stop) if accept[slot]]


def test_a_scan_says_where_codes_cannot_tell_rows_apart():
    """Ten rows near the query, and hundreds on a sphere about it, which differ by less than rounding moves them."""
    rng = np.random.default_rng(0)
    shell = rng.standard_normal((3000, 32)).astype(np.float32)
    shell /= np.linalg.norm(shell, axis=1, keepdims=True)
    index = HnswIndex("l2", 32, m=4, ef_construction=20)
    vectors = np.concatenate([shell, shell[:10] / 8])
    index.extend(vectors, None, len(vectors), threads=1)
    s = index._snapshot

    def sure(rows):
        slots, distances = np.empty(5, np.int64), np.empty(5, np.float32)
        known = Vectors.of(vectors, None)
        return code_scan.scan_slots(
            0, *known.kernel_tables(), s.codes, s.bias, s.frame, s.inverse_step,
            rows, np.zeros(32, np.float32), 10, slots, distances,
        )  # fmt: skip

    everything, far = np.arange(3010, dtype=np.uint32), np.arange(3000, dtype=np.uint32)
    assert not sure(far)
    assert sure(far[:10])
    assert sure(np.concatenate([far[:2], everything[3000:3005], far[2:3]]))
    query = np.zeros(32, np.float32)
    found = index.scan_codes(vectors, None, query, 5, 10, far)
    expected = naive.exact_search("l2", vectors, None, query, 5, far.tolist())
    np.testing.assert_allclose(found[1], [value for _, value in expected], rtol=1e-6)


def test_a_scan_tells_rows_of_the_same_code_apart():
    """Rows that differ by less than a step of the codes: which are nearest only the rows themselves say."""
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((1000, 32)).astype(np.float32)
    close = (wide[0] + 1e-4 * rng.standard_normal((500, 32))).astype(np.float32)
    vectors = np.concatenate([wide, close])
    index = HnswIndex("l2", 32, m=4, ef_construction=20)
    index.extend(vectors, None, len(vectors), threads=1)
    rows = np.arange(len(vectors), dtype=np.uint32)
    for query in close[::100]:
        slots, _ = index.scan_codes(vectors, None, query, 5, 20, rows)
        expected = naive.exact_search("l2", vectors, None, query, 5, rows.tolist())
        assert slots.tolist() == [slot for slot, _ in expected]


def test_scan_of_slots_scores_the_best_codes_exactly(case):
    rows = np.random.default_rng(4).choice(600, 100, replace=False).astype(np.uint32)
    slots, distances = case.index.scan_codes(case.vectors, case.norms, case.query, 5, 20, rows)
    by_code = sorted(
        (naive.distance(case.graph.codes, case.graph.bias, r, case.code[0]), r) for r in rows.tolist()
    )
    expected = naive.exact_search(
        case.metric, case.vectors, case.norms, case.query, 5, [r for _, r in by_code[:20]]
    )
    assert slots.tolist() == [slot for slot, _ in expected]
    np.testing.assert_allclose(distances, [value for _, value in expected], rtol=1e-4, atol=1e-5)


def write(links, row, slots):
    """Have a row of links lead to some slots."""
    used = np.full((1, links.shape[1]), naive.NONE, np.uint32)
    used[0, : len(slots)] = slots
    put_slots(links[row : row + 1], used)


def test_batches_link_as_written_down(case):
    """Two batches, replayed node by node and edge by edge in Python."""
    index = HnswIndex(case.metric, 24, m=4, ef_construction=12)
    index.extend(
        case.vectors, case.norms, 300, threads=1, cancel=lambda: index.rows == 300
    )  # before the repair
    g, params = index._graph, index.params
    empty = SimpleNamespace(
        **{name: getattr(g, name) for name in ("codes", "bias", "levels", "upper_start")},
        links=np.full_like(g.links, 255), upper=np.full_like(g.upper, 255), entry=0, top=0,
    )  # fmt: skip
    for first, stop in ((0, 256), (256, 300)):
        chosen = {node: naive.own_links(empty, params, node, first) for node in range(first, stop)}
        rows = {
            (node, layer): (empty.upper, g.upper_start[node] + layer - 1) if layer else (empty.links, node)
            for node in range(stop)
            for layer in range(int(g.levels[node]) + 1)
        }
        added: dict[tuple[int, int], list[int]] = {}
        for node, layers in chosen.items():
            for layer, picked in layers.items():
                write(*rows[node, layer], picked)
                for target in picked:
                    added.setdefault((target, layer), []).append(node)
        for (target, layer), new in added.items():
            row = rows[target, layer]
            cap = params.m if layer else 2 * params.m
            old = naive.neighbours(*row)
            merged = naive.merged_links(g.codes, g.bias, target, old, new, cap, params.strictness)
            write(*row, merged)
        empty.entry = int(np.argmax(g.levels[:stop]))
        empty.top = int(g.levels[empty.entry])
    np.testing.assert_array_equal(g.links[:300], empty.links[:300])
    used = int(g.upper_start[300])
    np.testing.assert_array_equal(g.upper[:used], empty.upper[:used])


@pytest.mark.parametrize("size", [SHORT, WORD])
def test_merge_links_takes_each_group_to_its_row(case, size):
    g = case.graph
    links = empty_links(4, 16, size)
    for row, slots in enumerate(([], [10, 11, 12], range(20, 28), [])):
        write(links, row, slots)
    sources = np.array([30, 31, 40, 41, 42], np.uint32)
    hnsw_build.merge_links(
        g.codes, g.bias, links, 8, 14,
        np.array([1, 2]), np.array([50, 60]), np.array([0, 2, 5]), sources, 0, 2,
    )  # fmt: skip
    assert naive.neighbours(links, 1) == [10, 11, 12, 30, 31]
    assert naive.neighbours(links, 2) == naive.merged_links(
        g.codes, g.bias, 60, list(range(20, 28)), [40, 41, 42], 8, 14
    )
    assert naive.neighbours(links, 0) == naive.neighbours(links, 3) == []


@pytest.mark.parametrize("cap", [2, 8])
def test_repair_reaches_every_node(case, cap):
    """A graph cut in pieces, its rows full or not, becomes one."""
    g = case.graph
    links = empty_links(*g.links.shape)
    for node in range(600):
        ring = [node - node % 20 + (node + step) % 20 for step in range(1, cap + 1)]
        write(links, node, ring)
    assert naive.reachable(links, 600, 3) == 20
    missing = repair.attach_unreachable(
        g.codes, g.bias, links, g.upper_start, 600, np.uint32(3), cap, 30,
        np.empty(600, np.bool_), np.empty(600, np.uint32),
    )  # fmt: skip
    assert missing == 0
    assert naive.reachable(links, 600, 3) == 600
    assert (slots_of(links[:600])[:, cap:] == naive.NONE).all()


def test_interpreted_kernels_build_the_same_graph():
    script = """
import hashlib, numpy as np
from vego.index.hnsw.index import HnswIndex
vectors = np.random.default_rng(3).standard_normal((90, 5)).astype(np.float32)
index = HnswIndex("l2", 5, m=3, ef_construction=10)
index.extend(vectors, None, 90, threads=1)
slots, _ = index.search_batch(vectors, None, vectors[:10], 4, 10, 10)
print(hashlib.sha256(index._graph.links[:90].tobytes() + slots.tobytes()).hexdigest())
"""
    prints = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            env=os.environ | {"NUMBA_DISABLE_JIT": flag},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flag in ("0", "1")
    }
    assert len(prints) == 1
