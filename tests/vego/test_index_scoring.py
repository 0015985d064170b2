"""`row_sum`: rows of every kind against a query, by the kernel, the plain loop and NumPy."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels import scoring
from vego.vector_type import Element

OPERATIONS = {
    scoring.SQUARES: lambda x, q: (x - q) ** 2,
    scoring.PRODUCTS: lambda x, q: x * q,
    scoring.ABSOLUTES: lambda x, q: np.abs(x - q),
}


@kernel
def _sums(operation, kind, address, stride, query, out):
    for i in range(out.shape[0]):
        out[i] = scoring.row_sum(operation, kind, address + i * stride, query)


@kernel
def _streamed(operation, kind, address, stride, query, ahead, out):
    for i in range(out.shape[0]):
        out[i] = scoring.streamed_sum(operation, kind, address + i * stride, query, ahead)


def sums(operation, kind, rows, query, out):
    """Compiled once for all kinds of rows; numba knows no float16."""
    _sums(operation, kind, rows.ctypes.data, rows.strides[0], query, out)


def rows_of(element, dimension, seed=0):
    rng = np.random.default_rng(seed)
    if element.stored.kind == "f":
        rows = (rng.standard_normal((9, dimension)) * 10.0 ** rng.integers(-6, 4, (9, 1))).astype(
            element.stored
        )
        rows[0, 0] = np.finfo(element.stored).smallest_subnormal
        return rows
    return rng.integers(0, 256, (9, dimension), np.uint8).view(element.stored)


@given(
    element=st.sampled_from([one for one in Element if one is not Element.BIT]),
    operation=st.sampled_from(sorted(OPERATIONS)),
    dimension=st.integers(1, 150),
)
def test_sums(element, operation, dimension):
    rows, query = rows_of(element, dimension), rows_of(Element.FLOAT32, dimension, 1)[3]
    out = np.full(9, 7, np.float32)
    sums(operation, element.code, rows, query, out)
    plain = [
        scoring.row_sum_loop(operation, element.code, scoring.address_of_row(rows, i), query)
        for i in range(9)
    ]
    terms = OPERATIONS[operation](rows.astype(np.float64), query.astype(np.float64))
    spread = np.abs(terms).sum(axis=1) * 1e-6 + 1e-42  # a few of the smallest float32
    assert (np.abs(out - terms.sum(axis=1)) <= spread).all()
    assert (np.abs(plain - terms.sum(axis=1)) <= spread).all()


@pytest.mark.parametrize("element", [one for one in Element if one is not Element.BIT])
def test_sums_of_rows_that_follow_each_other(element):
    """The same to the bit, wherever the memory is that is asked for."""
    for operation in OPERATIONS:
        for dimension in (1, 16, 63, 150):
            rows, query = rows_of(element, dimension), rows_of(Element.FLOAT32, dimension, 1)[3]
            expected, out = np.empty((2, 9), np.float32)
            sums(operation, element.code, rows, query, expected)
            for ahead in (0, rows.strides[0], 1 << 46, -(1 << 46)):
                _streamed(
                    operation, element.code, rows.ctypes.data, rows.strides[0], query, np.int64(ahead), out
                )
                np.testing.assert_array_equal(out, expected)


@given(width=st.integers(1, 300))
def test_bits_that_differ(width):
    """Counted exactly, whatever stands for the operation."""
    rows, query = rows_of(Element.BIT, width), rows_of(Element.BIT, width, 1)[3]
    expected = np.unpackbits(rows ^ query, axis=1).sum(axis=1).tolist()
    for operation in OPERATIONS:
        out = np.full(9, 7, np.float32)
        sums(operation, Element.BIT.code, rows, query, out)
        assert out.tolist() == expected
        assert expected == [
            scoring.row_sum_loop(operation, Element.BIT.code, scoring.address_of_row(rows, i), query)
            for i in range(9)
        ]


def test_every_float16_is_read_as_it_is():
    rows = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    rows = rows[np.isfinite(rows)].reshape(-1, 1)
    out = np.empty(len(rows), np.float32)
    sums(scoring.PRODUCTS, Element.FLOAT16.code, rows, np.ones(1, np.float32), out)
    np.testing.assert_array_equal(out, rows[:, 0].astype(np.float32))


SUMS = """
from tests.vego.test_index_scoring import *
for element in Element:
    rows = rows_of(element, 130)
    query = rows_of(element if element is Element.BIT else Element.FLOAT32, 130, 1)[3]
    for operation in OPERATIONS:
        out = np.empty(9, np.float32)
        sums(operation, element.code, rows, query, out)
        print([float(f"{value:.4g}") for value in out])
"""


@pytest.mark.parametrize("without", [["avx512f", "avx512vpopcntdq"], ["avx512f", "avx2", "avx", "popcnt"]])
def test_every_processor_sums_the_same(without):
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    for name in features:
        if any(name.startswith(one) for one in without):
            features[name] = False
    outputs = []
    for environment in ({}, {"NUMBA_CPU_FEATURES": features.flatten()}):
        run = subprocess.run(
            [sys.executable, "-c", SUMS],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(np.array([eval(line) for line in run.stdout.split("\n")[:-1]]))
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=2e-3)
