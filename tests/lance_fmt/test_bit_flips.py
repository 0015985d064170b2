"""Bits flipped in files: the right values or a refusal; with checksums repaired, never any other error.

`python -m fuzz.flips` does the same with half a million of them.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest

import lance_fmt
from fuzz import flips
from fuzz.files import use_file
from tests.support.checksums import AgreesWithAll
from tests.support.flips import (
    CHANGED,
    REFUSED,
    RIGHT,
    Subject,
    chosen_bits,
    flipped,
    judge,
    judge_repaired,
    small_files,
    subject,
)
from tests.support.golden_files import FOLDER

_EVERY = 4  # of the small files: all levels, and most types


@pytest.fixture(scope="module")
def small() -> list[Subject]:
    return [subject(name, data) for name, data in small_files(every=_EVERY)]


def _outcomes(files: list[Subject], count: int, seed: int = 1) -> Counter[str]:
    return Counter(
        judge(whole, flipped(whole.data, bit)) for whole in files for bit in chosen_bits(whole, count, seed)
    )


def test_flips_in_small_files_are_refused(small: list[Subject]) -> None:
    assert _outcomes(small, 120).keys() <= {RIGHT, REFUSED}


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_flips_in_golden_files_are_refused(path: Any) -> None:
    assert _outcomes([subject(path.name, path.read_bytes())], 40).keys() <= {RIGHT, REFUSED}


def test_flips_behind_the_checksums_end_in_values_or_refusals(small: list[Subject]) -> None:
    outcomes = Counter(
        judge_repaired(whole, flipped(whole.data, bit), use_file)
        for whole in small
        for bit in chosen_bits(whole, 8, 2)
    )
    assert outcomes.keys() <= {RIGHT, REFUSED, CHANGED}
    assert outcomes[CHANGED] > 8


def _readers() -> list[str]:
    """The modules that compare checksums while reading."""
    return [
        name
        for name, module in sorted(sys.modules.items())
        if name.startswith("lance_fmt.") and name != "lance_fmt.checksum" and hasattr(module, "crc32c")
    ]


def test_flips_show_a_reader_that_checks_no_blocks(
    small: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_fmt.column_pages, "crc32c", lambda *_: AgreesWithAll(0))
    assert _outcomes(small[:4], 60)["silent"] > 20


@pytest.mark.parametrize("module", ["footer", "reader", "column_pages"])
def test_flips_show_a_reader_that_skips_a_checksum(
    module: str, small: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"lance_fmt.{module}" in _readers()
    monkeypatch.setattr(f"lance_fmt.{module}.crc32c", lambda *_: AgreesWithAll(0))
    whole = small[0]
    outcomes = Counter(judge(whole, flipped(whole.data, bit)) for bit in range(0, whole.bits, 97))
    assert outcomes.keys() - {REFUSED}


def test_flips_show_a_decoder_that_fails_its_own_way(
    small: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IndexError("planted")

    monkeypatch.setattr(lance_fmt.column_pages.ColumnPages, "decode", fail)
    assert "IndexError: planted" in judge_repaired(small[0], small[0].data, use_file)
    assert "IndexError: planted" in judge(small[0], small[0].data)


def test_the_campaign_spreads_its_flips(small: list[Subject]) -> None:
    golden = [subject(path.name, path.read_bytes()) for path in sorted(FOLDER.iterdir())]
    files = {whole.name: whole for whole in small + golden}
    for count in (1000, 100_000):
        chosen = flips.plan(files, count, seed=1)
        assert sum(map(len, chosen.values())) == count
        assert set(chosen) == set(files)
        for name, bits in chosen.items():
            assert len(set(bits)) == len(bits)
            assert all(0 <= bit < files[name].bits for bit in bits)
