"""Columns as views of a mapped file: the same values, and damage is found where it is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
from lance_fmt import CorruptFileError, MmapSource


def whole(columns: dict[str, object]) -> bytes:
    file = io.BytesIO()
    lance_fmt.write(file, columns)
    return file.getvalue()


def written(columns: dict[str, object], batches: int = 1) -> bytes:
    file = io.BytesIO()
    table = lance_fmt.open(whole(columns)).read()
    step = -(-table.num_rows // batches)
    with lance_fmt.Writer(file, table.schema) as writer:
        for first in range(0, table.num_rows, step):
            writer.write(
                {name: table[name].slice(first, min(first + step, table.num_rows)) for name in columns}
            )
    return file.getvalue()


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("width", [1, 3, 64])
def test_the_runs_are_the_column(tmp_path: Path, batches: int, width: int) -> None:
    vectors = np.random.default_rng(1).standard_normal((3_000_000 // width // 8, width)).astype(np.float32)
    names = [f"{n:012}" for n in range(len(vectors))]
    data = written({"n": names, "v": lance_fmt.Column.from_numpy(vectors)}, batches)
    (tmp_path / "file.lfmt").write_bytes(data)
    with lance_fmt.open(MmapSource(tmp_path / "file.lfmt")) as file:
        mapped = file.mapped("v")
        assert mapped is not None
        assert file.mapped("n") is None
    assert len(mapped.runs) >= 1  # more than one where columns take turns
    assert np.array_equal(np.concatenate([array for _, array in mapped.runs]), vectors)
    firsts = np.cumsum([0, *(len(array) for _, array in mapped.runs)])[:-1]
    assert [first for first, _ in mapped.runs] == firsts.tolist()
    assert all(first % (1 << mapped.block_shift) == 0 for first, _ in mapped.runs)


def test_columns_without_such_views() -> None:
    columns = {"s": ["a", "b"], "n": [1, None], "b": [True, False], "i": [5, 6]}
    with lance_fmt.open(written(columns)) as file:
        assert {name: file.mapped(name) is not None for name in columns if name != "i"} == dict.fromkeys(
            "snb", False
        )
        with pytest.raises(lance_fmt.SchemaError):
            file.mapped("none")


class Plain:
    """A source that is not in memory."""

    name = "plain"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        pass


def test_a_source_that_is_not_in_memory_has_none() -> None:
    with lance_fmt.open(Plain(written({"v": np.ones((9, 4), np.float32)}))) as file:
        assert file.mapped("v") is None


def test_every_byte_of_the_values_is_checked() -> None:
    vectors = np.random.default_rng(2).standard_normal((200, 4)).astype(np.float32)
    data = bytearray(written({"v": vectors}))
    with lance_fmt.open(bytes(data)) as file:
        shift = file.mapped("v").block_shift  # type: ignore[union-attr]
    start = bytes(data).index(vectors[0].tobytes())
    for row in range(0, 200, 7):
        for byte in (0, 15):
            place = start + row * 16 + byte
            data[place] ^= 1
            with lance_fmt.open(bytes(data)) as file:
                mapped = file.mapped("v")
                assert mapped is not None
                with pytest.raises(CorruptFileError, match=f"block {row >> shift} "):
                    mapped.check(row >> shift, row >> shift)
                with pytest.raises(CorruptFileError):
                    mapped.check(0, mapped.blocks - 1)
                for block in {0, mapped.blocks - 1} - {row >> shift}:
                    mapped.check(block, block)
            data[place] ^= 1
