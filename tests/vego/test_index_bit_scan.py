"""The scan of vectors of bits: eight rows at a time, beside NumPy's count of the bits that differ."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding

from lance_fmt.kernels.decorator import kernel
from tests.support.index_vectors import chosen
from vego.index import Metric, exact_search
from vego.index.kernels import bit_scan
from vego.table.vectors import NOTHING_FROZEN, Chunk, Vectors
from vego.vector_type import Element

PROT_NONE = 0
WIDTHS = [1, 7, 8, 9, 12, 16, 31, 32, 33, 40, 48, 63, 64, 65, 72, 96, 97, 127, 128, 160, 200, 256, 300]


@kernel
def _differing(addresses, size, query, counts):
    return bit_scan.differing_bits(addresses, np.uint64(0), size, query, counts)


def both(rows, query):
    """Counts and their least, by the vector instructions and by the plain loop."""
    addresses = rows.ctypes.data + np.arange(len(rows), dtype=np.int64) * rows.strides[0]
    for compare in (_differing, lambda *given: bit_scan.differing_bits_loop(given[0], 0, *given[1:])):
        counts = np.full(8, -7, np.int32)
        yield compare(addresses, rows.shape[1], query, counts), counts.tolist()


@given(width=st.integers(1, 300) | st.sampled_from(WIDTHS), seed=st.integers(0, 1 << 32))
def test_bits_that_differ(width, seed):
    rng = np.random.default_rng(seed)
    rows, query = rng.integers(0, 256, (8, width), np.uint8), rng.integers(0, 256, width, np.uint8)
    rows[rng.integers(0, 8)] = ~query
    expected = np.unpackbits(rows ^ query, axis=1).sum(axis=1).tolist()
    for least, counts in both(rows, query):
        assert counts == expected
        assert least == min(expected)


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_behind_a_row_is_read(width):
    """The rows and the query end where memory ends that may be read."""
    size = mmap.PAGESIZE
    memory = mmap.mmap(-1, 4 * size)
    whole = np.frombuffer(memory, np.uint8)
    whole[:] = 255
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (1, 3):
        start = ctypes.c_void_p(whole.ctypes.data + page * size)
        assert libc.mprotect(start, ctypes.c_size_t(size), PROT_NONE) == 0
    rows, query = whole[size - 8 * width : size].reshape(8, width), whole[3 * size - width : 3 * size]
    query[:] = 0
    for least, counts in both(rows, query):
        assert (least, counts) == (8 * width, [8 * width] * 8)


def cut(rows, places):
    """The rows as a collection has them: in several arrays, one of them growing."""
    *pieces, tail = np.split(rows, sorted(places))
    chunks = [Chunk.loaded(piece.copy(), with_norms=False) for piece in pieces if len(piece)]
    return Vectors(NOTHING_FROZEN.and_also(chunks), tail, np.empty(0, np.float32), Element.BIT)


@settings(max_examples=250)
@given(
    rows=st.integers(0, 70),
    width=st.sampled_from([1, 2, 8, 32, 40, 70]),
    k=st.integers(1, 8) | st.integers(1, 80),
    kind=st.sampled_from(["all", "range", "rows", "accept", "both"]),
    near=st.booleans(),
    in_pieces=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_the_scan_equals_sorting_everything(rows, width, k, kind, near, in_pieces, seed):
    """With many ties, of which the smaller slot comes first."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2 if near else 256, (rows + 3, width), np.uint8)
    stored, queries = values[:rows], values[rows:]
    vectors = cut(stored, rng.integers(0, rows + 1, 2).tolist()) if in_pieces else stored
    slots, options = chosen(kind, rows, rng)
    found, distances = exact_search(Metric.HAMMING, vectors, None, queries, k, **options)
    for i, query in enumerate(queries):
        apart = np.unpackbits(stored ^ query, axis=1).sum(axis=1)
        expected = sorted((float(apart[slot]), slot) for slot in slots)[:k]
        size = len(expected)
        assert list(zip(distances[i, :size].tolist(), found[i, :size].tolist(), strict=True)) == expected
        assert (found[i, size:] == -1).all()
        assert np.isinf(distances[i, size:]).all()


SCANS = """
import numpy as np
from vego.index import Metric, exact_search
rng = np.random.default_rng(0)
for width in (5, 16, 32, 48, 77, 128):
    rows = rng.integers(0, 256, (500, width), np.uint8)
    slots, distances = exact_search(Metric.HAMMING, rows, None, rows[:9] ^ np.uint8(17), 12)
    print(slots.tolist(), distances.tolist())
"""


def test_every_processor_finds_the_same():
    features = binding.get_host_cpu_features()
    for name in features:
        if name.startswith(("avx512", "avx2", "avx", "popcnt")):
            features[name] = False
    printed = [
        subprocess.run(
            [sys.executable, "-c", SCANS], env=os.environ | more, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, {"NUMBA_CPU_FEATURES": features.flatten()}, {"NUMBA_DISABLE_JIT": "1"})
    ]
    assert printed[0]
    assert printed[1:] == printed[:1] * 2
