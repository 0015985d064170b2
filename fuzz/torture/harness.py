"""What a harness is: it does units of work, each named by a text that does the same work again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Bad:
    """An outcome that must not be; `unit` names the work, or the part of it, that shows it again."""

    unit: str
    words: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one unit came to.

    done: how many of what the harness counts. seen: where only different ones count, keys of what was looked at.
    """

    done: int
    bad: tuple[Bad, ...] = ()
    seen: frozenset[bytes] = frozenset()


class Harness(Protocol):
    """Looks for one kind of bad outcome. The same seed and unit do the same, as far as the machine lets them."""

    name: str
    counts: str  # what is counted, in the plural
    size: int  # how many of them a whole run asks for

    def missing(self) -> str | None:
        """What this machine lacks for it; None if nothing."""
        ...

    def units(self, seed: int, size: int) -> Iterator[str]:
        """Units that come to `size` or more together, perhaps without end."""
        ...

    def run(self, seed: int, unit: str) -> Outcome:
        """Do one unit."""
        ...
