"""Bits flipped in every kind of file of a database, one at a time: every answer is right, or refused.

The database is small and lies on a simulated disk (`tests.support.flipped_database`). A unit is `NUMBER`, some hundreds
of the bits that a seed chooses, `PATH@BIT`, one of them, or `PATTERN~STEP`, every so-manieth bit of some files. All
eight bits of the first and last bytes of each file come first, then one bit of every byte, then others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache

from fuzz.limits import TooSlow, limited_time
from fuzz.torture.harness import Bad, Outcome
from tests.support.flipped_database import (
    BACKUP,
    DB,
    REFUSED,
    UNCLEAN,
    Answers,
    Subject,
    answers_of,
    restored_answers,
    subject,
    written_answers,
)
from tests.support.flips import flipped
from tests.support.simulated_system import SimulatedSystem, Tree

_EDGE = 64  # bytes at either end of a file: headers and footers
_CHUNK = 250
_ALL_QUESTIONS = 64  # every so-manieth flip is asked everything, also what does not need the file
_WRITERS = 8  # every so-manieth is opened for writing, too


class Flips:
    """Counts bits."""

    name = "flips"
    counts = "bits flipped"
    size = 200_000

    def __init__(self, *, stop_at_first: bool = False) -> None:
        self._stop = stop_at_first

    def missing(self) -> str | None:
        return None

    def units(self, seed: int, size: int) -> Iterator[str]:
        bits = len(chosen_bits(seed))
        yield from map(str, range(-(-min(size, bits) // _CHUNK)))

    def run(self, seed: int, unit: str) -> Outcome:
        whole = subject()
        pattern, tilde, step = unit.partition("~")
        path, at, bit = unit.partition("@")
        if tilde:
            paths = [path for path in whole.files if fnmatchcase(path, pattern)]
            todo = [
                (path, bit)
                for path in paths
                for bit in range(0, 8 * len(whole.tree.contents[whole.files[path]]), int(step))
            ]
        elif at:
            todo = [(path, int(bit))]
        else:
            todo = chosen_bits(seed)[int(unit) * _CHUNK : (int(unit) + 1) * _CHUNK]
        bad = []
        for path, number in todo:
            if bad and self._stop:
                break
            if words := judged(whole, path, number):
                bad.append(Bad(f"{path}@{number}", words))
        return Outcome(len(todo), tuple(bad))


@cache
def chosen_bits(seed: int) -> list[tuple[str, int]]:
    """Every bit of every file, in the order in which they are flipped."""
    whole, rng = subject(), random.Random(f"flips {seed}")
    first: list[tuple[str, int]] = []
    second: list[tuple[str, int]] = []
    others: list[tuple[str, int]] = []
    for path, inode in whole.files.items():
        length = len(whole.tree.contents[inode])
        for place in range(length):
            if place < _EDGE or place >= length - _EDGE:
                first += [(path, 8 * place + bit) for bit in range(8)]
            else:
                chosen = rng.randrange(8)
                second.append((path, 8 * place + chosen))
                others += [(path, 8 * place + bit) for bit in range(8) if bit != chosen]
    for bits in (first, second, others):
        rng.shuffle(bits)
    return first + second + others


def judged(whole: Subject, path: str, bit: int) -> str:
    """What is wrong with the answers while a bit of a file is flipped; "" if nothing."""
    inode = whole.files[path]
    tree = Tree(whole.tree.names, whole.tree.contents | {inode: flipped(whole.tree.contents[inode], bit)})
    mixed = random.Random(f"{path}@{bit}").randrange(_ALL_QUESTIONS * _WRITERS)
    asked = "" if mixed % _ALL_QUESTIONS == 0 else path
    try:
        with limited_time(), SimulatedSystem(tree, "flip").installed():
            place = next(place for place in (DB, BACKUP, UNCLEAN) if path.startswith(f"{place}/"))
            wrong = _wrong(whole, place, path, answers_of(place, asked))
            if place == BACKUP:
                # What was restored has all answers of the backup, or there is nothing.
                restored = restored_answers(BACKUP)
                whole_again = "restore" in restored or REFUSED not in restored.values()
                wrong = wrong or _wrong(whole, BACKUP, path, restored)
                wrong = wrong or ("" if whole_again else "what was restored is damaged")
            elif mixed % _WRITERS == 0:
                wrong = wrong or _wrong_content(whole, place, path)
            return wrong
    except TooSlow as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _wrong(whole: Subject, place: str, path: str, found: Answers) -> str:
    truths = [whole.answers[place]]
    if place == UNCLEAN and "/wal/" in path:  # the last batch may pass for one that was torn
        truths.append(whole.last_lost)
    for truth in truths:
        wrong = [name for name, answer in found.items() if answer != REFUSED and answer != truth.get(name)]
        if not wrong:
            return ""
    question = wrong[0]
    return f"{question}: {found[question]!r} instead of {truths[0].get(question, 'nothing')!r}"


def _wrong_content(whole: Subject, place: str, path: str) -> str:
    found = written_answers(place).get("content", REFUSED)
    if found in (REFUSED, whole.contents[place]):
        return ""
    if place == UNCLEAN and "/wal/" in path and found == whole.content_without_last:
        return ""
    return f"opened for writing it holds {found!r} instead of {whole.contents[place]!r}"
