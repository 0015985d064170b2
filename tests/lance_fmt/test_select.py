"""This data, this encoding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column, InvalidDataError
from lance_fmt.v1.select import Level, choose
from tests.support.format_values import file_of

N = 20_000


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _strings(values: list[str]) -> Column:
    return Column.from_pylist(values, lance_fmt.string())


DATA: dict[str, tuple[Callable[[], Column], dict[str, str]]] = {
    "vectors": (
        lambda: Column.from_numpy(np.zeros((N, 8), np.float32)),
        {"speed": "plain", "balanced": "plain", "small": "plain"},
    ),
    "random floats": (
        lambda: Column.from_numpy(_rng().random(N, np.float32)),
        {"speed": "plain", "balanced": "plain"},
    ),
    "small random integers": (
        lambda: Column.from_numpy(_rng().integers(0, 1000, N)),
        {"speed": "bitpacked", "balanced": "bitpacked"},
    ),
    "random integers of full width": (
        lambda: Column.from_numpy(_rng().integers(-(2**63), 2**63 - 1, N)),
        {"speed": "plain", "balanced": "plain"},
    ),
    "integers far apart, few of them": (
        lambda: Column.from_numpy(_rng().choice(np.array([7, 2**50, -(2**40), 2**33]), N)),
        {"speed": "dictionary", "balanced": "dictionary"},
    ),
    "rows in order": (lambda: Column.from_numpy(np.arange(N)), {"speed": "bitpacked", "small": "zstd"}),
    "random bools": (
        lambda: Column.from_numpy(_rng().random(N) < 0.5),
        {"speed": "plain", "balanced": "plain"},
    ),
    "few long strings": (
        lambda: _strings([f"category number {i}" for i in _rng().integers(0, 50, N).tolist()]),
        {"speed": "dictionary", "balanced": "dictionary"},
    ),
    "prose": (
        lambda: _strings(
            [f"the quick brown fox jumps over the lazy dog {i} times, then rests" for i in range(N)]
        ),
        {"speed": "plain", "balanced": "zstd", "small": "zstd"},
    ),
    "random bytes": (
        lambda: Column(
            lance_fmt.binary(), _rng().integers(0, 256, N * 9, np.uint8), np.arange(0, N * 9 + 1, 9)
        ),
        {"speed": "plain", "balanced": "plain"},
    ),
    "lists of few strings": (
        lambda: Column.from_pylist(
            [["alpha channel", "beta version"][: i % 3] for i in range(N)],
            lance_fmt.list_(lance_fmt.string()),
        ),
        {"speed": "dictionary", "balanced": "dictionary"},
    ),
}


def _choose(column: Column, level: Level) -> str:
    return choose(column, [*range(0, len(column), 1000), len(column)], level).encoding.name


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [(name, level, encoding) for name, (_, wanted) in DATA.items() for level, encoding in wanted.items()],
)
def test_this_data_this_encoding(name: str, level: Level, expected: str) -> None:
    assert _choose(DATA[name][0](), level) == expected


def test_every_encoding_is_chosen_for_something() -> None:
    assert {e for _, wanted in DATA.values() for e in wanted.values()} == {
        "plain",
        "bitpacked",
        "dictionary",
        "zstd",
    }


def test_the_choice_is_the_same_each_time() -> None:
    column = DATA["prose"][0]()
    starts = [*range(0, N, 1000), N]
    assert choose(column, starts, "balanced").evidence == choose(column, starts, "balanced").evidence


def test_the_evidence_is_in_the_file() -> None:
    with lance_fmt.open(file_of({"a": DATA["prose"][0]()})) as file:
        evidence = file.column("a").evidence
    assert evidence.startswith("page 0: zstd; ")
    assert all(word in evidence for word in ("sampled", "plain ", "dictionary unsuited", "zstd ", "score"))


def test_unknown_levels_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="'tiny' is not one of speed, balanced, small"):
        file_of({"a": [1]}, level="tiny")
