"""Kernels of the format against their naive twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.kernels.bitpack import unpack
from lance_fmt.kernels.gather import gather_bytes
from lance_fmt.kernels.spreading import spread_offsets, spread_values
from lance_fmt.pyvalues import offsets_of
from tests.support import naive_format as naive


@pytest.mark.parametrize("width", range(1, 65))
@pytest.mark.parametrize("rows", [1, 5, 64, 67])
def test_unpack_does_as_its_twin(width: int, rows: int) -> None:
    rng = np.random.default_rng(width)
    base = int(rng.integers(0, 2**64, dtype=np.uint64))
    deltas = rng.integers(0, 2**64, rows * 16, dtype=np.uint64) >> np.uint64(64 - width)
    deltas[:2] = 0, 2**width - 1
    values = deltas + np.uint64(base)
    words = np.zeros(-(-rows * width // 64) * 16, np.uint64)
    words[:] = naive.pack(values.tolist(), width, base)
    out = np.empty(len(values), np.uint64)
    unpack(words, width, np.uint64(base), out)
    assert out.tolist() == naive.unpack(words.tolist(), width, base, len(values)) == values.tolist()


def test_unpack_reads_no_word_behind_the_last() -> None:
    words = np.full(16 * 3, 2**64 - 1, np.uint64)
    out = np.empty(16 * 9, np.uint64)
    unpack(words[:32], 13, np.uint64(0), out)
    assert (out == 2**13 - 1).all()


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=20), st.data())
def test_gather_does_as_its_twin(strings: list[bytes], data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(strings) - 1), max_size=30))
    source = np.frombuffer(b"".join(strings), np.uint8)
    lengths = [len(strings[i]) for i in indices]
    out = np.zeros(sum(lengths), np.uint8)
    offsets = offsets_of([len(s) for s in strings])
    gather_bytes(source, offsets, np.array(indices, np.int64), offsets_of(lengths), out)
    assert out.tobytes() == naive.gather(strings, indices)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_spread_values(dtype: str, share: float) -> None:
    rng = np.random.default_rng(3)
    places = rng.random(777) < share
    places[5] = True
    values = rng.integers(1, 2**7, np.count_nonzero(places)).astype(dtype)
    out = np.full(len(places), 99, dtype)
    spread_values(values, places, out)
    stored = iter(values.tolist())
    assert out.tolist() == [next(stored) if here else 0 for here in places.tolist()]


def test_spread_offsets() -> None:
    places = np.array([False, True, False, False, True, True, False])
    out = np.empty(8, np.int64)
    spread_offsets(np.array([3, 5, 5, 9]), places, out)
    lengths = iter([2, 0, 4])
    assert np.diff(out).tolist() == [next(lengths) if here else 0 for here in places.tolist()]
    assert out[0] == 3
