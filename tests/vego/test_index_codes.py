from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.kernels.decorator import kernel
from tests.support import naive_codes as naive
from vego.index.codes import CODE_KINDS, coder_class
from vego.index.codes.product import ProductCoder
from vego.index.codes.rabitq import RaBitQCoder
from vego.index.kernels import fastscan, halves, ivf_search, product_codes, rotation, scoring, walk
from vego.index.metrics import Metric

METRICS = [Metric.L2, Metric.COSINE, Metric.INNER_PRODUCT]


def sample(rows, dimension, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)


@given(lines=st.integers(1, 40), seed=st.integers(0, 1 << 32), top=st.sampled_from([1, 16, 255]))
def test_block_sums(lines, seed, top):
    rng = np.random.default_rng(seed)
    groups = 4 * lines
    blocks = rng.integers(0, 256, (3, 16 * groups), dtype=np.uint8)
    table = rng.integers(0, top + 1, 16 * groups, dtype=np.uint8)
    table[16 * (65535 // 255) :] = 0  # no sum above 16 bits
    fast, plain = np.empty(32, np.uint16), np.empty(32, np.uint16)
    for block in range(3):
        fastscan.sum_block(blocks, block, table, fast)
        fastscan.sum_block_loop(blocks, block, table, plain)
        expected = naive.block_sums(blocks[block], table)
        assert fast.tolist() == plain.tolist() == expected


def test_the_largest_sum_there_can_be():
    blocks = np.full((1, 16 * 256), 0xFF, np.uint8)
    table = np.full(16 * 256, 255, np.uint8)
    sums = np.empty(32, np.uint16)
    fastscan.sum_block(blocks, 0, table, sums)
    assert sums.tolist() == [65280] * 32
    table[15] = 0
    fastscan.sum_block(blocks, 0, table, sums)
    assert sums.tolist() == [65025] * 32


def test_the_widest_shuffle_is_chosen():
    assert fastscan.shuffle_bytes("+sse2,+ssse3,+avx2,+avx512f,+avx512bw") == 64
    assert fastscan.shuffle_bytes("+ssse3,+avx2,-avx512bw") == 32
    assert fastscan.shuffle_bytes("+ssse3") == 16
    assert fastscan.shuffle_bytes("+neon") == fastscan.shuffle_bytes("") == 0


SUMS = """
import hashlib, numpy as np
from vego.index.kernels.fastscan import sum_block
rng = np.random.default_rng(3)
blocks = rng.integers(0, 256, (4, 192), dtype=np.uint8)
table, sums = rng.integers(0, 256, 192, dtype=np.uint8), np.empty(32, np.uint16)
parts = []
for block in range(4):
    sum_block(blocks, block, table, sums)
    parts.append(sums.tobytes())
print(hashlib.sha256(b"".join(parts)).hexdigest())
"""
SEARCHES = """
import hashlib, numpy as np
from vego.index.ivf import IvfIndex
vectors = np.random.default_rng(3).integers(-8, 9, (90, 6)).astype(np.float32)
parts = []
for code in ("flat", "pq", "rabitq", "sq8", "f16"):
    index = IvfIndex("l2", 6, code=code, lists=3)
    index.extend(vectors, None, 90, threads=1)
    parts.append(index.search_batch(vectors, None, vectors[:10], 4, nprobe=3, rerank=90)[0].tobytes())
print(hashlib.sha256(b"".join(parts)).hexdigest())
"""


def outputs(script, environments):
    """What a script prints in new processes of these environments."""
    prints = set()
    for environment in environments:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        prints.add(done.stdout)
    return prints


def test_every_processor_sums_the_same():
    """Compiled for AVX-512, AVX2, SSSE3, none of them."""
    if not fastscan.shuffle_bytes(_features()):
        pytest.skip("this processor has one way only")
    features = ["+sse2,+ssse3,+sse4.1,+avx,+avx2", "+sse2,+ssse3", "+sse2"]
    generic = [{"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": text} for text in features]
    assert len(outputs(SUMS, [{}, *generic])) == 1


def test_interpreted_kernels_find_the_same():
    assert len(outputs(SEARCHES, [{}, {"NUMBA_DISABLE_JIT": "1"}])) == 1


def _features():
    import llvmlite.binding

    return llvmlite.binding.get_host_cpu_features().flatten()


@given(
    dimension=st.integers(1, 40),
    size=st.sampled_from([2, 4]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    seed=st.integers(0, 1 << 32),
)
def test_tables_stand_for_products(dimension, size, scale, seed):
    rng = np.random.default_rng(seed)
    groups = -(-dimension // size)
    codebooks = (rng.standard_normal((groups, size, 16)) * scale).astype(np.float32)
    query = rng.standard_normal(dimension).astype(np.float32)
    table = np.full(16 * -(-groups // 4) * 4, 7, np.uint8)
    codewords = np.ascontiguousarray(codebooks.transpose(1, 2, 0))
    low, step = product_codes.query_table(
        query, np.float32(-2), codewords, np.empty((18, groups), np.float32), table
    )
    padded = np.zeros(groups * size)
    padded[:dimension] = query
    exact = -2 * np.einsum("gs,gsj->gj", padded.reshape(groups, size), codebooks.astype(np.float64))
    least = exact.min(axis=1)
    entries = table[: 16 * groups].reshape(groups, 16).astype(np.int64)
    np.testing.assert_allclose(low, least.sum(), rtol=1e-4, atol=1e-4 * scale)
    assert (np.abs(entries * step - (exact - least[:, None])) <= step * 0.51 + 1e-4 * scale).all()
    assert (table[16 * groups :] == 0).all()
    assert entries.max(axis=1).sum() <= 65535


def test_tables_of_many_groups_do_not_overflow():
    groups = 1000
    codebooks = np.zeros((groups, 2, 16), np.float32)
    codebooks[:, 0] = np.arange(16)
    table = np.empty(16 * groups, np.uint8)
    low, step = product_codes.query_table(
        np.tile(np.float32([1, 0]), groups), np.float32(1),
        np.ascontiguousarray(codebooks.transpose(1, 2, 0)), np.empty((18, groups), np.float32), table,
    )  # fmt: skip
    assert table.reshape(groups, 16).astype(int).max(axis=1).sum() <= 65535
    assert table.max() >= 60
    np.testing.assert_allclose(low + step * 15 * groups / step, 15 * groups)


def test_a_zero_query_has_a_table():
    codewords = sample(32, 8).reshape(2, 16, 8)
    table = np.empty(128, np.uint8)
    low, step = product_codes.query_table(
        np.zeros(16, np.float32), np.float32(-2), codewords, np.empty((18, 8), np.float32), table
    )
    assert (low, step) == (0, 0)
    assert not table.any()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [ProductCoder, RaBitQCoder])
@pytest.mark.parametrize("dimension", [1, 3, 24, 30])
def test_codes_are_the_nearest_codewords_and_factors_what_they_say(metric, kind, dimension):
    points, centroids = sample(300, dimension), sample(5, dimension, 1)
    lists = np.random.default_rng(2).integers(0, 5, 300).astype(np.uint32)
    coder = kind.train(metric, points - centroids[lists], points, 7)
    columns = coder.encode(points, centroids, lists)
    matrix = naive.rotation(coder.signs)
    residuals = (points - centroids[lists]).astype(np.float64) @ matrix
    codes = np.empty((300, coder.groups), np.uint8)
    codes[:, ::2], codes[:, 1::2] = columns["codes"] & 15, columns["codes"][:, : coder.groups // 2] >> 4
    distances = naive.encode(residuals, coder.codebooks)
    chosen = np.take_along_axis(distances, codes[:, :, None].astype(int), 2)[:, :, 0]
    assert (chosen <= distances.min(axis=2) + 1e-4).all()
    words = naive.codewords_of(coder.codebooks, codes, dimension)
    squares, along = (residuals**2).sum(axis=1), (residuals * words).sum(axis=1)
    near = (centroids[lists].astype(np.float64) @ matrix * words).sum(axis=1)
    good = along > 0.05 * squares  # else a factor is a quotient of roundings
    weight = squares / along
    np.testing.assert_allclose(columns["weight"][good], weight[good], rtol=1e-3)
    bias = np.zeros(300) if metric is Metric.INNER_PRODUCT else squares + 2 * weight * near
    np.testing.assert_allclose(columns["bias"][good], bias[good], rtol=1e-3, atol=1e-3)
    error = np.linalg.norm(residuals - weight[:, None] * words, axis=1)
    np.testing.assert_allclose(columns["error"][good], error[good], rtol=1e-3, atol=0.02)


def test_a_row_at_its_centroid_is_estimated_at_no_distance():
    centroids = sample(2, 16)
    coder = ProductCoder.train(Metric.L2, sample(100, 16), sample(100, 16), 0)
    columns = coder.encode(centroids.copy(), centroids, np.arange(2, dtype=np.uint32))
    for name in ("weight", "bias", "error"):
        assert (columns[name] == 0).all()


def test_training_lowers_the_error_and_uses_every_codeword():
    residuals = np.random.default_rng(0).standard_normal((5000, 8)).astype(np.float32)
    residuals[:, 2:4] *= 30
    coder = ProductCoder.train(Metric.L2, residuals, residuals, 0)
    again = ProductCoder.train(Metric.L2, residuals, residuals, 0)
    np.testing.assert_array_equal(coder.codebooks, again.codebooks)
    other = ProductCoder.train(Metric.L2, residuals, residuals, 1)
    assert not np.array_equal(coder.codebooks, other.codebooks)
    distances = naive.encode(residuals, coder.codebooks)
    error = distances.min(axis=2).mean(axis=0)
    variance = (residuals**2).reshape(5000, 4, 2).sum(axis=2).mean(axis=0)
    assert (error / variance < 0.15).all(), error / variance  # 16 cells of a plane: 0.116 at best
    assert all(len(np.unique(distances[:, m].argmin(axis=1))) == 16 for m in range(4))


def test_rows_too_far_for_any_distance_get_the_first_codeword():
    """Whatever the memory for the answer held before: it is an index later."""
    for size in (2, 4):
        rows = np.full((size, product_codes.WIDTH), 3e38, np.float32)
        picked = np.full(product_codes.WIDTH, 1 << 30, np.int32)
        best = np.zeros(product_codes.WIDTH, np.float32)
        product_codes.nearest_codeword(rows, -rows[:, :16].copy(), best, picked)
        assert np.isinf(best).all()
        assert not picked.any()


def test_training_on_few_different_rows():
    residuals = np.repeat(sample(3, 6), 50, axis=0)
    coder = ProductCoder.train(Metric.L2, residuals, residuals, 0)
    assert np.isfinite(coder.codebooks).all()
    assert naive.encode(residuals, coder.codebooks).min(axis=2).max() < 1e-9


@given(dimension=st.integers(1, 70), seed=st.integers(0, 1 << 63))
def test_rotations_are_orthogonal_and_as_written_down(dimension, seed):
    coder = RaBitQCoder.restore(Metric.L2, dimension, np.empty(0, np.float32), seed)
    rows = sample(4, dimension)
    turned = rows.copy()
    rotation.rotate_rows(turned, coder.signs)
    matrix = naive.rotation(coder.signs)
    np.testing.assert_allclose(turned, rows @ matrix, atol=1e-4)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(dimension), atol=1e-9)
    assert set(np.unique(coder.signs)) <= {-1, 1}


@pytest.mark.parametrize("kind", [RaBitQCoder, ProductCoder])
@pytest.mark.parametrize("metric", METRICS)
def test_estimates_have_no_bias_and_bounds_hold(kind, metric):
    """Over rows and queries, 2.4 deviations cover at least what they cover of a normal distribution."""
    points, queries = sample(2000, 96) + sample(1, 96, 2), sample(20, 96, 1)
    centroids = points.mean(axis=0, keepdims=True)
    lists = np.zeros(2000, np.uint32)
    coder = kind.train(metric, points - centroids[0], points, 3)
    columns = coder.encode(points, centroids, lists)
    codes = np.empty((2000, coder.groups), np.uint8)
    codes[:, ::2], codes[:, 1::2] = columns["codes"] & 15, columns["codes"][:, : coder.groups // 2] >> 4
    words = naive.codewords_of(coder.codebooks, codes, 96)
    matrix = naive.rotation(coder.signs)
    errors, covered = [], []
    for query in queries.astype(np.float64):
        products = columns["weight"] * (words @ (query @ matrix))
        if metric is Metric.INNER_PRODUCT:
            estimate, truth = -(query @ centroids[0]) - products, -(points @ query)
            spread = np.linalg.norm(query)
        else:
            base = ((query - centroids[0]) ** 2).sum()
            estimate = base + columns["bias"] - 2 * products
            truth = ((points - query) ** 2).sum(axis=1)
            spread = 2 * np.sqrt(base)
        deviation = spread * columns["error"] / np.sqrt(95)
        errors.append((estimate - truth) / deviation)
        covered.append(estimate - 2.4 * deviation <= truth)
    assert abs(np.mean(errors)) < 0.05
    assert 0.8 < np.std(errors) < 1.1
    assert np.mean(covered) > 0.988


@pytest.mark.parametrize("kind", CODE_KINDS)
@pytest.mark.parametrize("dimension", [1, 5, 8, 33])
def test_what_is_put_can_be_taken(kind, dimension):
    points = sample(70, dimension)
    lists = np.zeros(70, np.uint32)
    centroids = points.mean(axis=0, keepdims=True)
    coder = coder_class(kind).train(Metric.L2, points - centroids, points, 0)
    columns = coder.encode(points, centroids, lists)
    assert {name: (c.dtype.type, c.shape[1:]) for name, c in columns.items()} == coder.columns()
    arrays = coder.room(-(-150 // coder.unit_rows))
    places = np.random.default_rng(0).permutation(150)[:70]
    coder.put(arrays, places[:30], {name: c[:30] for name, c in columns.items()})
    coder.put(arrays, places[30:], {name: c[30:] for name, c in columns.items()})
    for name, column in coder.take(arrays, places).items():
        np.testing.assert_array_equal(column, columns[name], err_msg=name)
    again = coder_class(kind).restore(Metric.L2, dimension, coder.trained(), 0)
    assert len(coder.trained()) == coder_class(kind).trained_size(dimension)
    for name, column in again.encode(points, centroids, lists).items():
        np.testing.assert_array_equal(column, columns[name], err_msg=name)


def test_every_16_bit_float_is_widened_exactly():
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[np.isfinite(bits.view(np.float16))]
    found = np.array([halves.widened(halves.FLOAT16, value) for value in bits], np.float32)
    np.testing.assert_array_equal(
        found.view(np.uint32), bits.view(np.float16).astype(np.float32).view(np.uint32)
    )
    every = np.arange(1 << 16, dtype=np.uint16)
    every = every[every & 0x7FFF <= 0x7F80]  # not the many that are no numbers
    found = np.array([halves.widened(halves.BFLOAT16, value) for value in every], np.float32)
    np.testing.assert_array_equal(found.view(np.uint32), every.astype(np.uint32) << 16)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_rounding_to_16_bits(values):
    rows = np.array([values], np.float32)
    out = np.empty(rows.shape, np.uint16)
    halves.round_rows(halves.BFLOAT16, rows, out)
    np.testing.assert_array_equal(out, naive.bfloat16(rows))
    halves.round_rows(halves.FLOAT16, rows, out)
    np.testing.assert_array_equal(out, naive.float16(rows))


def test_rounding_near_every_half():
    """Each float16, the point half way to the next, and its neighbours in float32."""
    bits = np.arange(0x7BFF, dtype=np.uint16)
    low, high = (
        bits.view(np.float16).astype(np.float32),
        (bits + 1).astype(np.uint16).view(np.float16).astype(np.float32),
    )
    middle = (low + high) / 2
    rows = np.concatenate([low, middle, np.nextafter(middle, low), np.nextafter(middle, high)])[None]
    rows = np.concatenate([rows, -rows])
    out = np.empty(rows.shape, np.uint16)
    halves.round_rows(halves.FLOAT16, rows, out)
    np.testing.assert_array_equal(out, naive.float16(rows))


@kernel
def half_sums(product, kind, rows, query, out):
    for i in range(rows.shape[0]):
        out[i] = scoring.half_sum(product, kind, scoring.row_address(rows, np.uint32(i)), query)


@kernel
def float_sums(operation, kind, rows, query, out):
    for i in range(rows.shape[0]):
        out[i] = scoring.row_sum(operation, kind, scoring.row_address(rows, np.uint32(i)), query)


@given(dimension=st.integers(1, 150), product=st.booleans(), scale=st.sampled_from([1.0, 1e-6, 1e4]))
def test_sums_of_rows(dimension, product, scale):
    """Of 32 and 16 bits, by the kernel, the plain loop and NumPy; with values that float16 has few bits for."""
    rows, query = sample(9, dimension) * np.float32(scale), sample(1, dimension, 1)[0]
    out = np.empty(9, np.float32)
    for kind in (None, halves.FLOAT16, halves.BFLOAT16):
        stored, wide = rows, rows
        if kind is None:
            operation = scoring.PRODUCTS if product else scoring.SQUARES
            float_sums(operation, scoring.FLOAT32, rows, query, out)
            plain = [
                scoring.row_sum_loop(operation, scoring.FLOAT32, scoring.address_of_row(rows, i), query)
                for i in range(9)
            ]
        else:
            stored = np.empty(rows.shape, np.uint16)
            halves.round_rows(kind, rows, stored)
            wide = (stored.astype(np.uint32) << 16).view(np.float32)
            wide = wide if kind else stored.view(np.float16).astype(np.float32)
            half_sums(product, kind, stored, query, out)
            plain = [
                scoring.half_sum_loop(product, kind, scoring.address_of_row(stored, i), query)
                for i in range(9)
            ]
        wide = wide.astype(np.float64)
        terms = wide * query if product else (wide - query) ** 2
        spread = np.abs(terms).sum(axis=1) * 1e-6
        assert (np.abs(out - terms.sum(axis=1)) <= spread).all()
        assert (np.abs(plain - terms.sum(axis=1)) <= spread).all()


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=20), st.integers(0, 2**31 - 1))
def test_keys_keep_the_order_of_values(values, slot):
    values = np.array(values, np.float32) + np.float32(0)  # no negative zero
    keys = [ivf_search.ordered(value, slot) for value in values]
    assert [ivf_search.value_of(key) for key in keys] == values.tolist()
    assert [walk.slot_of(key) for key in keys] == [slot] * len(values)
    assert np.argsort(keys, kind="stable").tolist() == np.argsort(values, kind="stable").tolist()
