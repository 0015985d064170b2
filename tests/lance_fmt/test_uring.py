"""Reads through io_uring equal plain ones; where it is missing, the error says what to do."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import CorruptFileError, InvalidDataError, uring
from lance_fmt.fetch import read_many
from lance_fmt.uring import UringSource

DATA = np.random.default_rng(5).integers(0, 256, 300_000, np.uint8).tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(DATA)
    return tmp_path / "data"


def opened(path: Path, depth: int = 64) -> UringSource:
    try:
        return UringSource(path, depth)
    except InvalidDataError as error:
        pytest.skip(str(error))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 310_000), st.integers(0, 40_000)), max_size=40),
    st.sampled_from([1, 2, 5, 64]),
)
def test_it_reads_what_is_there(path: Path, requests: list[tuple[int, int]], depth: int) -> None:
    source = opened(path, depth)
    parts = source.read_many(requests)
    assert [bytes(part) for part in parts] == [DATA[a : a + n] for a, n in requests]
    source.close()


def test_read_many_gives_all_requests_to_the_ring(path: Path) -> None:
    source = opened(path)
    extents = [(a * 1000, 300) for a in (200, 5, 77, 150, 5)]
    assert [bytes(part) for part in read_many(source, extents, gap=0)] == [
        DATA[a : a + n] for a, n in extents
    ]
    with pytest.raises(CorruptFileError, match="30 bytes expected, 10 there"):
        read_many(source, [(0, 5), (299_990, 30)])
    assert source.read_at(7, 5) == DATA[7:12]
    source.close()
    source.close()
    with pytest.raises(InvalidDataError, match="closed"):
        source.read_many([(0, 5)])


def test_what_the_kernel_leaves_undone_is_read_plainly(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(path)
    reap = source._reap

    def partly() -> list[tuple[int, int]]:
        return [(token, count // 3 if token % 2 else 0) for token, count in reap()]

    monkeypatch.setattr(source, "_reap", partly)
    requests = [(a * 999, 777) for a in range(100)]
    assert [bytes(part) for part in source.read_many(requests)] == [DATA[a : a + n] for a, n in requests]
    source.close()


def test_an_interrupted_batch_is_not_mixed_up_with_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(path, 8)
    reap = source._reap

    def interrupted() -> list[tuple[int, int]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "_reap", interrupted)
    with pytest.raises(KeyboardInterrupt):
        source.read_many([(a * 1000, 1000) for a in range(50)])
    assert len(source._flying) == 8
    monkeypatch.setattr(source, "_reap", reap)
    requests = [(a * 1000, 500) for a in range(50)]
    assert [bytes(part) for part in source.read_many(requests)] == [DATA[a : a + n] for a, n in requests]
    source.close()
    assert not source._flying


def test_many_threads(path: Path) -> None:
    source = opened(path, 8)
    wrong = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(20):
            requests = rng.integers(0, [[280_000, 9000]], (20, 2)).tolist()
            for (offset, length), part in zip(requests, source.read_many(requests), strict=True):
                if bytes(part) != DATA[offset : offset + length]:
                    wrong.append((offset, length))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    source.close()
    assert not wrong


def test_a_file_is_read_through_it(tmp_path: Path) -> None:
    lance_fmt.write(tmp_path / "x.lfmt", {"a": np.arange(1000), "b": [str(i) for i in range(1000)]})
    with lance_fmt.open(opened(tmp_path / "x.lfmt")) as file:
        assert file.take([5, 999]).to_pydict() == {"a": [5, 999], "b": ["5", "999"]}


def test_without_the_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"no module named {name}")

    monkeypatch.setattr(uring.importlib, "import_module", missing)
    with pytest.raises(InvalidDataError, match=r"pip install 'vego\[uring\]'"):
        UringSource(path)


def test_without_the_kernel(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        Ring = Cqe = object

        def io_uring_queue_init(self, depth: int, ring: object) -> None:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(uring, "_package", Refusing)
    with pytest.raises(InvalidDataError, match=r"the kernel refuses an io_uring .*not permitted"):
        UringSource(path)
    for depth in (0, 5000):
        with pytest.raises(InvalidDataError, match="depth"):
            UringSource(path, depth)
