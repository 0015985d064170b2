"""Codes on fewer axes than the vectors have: when they are used, that they are right, and that they come back."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from lance_fmt.kernels.decorator import kernel
from tests.support import naive_index as naive
from vego.errors import CorruptionError
from vego.index import HnswIndex, Metric, exact_search
from vego.index.hnsw import build
from vego.index.kernels import hnsw_build, removal
from vego.index.kernels.agreement import as_query, query_rows
from vego.index.kernels.distance import encode_query, encode_reduced
from vego.index.links import NONE, empty_links, slots_of
from vego.index.projection import LEAST_ROWS, LOST_SHARE, choose_axes, principal_axes
from vego.index.quantize import CodeScale
from vego.verification.graph import sampled_codes

ROWS, DIMENSION = LEAST_ROWS + 400, 160


@kernel
def offsets_of(codes, bias):
    """The offset of each row, as construction takes it."""
    offsets, row = np.empty(codes.shape[0], np.int64), query_rows(codes, 1)
    for v in range(codes.shape[0]):
        offsets[v] = as_query(codes, bias, v, row[0])
    return offsets


def folded(rows, seed=0, *, dimension=DIMENSION, latent=12, where=3):
    """Rows near a curved surface of few dimensions, away from the origin; `where` picks the surface."""
    surface = np.random.default_rng(where)
    first = surface.standard_normal((latent, 40)) / 3
    second = surface.standard_normal((40, dimension)) / 6
    rng = np.random.default_rng(seed)
    inner = np.tanh(rng.standard_normal((rows, latent)) @ first) @ second
    return (inner + 0.01 * rng.standard_normal((rows, dimension)) + 0.2).astype(np.float32)


def inverse(vectors):
    return (1 / np.linalg.norm(vectors, axis=1)).astype(np.float32)


def recall(index, vectors, queries, k=10, **options):
    norms = inverse(vectors)
    _, exact = exact_search(index.metric, vectors, norms, queries, k)
    _, found = index.search_batch(vectors, norms, queries, k, **options)
    return float((found <= exact[:, -1:] * (1 + 1e-4) + 1e-6).mean())


@pytest.fixture(scope="module", params=["l2", "cosine", "l2, the bias in rows"])
def case(request):
    """A graph of few rows, or as those of many are, whose rows of codes end with their biases."""
    vectors = folded(ROWS)
    index = HnswIndex(request.param.split(",")[0], DIMENSION, m=12, ef_construction=60)
    with pytest.MonkeyPatch.context() as patch:
        if "in rows" in request.param:
            patch.setattr("vego.index.projection.FAR_ROWS", 0)
        index.extend(vectors, inverse(vectors), ROWS, threads=1)
        assert index._graph.scale.bias_in_rows == ("in rows" in request.param)
        yield index, vectors


def rows_at(vectors):
    return lambda slots: vectors[slots]


def test_axes_are_those_of_the_singular_value_decomposition():
    rows = folded(3000, 5) - folded(3000, 5).mean(axis=0)
    axes = principal_axes(rows, 20)
    np.testing.assert_allclose(axes.T @ axes, np.eye(20), atol=2e-3)  # float16
    singular = np.linalg.svd(rows, compute_uv=False)
    assert np.square(rows @ axes).sum() >= 0.99 * np.square(singular[:20]).sum()


def test_axes_are_chosen_where_they_tell_neighbours_apart(monkeypatch):
    vectors = folded(ROWS)
    axes = choose_axes(rows_at(vectors), ROWS, vectors.mean(axis=0))
    assert axes is not None
    assert axes.shape == (DIMENSION, 64)
    assert np.array_equal(axes, axes.astype(np.float16).astype(np.float32))
    assert np.array_equal(axes, choose_axes(rows_at(vectors), ROWS, vectors.mean(axis=0)))
    monkeypatch.setattr("vego.index.projection.FAR_ROWS", ROWS)
    fewer = choose_axes(rows_at(vectors), ROWS, vectors.mean(axis=0))
    assert fewer is not None and fewer.shape == (DIMENSION, 60)


def test_a_graph_that_grows_takes_its_biases_into_the_codes(monkeypatch):
    monkeypatch.setattr("vego.index.projection.FAR_ROWS", 2 * ROWS)
    vectors = folded(2 * ROWS)
    index, norms = HnswIndex("l2", DIMENSION, m=12, ef_construction=60), inverse(vectors)
    for stop, inside in ((ROWS, False), (2 * ROWS, True)):
        index.extend(vectors, norms, stop, threads=1)
        assert index._graph.scale.bias_in_rows == inside
        assert len(index._graph.bias) == (0 if inside else stop)
    assert recall(index, vectors, folded(100, 6), ef=64) >= 0.95


@pytest.mark.parametrize("kind", ["even", "clusters", "few", "narrow"])
def test_all_dimensions_are_kept_where_they_are_needed(kind):
    """Clusters far apart put nearly all energy on few axes, and what tells their rows apart on none."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((ROWS, DIMENSION)).astype(np.float32)
    if kind == "clusters":
        vectors += 20 * rng.standard_normal((30, DIMENSION)).astype(np.float32)[rng.integers(0, 30, ROWS)]
    if kind == "few":
        vectors = folded(LEAST_ROWS - 1)
    if kind == "narrow":
        vectors = folded(ROWS, dimension=64)
    assert choose_axes(rows_at(vectors), len(vectors), vectors.mean(axis=0)) is None


def test_the_inner_product_keeps_all_dimensions():
    vectors = folded(ROWS)
    index = HnswIndex("ip", DIMENSION, m=4, ef_construction=8)
    index.extend(vectors, None, ROWS, threads=1)
    assert index._graph.scale.axes is None
    assert index._graph.codes.shape[1] == 192


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("dimension", [70, 128, 300])
@pytest.mark.parametrize("width", [60, 64])
def test_a_query_is_encoded_as_rows_are(metric, dimension, width):
    rng = np.random.default_rng(dimension)
    rows = rng.standard_normal((50, dimension)).astype(np.float32) * 3 + 1
    axes = np.linalg.qr(rng.standard_normal((dimension, width)))[0].astype(np.float16).astype(np.float32)
    scale = CodeScale(
        rng.standard_normal(dimension).astype(np.float32) / 9, 0.09 if metric == "l2" else 0.004, axes
    )
    code, Q = np.full(64, 9, np.int8), Metric(metric).code
    for row in rows:
        norm = encode_query(Q, row, scale.frame, scale.inverse_step, code)
        used = row / np.linalg.norm(row) if metric == "cosine" else row
        assert norm == pytest.approx(1 / np.linalg.norm(row) if metric == "cosine" else 1, rel=1e-4)
        expected = np.clip(((used - scale.centre) @ axes) * scale.inverse_step, -128, 127)
        assert not code[width:].any()
        assert np.abs(code[:width] - expected).max() <= 2
        assert np.abs(code[:width] - expected).mean() <= 0.6  # 0.25 is what rounding the code alone costs
    encode_query(Q, scale.centre, scale.frame, scale.inverse_step, code)
    assert metric == "cosine" or not code.any()


def test_codes_are_those_of_the_rows_on_the_axes(case):
    index, vectors = case
    graph = index._graph
    scale = graph.scale
    assert graph.codes.shape[1] == 64
    rows = vectors * inverse(vectors)[:, None] if index.metric is Metric.COSINE else vectors
    short = (rows - scale.centre).astype(np.float64) @ scale.axes.astype(np.float64)
    left_out = np.square(rows - scale.centre, dtype=np.float64).sum(axis=1) - np.square(short).sum(axis=1)
    width = short.shape[1]
    codes, bias, offset = naive.encode("l2", short, None, 0, scale.inverse_step, width)
    offsets = offsets_of(graph.codes[:ROWS], graph.bias)
    found = graph.codes[:ROWS, :width].astype(int)
    assert np.abs(found - codes).max() <= 1
    same = (found == codes).all(axis=1)
    assert same.mean() > 0.9
    rest = LOST_SHARE * left_out * float(scale.inverse_step) ** 2
    for kept, expected in ((graph.biases, bias), (offsets, offset)):
        np.testing.assert_allclose(kept[:ROWS][same] - expected[same], rest[same], atol=2, rtol=2e-2)
    query = np.empty(64, np.int8)
    encode_query(index.metric.code, vectors[7], scale.frame, scale.inverse_step, query)
    assert np.abs(query[:width].astype(int) - (found[7] - 128)).max() <= 2


def test_what_is_left_out_never_overflows():
    codes, bias = np.empty((1, 64), np.uint8), np.empty(1, np.int32)
    encode_reduced(np.zeros((1, 64), np.float32), np.full(1, 1e30, np.float32), np.float32(9), codes, bias)
    assert bias[0] == 64 * 128**2 - 256 * 64 * 128 + (1 << 28)


def test_recall_on_axes_is_that_of_all_dimensions(case, monkeypatch):
    index, vectors = case
    queries = folded(200, 9)
    assert recall(index, vectors, queries, ef=64) >= 0.97
    monkeypatch.setattr("vego.index.quantize.choose_axes", lambda *_: None)
    whole = HnswIndex(index.metric, DIMENSION, m=12, ef_construction=60)
    whole.extend(vectors, inverse(vectors), ROWS, threads=1)
    assert whole._graph.codes.shape[1] == 192
    assert recall(index, vectors, queries, ef=64) >= recall(whole, vectors, queries, ef=64) - 0.02


def test_one_and_many_queries_agree(case):
    index, vectors = case
    queries = folded(21, 4)
    norms = inverse(vectors)
    slots, distances = index.search_batch(vectors, norms, queries, 5, 40)
    for number, query in enumerate(queries):
        one = index.search(vectors, norms, query, 5, 40)
        assert one[0].tolist() == slots[number].tolist()
        assert one[1].tolist() == distances[number].tolist()


def test_the_graph_does_not_depend_on_threads(case):
    index, vectors = case
    other = HnswIndex(index.metric, DIMENSION, m=12, ef_construction=60)
    other.extend(vectors, inverse(vectors), ROWS, threads=2)
    np.testing.assert_array_equal(other._graph.codes[:ROWS], index._graph.codes[:ROWS])
    np.testing.assert_array_equal(other._graph.links[:ROWS], index._graph.links[:ROWS])


def test_rows_unlike_the_others_get_axes_of_their_own():
    first, second = folded(ROWS), folded(ROWS // 3, where=8)
    vectors = np.concatenate([first, second])
    norms = inverse(vectors)
    index = HnswIndex("l2", DIMENSION, m=12, ef_construction=60)
    index.extend(vectors, norms, ROWS, threads=1)
    before = index._graph.scale.axes
    index.extend(vectors, norms, len(vectors), threads=1)
    after = index._graph.scale.axes
    spread = second - vectors.mean(axis=0)
    assert after is None or np.square(spread @ after).sum() > 0.9 * np.square(spread).sum()
    assert np.square(spread @ before).sum() < 0.8 * np.square(spread).sum()
    assert recall(index, vectors, folded(100, 6, where=8), ef=64) >= 0.95
    assert recall(index, vectors, folded(100, 6), ef=64) >= 0.95


@pytest.mark.parametrize("case", ["l2, the bias in rows"], indirect=True)
def test_kernels_find_the_bias_in_either_place(case):
    """Searches, links and repairs are the same, to the bit, where the bias is an array and where it is in the codes."""
    index, vectors = case
    graph, norms = index._graph, inverse(vectors)
    apart = graph.codes.copy()
    apart[:, -4:] = 0
    plain = replace(graph, codes=apart, bias=graph.biases.copy())
    other = HnswIndex.of(index.params, plain)
    queries, rng = folded(20, 4), np.random.default_rng(0)
    for accept in (None, rng.random(ROWS) < 0.5, rng.random(ROWS) < 0.02):
        one, two = (i.search_batch(vectors, norms, queries, 5, 40, accept=accept) for i in (index, other))
        np.testing.assert_array_equal(one, two)
    rows = rng.choice(ROWS, 300, replace=False).astype(np.uint32)
    np.testing.assert_array_equal(
        *(i.scan_codes(vectors, norms, queries[0], 5, 40, rows) for i in (index, other))
    )
    made = []
    removed = rng.random(ROWS) < 0.2
    for g in (graph, plain):
        links, healed = empty_links(*g.links.shape), empty_links(*g.links.shape)
        links[:], healed[:] = 255, g.links
        links[: ROWS - 100] = g.links[: ROWS - 100]
        hnsw_build.link_batch(
            g.codes, g.bias, links, g.upper.copy(), g.upper_start, g.levels, ROWS - 100,
            np.uint32(5), 0, ROWS - 100, ROWS, 12, 14, 60,
        )  # fmt: skip
        hnsw_build.merge_links(
            g.codes, g.bias, links, 24, 14, np.array([3]), np.array([3]), np.array([0, 40]),
            np.arange(100, 140, dtype=np.uint32), 0, 1,
        )  # fmt: skip
        removal.bypass(
            g.codes, g.bias, g.links, g.upper_start, 0, removed,
            np.flatnonzero(~removed)[:50], 0, 50, 24, 14, 60, np.zeros(ROWS + 1, np.uint8), healed,
        )  # fmt: skip
        made.append((links[:ROWS], healed[:ROWS]))
    for one, two in zip(*made, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (slots_of(made[0][0][ROWS - 100 :]) != NONE).any() and (made[0][1] != graph.links[:ROWS]).any()


def test_a_few_more_rows_keep_the_axes(case):
    index, vectors = case
    more = np.concatenate([vectors, folded(20, where=8)])
    copy = index.copy()
    copy.extend(more, inverse(more), len(more), threads=1)
    assert copy._graph.scale is index._graph.scale
    np.testing.assert_array_equal(copy._graph.codes[:ROWS], index._graph.codes[:ROWS])


def test_removed_nodes_leave_codes_and_axes_as_they_are(case):
    index, vectors = case
    removed = np.random.default_rng(0).random(ROWS) < 0.3
    smaller = index.without(removed)
    assert smaller._graph.scale is index._graph.scale
    np.testing.assert_array_equal(smaller._graph.codes, index._graph.codes[:ROWS][~removed])
    assert recall(smaller, vectors[~removed], folded(100, 2), ef=64) >= 0.95


def test_axes_come_back_from_a_file(case):
    index, vectors = case
    columns, metadata = index.to_columns()
    assert metadata["version"] == ("4" if index._graph.scale.bias_in_rows else "2")
    assert ("bias" in columns) == (metadata["version"] == "2")
    again = HnswIndex.from_columns(columns, metadata)
    for one, other in zip(again._graph.scale.frame, index._graph.scale.frame, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again._graph.scale.lost == index._graph.scale.lost
    queries, norms = folded(20, 3), inverse(vectors)
    for one, other in zip(
        again.search_batch(vectors, norms, queries, 5),
        index.search_batch(vectors, norms, queries, 5),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    more = np.concatenate([vectors, folded(50, 8)])
    again.extend(more, inverse(more), len(more), threads=1)
    assert recall(again, more, folded(50, 8), 1, ef=64) >= 0.95


def test_a_graph_of_all_dimensions_is_written_as_version_1():
    vectors = folded(300)
    index = HnswIndex("l2", DIMENSION)
    index.extend(vectors, None, 300, threads=1)
    _, metadata = index.to_columns()
    assert metadata["version"] == "1"
    assert not {"code_axes", "code_lost"} & set(metadata)


@pytest.mark.parametrize(
    "change",
    [
        {"code_axes": "!"},
        {"code_axes": ""},
        {"code_axes": base64.b64encode(np.zeros(DIMENSION * 63, "<f2").tobytes()).decode()},
        {"code_axes": base64.b64encode(np.zeros(DIMENSION * 128, "<f2").tobytes()).decode()},
        {"code_axes": base64.b64encode(np.full(DIMENSION * 64, np.nan, "<f2").tobytes()).decode()},
        {"code_axes": base64.b64encode(np.full(DIMENSION * 64, 7, "<f2").tobytes()).decode()},
        {"code_lost": "nan"},
        {"code_lost": "-1"},
        {"code_lost": "x"},
        {"metric": "ip"},
        {"version": "1"},
        {"code_axes": None},
        {"code_lost": None},
    ],
)
def test_damaged_axes_are_refused(case, change):
    columns, metadata = case[0].to_columns()
    damaged = {key: value for key, value in (metadata | change).items() if value is not None}
    with pytest.raises(CorruptionError):
        HnswIndex.from_columns(columns, damaged)


def test_verification_sees_a_wrong_code_or_bias_on_axes(case):
    index, vectors = case
    columns, metadata = index.to_columns()
    assert sampled_codes(columns, metadata, vectors, np.arange(len(vectors)), "index") == ""
    biases = ("codes", slice(-4, None)) if index._graph.scale.bias_in_rows else ("bias", ...)
    for (name, where), wrong in ((("codes", slice(0, 60)), 9), (biases, 100_000)):
        array = columns[name].array.copy()
        part = array[0:1, where] if array.ndim == 2 else array[0:1]
        (part.view(np.int32) if wrong > 255 else part)[...] += wrong
        changed = columns | {name: type(columns[name]).from_numpy(array)}
        assert "1 of 256 sampled rows" in sampled_codes(
            changed, metadata, vectors, np.arange(len(vectors)), "index"
        )


def test_axes_are_chosen_again_when_rows_double(monkeypatch):
    asked = []
    monkeypatch.setattr(
        build, "train_scale", lambda *a, train=build.train_scale: asked.append(a[2]) or train(*a)
    )
    vectors = folded(2 * ROWS)
    index = HnswIndex("l2", DIMENSION, m=4, ef_construction=8)
    for stop in (100, ROWS, ROWS + 500, 2 * ROWS):
        index.extend(vectors, None, stop, threads=1)
    assert asked == [100, ROWS, 2 * ROWS]


def test_a_scan_knows_what_the_axes_left_out(case):
    """The nearest share with the query what the axes leave out; others do not, and look nearer by the codes."""
    index, vectors = case[0].copy(), case[1]
    axes = index._graph.scale.axes
    rng = np.random.default_rng(8)

    def outside(rows, length):
        free = rng.standard_normal((rows, DIMENSION))
        free -= free @ axes @ axes.T
        return length * free / np.linalg.norm(free, axis=1, keepdims=True)

    point = vectors[:1] - (vectors[:1] - index._graph.scale.centre) @ (np.eye(DIMENSION) - axes @ axes.T)
    common = outside(1, 1.0)
    near = point + common + 1e-3 * rng.standard_normal((5, DIMENSION))
    bare, other = np.repeat(point, 30, axis=0), point + outside(400, 0.95)
    extra = np.concatenate([near, bare, other]).astype(np.float32)
    vectors = np.concatenate([vectors, extra])
    norms = inverse(vectors)
    index.extend(vectors, norms, len(vectors), threads=1)
    assert index._graph.scale.axes is axes
    rows = np.arange(ROWS, len(vectors), dtype=np.uint32)
    query = (point + common)[0].astype(np.float32)
    if index.metric is Metric.COSINE:
        query /= np.linalg.norm(query)
    slots, distances = index.scan_codes(vectors, norms, query, 5, 40, rows)
    wanted, exact = exact_search(index.metric, vectors, norms, query[None], 5, rows=rows)
    assert (wanted < ROWS + 5).all()
    assert slots.tolist() == wanted[0].tolist()
    assert distances.tolist() == exact[0].tolist()
