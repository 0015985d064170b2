"""Inputs that once broke something, replayed; a short campaign; and the proof that the harness reports."""

from __future__ import annotations

import dataclasses
import importlib.util
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lance_fmt
from fuzz.files import files
from fuzz.limits import limited_memory
from fuzz.mutations import mutate, mutate_file
from fuzz.run import CORPUS, Campaign, canaries_sing, inputs_of, run_one
from fuzz.targets import CANARIES, TARGETS
from tests.support.checksums import pieces, repair, repair_footer
from tests.support.golden_files import FOLDER

ROOT = Path(__file__).resolve().parents[1]
MOST_CORPUS_BYTES = 300_000
SHORT = {
    "file": 40,
    "block": 40,
    "column_meta": 40,
    "page_index": 40,
    "table": 40,
    "schema": 60,
    "footer": 60,
}


def test_the_corpus_is_small_and_belongs_to_targets() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.glob("*/*")) <= MOST_CORPUS_BYTES


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_inputs_are_survived_and_a_short_campaign_finds_nothing(name: str, tmp_path: Path) -> None:
    for data in inputs_of(name):
        assert run_one(TARGETS[name].check, data) is None
    campaign = Campaign(name, TARGETS[name], seed=7, findings=tmp_path)
    campaign.run(SHORT.get(name, 300))
    assert not campaign.found


def test_a_campaign_repeats_itself(tmp_path: Path) -> None:
    seen: list[list[bytes]] = [[], []]
    for inputs in seen:
        target = dataclasses.replace(CANARIES["canary"], check=inputs.append)
        Campaign("canary", target, seed=3, findings=tmp_path).run(20)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 10


def test_the_canaries_sing() -> None:
    assert canaries_sing()


def test_a_campaign_keeps_what_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign("canary", CANARIES["canary"], seed=1, findings=tmp_path)
    campaign.run(500)
    (kept,) = campaign.found  # one for all that fail at the same place
    assert "the canary sings" in (run_one(CANARIES["canary"].check, kept.read_bytes()) or "")
    assert "the canary sings" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux only")
def test_memory_is_limited() -> None:
    with limited_memory():
        assert "MemoryError" in (run_one(CANARIES["canary_that_eats"].check, b"") or "")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="time is limited on Unix only")
def test_time_is_limited() -> None:
    assert "TooSlow" in (run_one(CANARIES["canary_that_sleeps"].check, b"", seconds=0.05) or "")


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris")
def test_the_guided_harness_reports_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fuzz.guided", "canary", "--seconds", "60", "--findings", str(tmp_path)]
    done = subprocess.run(
        [*command, "--work", str(tmp_path / "work")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "the canary sings" in done.stdout
    (kept,) = (tmp_path / "canary").glob("crash-*")
    assert run_one(CANARIES["canary"].check, kept.read_bytes()) is not None


def test_a_whole_file_needs_no_repair() -> None:
    for data in [*files(), *(path.read_bytes() for path in FOLDER.iterdir())]:
        assert repair(data) == repair_footer(data) == data
        assert {piece.kind for piece in pieces(data)} >= {"block", "index", "metadata", "table", "footer"}


def test_every_byte_but_the_magic_at_the_end_lies_under_a_checksum_or_is_one() -> None:
    data = files()[0]
    covered = bytearray(len(data))
    for _, start, stop, crc_at in pieces(data):
        covered[start:stop] = b"\1" * (stop - start)
        covered[crc_at : crc_at + 4] = b"\1" * 4
    assert covered.find(0) == len(data) - 4


def test_repaired_files_pass_all_checksums() -> None:
    data = files()[0]
    refused = read = 0
    for number in range(300):
        try:
            with lance_fmt.open(mutate_file(data, random.Random(number))) as file:
                file.read()
                read += 1
        except lance_fmt.CorruptFileError as error:
            refused += "checksum" in error.what
        except lance_fmt.UnsupportedVersionError:
            continue
    assert refused < 60  # a twentieth is left unrepaired on purpose, some repaired in the footer only
    assert read > 40


def test_repair_bears_anything() -> None:
    data = files()[0]
    for number in range(300):
        changed = mutate(data, random.Random(number))
        assert len(repair(changed)) == len(changed)
    for length in (0, 3, 63, 64, 127, 128, 200):
        assert len(repair(data[:length])) == length
        repair_footer(data[:length])
