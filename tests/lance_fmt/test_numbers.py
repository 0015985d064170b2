"""Whole columns of numbers equal what was written, whatever of them is cached and whatever memory held before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column
from lance_fmt.arena import Arena, Bytes
from lance_fmt.numbers import are_numbers, read_numbers
from tests.support.format_values import file_of

# Of each block of a column: no row is null, some are, or all.
NULLS = st.lists(st.sampled_from(["none", "some", "all"]), min_size=1, max_size=12)
TYPES = [
    lance_fmt.int64(),
    lance_fmt.uint32(),
    lance_fmt.float32(),
    lance_fmt.float64(),
    lance_fmt.timestamp("us"),
    lance_fmt.date(),
]
BLOCK = 8


class Dirty(Arena):
    """Memory as it is when others have used it before."""

    def __init__(self, byte: int) -> None:
        super().__init__()
        self.byte = byte

    def take(self, size: int) -> Bytes:
        """Memory full of `byte`."""
        memory = super().take(size)
        memory[:] = self.byte
        return memory


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lance_fmt.writer.TARGET_PAGE_BYTES", 256)
    monkeypatch.setattr("lance_fmt.writer.TARGET_BLOCK_BYTES", 64)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(TYPES),
    nulls=NULLS,
    touched=st.sets(st.integers(0, 95), max_size=6),
    spread=st.sampled_from([1, 1000, 1 << 30]),
    seed=st.integers(0, 1 << 16),
)
def test_whole_columns(
    kind: lance_fmt.DataType, nulls: list[str], touched: set[int], spread: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    count = BLOCK * len(nulls) - seed % BLOCK
    values = random.integers(0, spread, count).astype(kind.dtype)
    valid = np.concatenate(
        [{"none": np.ones(BLOCK), "some": np.arange(BLOCK) % 3, "all": np.zeros(BLOCK)}[n] for n in nulls]
    )[:count].astype(bool)
    column = Column(kind, np.where(valid, values, 0).astype(kind.dtype), None, None if valid.all() else valid)
    with lance_fmt.open(file_of({"n": column})) as file:
        for row in touched & set(range(count)):
            file.row(row)
        reader = file._reader("n")
        if are_numbers(reader):  # else it is one array on disk
            assert all(read_numbers(reader, Dirty(byte)).equals(column) for byte in (0, 0xA5))
        assert file.read()["n"].equals(column)
