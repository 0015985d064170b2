"""What a verification found, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the file, the byte (0 where all of the file is meant), and the way out.

    The way out names commands in backquotes; words in capitals stand for what only the user knows.
    """

    path: str
    offset: int
    what: str
    way_out: str

    def __str__(self) -> str:
        place = f", byte {self.offset:,}" if self.offset > 0 else ""
        return f"{self.path}{place}: {self.what}. {self.way_out}"


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """One collection as of its newest version and the log behind it.

    versions: those that are kept, oldest first. documents, dead_rows, log_batches: None where damage hides them.
    torn_bytes: of writes at the end of the log that were cut short and never acknowledged. indexed_rows: slots that
    the graph covers. recall: of a sample of searches by the graph; None unless deep, or without a graph.
    """

    name: str
    versions: tuple[int, ...]
    documents: int | None = None
    dead_rows: int | None = None
    segments: int = 0
    log_batches: int | None = None
    torn_bytes: int = 0
    indexed_rows: int = 0
    recall: float | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found in a database or a backup. `findings` is damage; `leftovers` are files that nothing names.

    bytes: of all files that are named; with `deep` every one of them was read.
    """

    path: str
    deep: bool
    is_backup: bool
    bytes: int
    collections: tuple[CollectionReport, ...]
    findings: tuple[Finding, ...]
    leftovers: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {"ok": self.ok} | asdict(self)
