"""Products of axes with queries: the same integers by every instruction, and codes of many queries as of each alone."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.kernels.decorator import kernel
from vego.index import Metric
from vego.index.kernels.distance import encode_queries, encode_query
from vego.index.kernels.on_axes import STRIP, TOGETHER, axis_products, axis_products_loop
from vego.index.projection import STEP
from vego.index.quantize import CodeScale


@kernel
def products(axes, queries, out):
    for strip in range(out.shape[1] // STRIP):
        axis_products(axes, strip, queries, out)


def sample(count, lines=3, strips=2):
    """Axes as rows (strips * STRIP, dimensions), the same packed by hand, and queries; the extremes are among them."""
    rng = np.random.default_rng(count)
    rows = rng.integers(0, 256, (strips * STRIP, 64 * lines), dtype=np.uint8)
    rows[0], rows[1] = 255, 0
    queries = rng.integers(-127, 128, (count, 64 * lines)).astype(np.int8)
    queries[0, ::2] = -127
    packed = np.empty((strips * 16 * lines, 4 * STRIP), np.uint8)
    for strip in range(strips):
        for group in range(16 * lines):
            for axis in range(STRIP):
                four = rows[strip * STRIP + axis, 4 * group : 4 * group + 4]
                packed[strip * 16 * lines + group, 4 * axis : 4 * axis + 4] = four
    return rows, packed, queries


def expected(rows, queries):
    return queries.astype(np.int64) @ rows.astype(np.int64).T


@pytest.mark.parametrize("count", [1, TOGETHER])
def test_products_are_exact(count):
    assert STRIP == STEP
    rows, packed, queries = sample(count)
    out = np.full((count, len(rows)), 7, np.int32)
    products(packed, queries, out)
    np.testing.assert_array_equal(out, expected(rows, queries))
    out[:] = 7
    for strip in range(2):
        axis_products_loop(packed, strip, queries, out)
    np.testing.assert_array_equal(out, expected(rows, queries))


PRODUCTS = """
import sys
import numpy as np
from vego.index.kernels import on_axes
if sys.argv[1] == "half":  # what a processor with AVX-VNNI would run, on one that has AVX-512
    on_axes.vnni_lanes = lambda features: 8
from tests.vego.test_index_on_axes import *
for count in (1, TOGETHER):
    rows, packed, queries = sample(count)
    out = np.full((count, len(rows)), 7, np.int32)
    products(packed, queries, out)
    np.testing.assert_array_equal(out, expected(rows, queries))
print("equal")
"""


@pytest.mark.parametrize("lanes", ["half", "none"])
def test_products_are_the_same_on_processors_with_less(lanes, tmp_path):
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    if lanes == "half" and not (features.get("avx512vnni") and features.get("avx512vl")):
        pytest.skip("this processor has no 256-bit form of the instruction to run")
    if lanes == "none":
        features.update(dict.fromkeys(["avx512vnni", "avxvnni"], False))
    environment = os.environ | {"NUMBA_CPU_FEATURES": features.flatten(), "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", PRODUCTS, lanes], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "equal"


@given(
    st.integers(0, 2 * TOGETHER + 1), st.sampled_from([5, 64, 70]), st.sampled_from([60, 64, 124]),
    st.sampled_from(["l2", "cosine"]), st.integers(0, 1 << 32),
)  # fmt: skip
def test_many_queries_are_encoded_as_each_alone(count, dimension, width, metric, seed):
    rng = np.random.default_rng(seed)
    axes = rng.uniform(-1, 1, (dimension, width)).astype(np.float16).astype(np.float32)
    scale = CodeScale(rng.standard_normal(dimension).astype(np.float32), 0.05, axes)
    queries = rng.standard_normal((count, dimension)).astype(np.float32)
    queries[: count // 4] = scale.centre  # nothing is left of it
    code = Metric(metric).code
    codes, inverses = np.full((count + 1, 128), 9, np.int8), np.full(count + 1, 9, np.float32)
    encode_queries(code, queries, scale.frame, scale.inverse_step, codes, inverses)
    assert (codes[count] == 9).all() and inverses[count] == 9
    for i, query in enumerate(queries):
        alone = np.full(128, 9, np.int8)
        assert encode_query(code, query, scale.frame, scale.inverse_step, alone) == inverses[i]
        np.testing.assert_array_equal(codes[i], alone)
        assert not alone[width:].any()
