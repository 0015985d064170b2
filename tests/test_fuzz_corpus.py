"""Inputs that once broke something, replayed; a short campaign; and the proof that the harness reports."""

from __future__ import annotations

import random

import pytest

import lance_fmt
from fuzz.run import CORPUS, campaign, mutate, repair_footer, run_one
from fuzz.targets import TARGETS, canary, seeds


def test_corpus() -> None:
    for path in sorted(CORPUS.glob("*/*")):
        assert run_one(TARGETS[path.parent.name], path.read_bytes()) is None, path


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_seeds_are_accepted_and_a_short_campaign_finds_nothing(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)
    assert campaign(name, seconds=1.0, seed=7) == 0


def test_the_canary_fails() -> None:
    assert "the canary sings" in (run_one(canary, b"tweet") or "")


def test_repaired_footers_pass_the_checksum() -> None:
    data = seeds("file")[0]
    assert repair_footer(data) == data
    reached = 0
    for number in range(200):
        changed = bytearray(repair_footer(mutate(data, random.Random(number))))
        try:
            lance_fmt.open(bytes(changed)).close()
        except lance_fmt.CorruptFileError as error:
            reached += "footer" not in error.what
        else:
            reached += 1
    assert reached > 50
