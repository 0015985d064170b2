"""What could not be read: where it lies, and why."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Damage:
    """One place of a file that cannot be read.

    `page` and `block` are None where all of the column, or of the page, is affected; `column` is None where
    none is (the file's header). `first_row` and `rows` say which rows are lost (`rows` is 0 where none are: of
    a Bloom filter or row index), `offset` is the byte in the file (-1: not known), `what` is wrong there.
    """

    column: str | None
    page: int | None
    block: int | None
    first_row: int
    rows: int
    offset: int
    what: str

    def __str__(self) -> str:
        if self.column is None:
            return self.what
        where = f"column {self.column!r}"
        where += "" if self.page is None else f", page {self.page}"
        where += "" if self.block is None else f", block {self.block}"
        last = self.first_row + self.rows - 1
        where += f", rows {self.first_row} to {last}" if self.rows else ", no rows lost"
        return f"{where}: {self.what}"


@dataclass(slots=True)
class DamageLog:
    """Gathers damage while a file is read; a strict one raises at the first."""

    strict: bool = False
    found: list[Damage] = field(default_factory=list)

    def note(
        self,
        column: str | None,
        page: int | None,
        block: int | None,
        first_row: int,
        rows: int,
        error: Exception,
    ) -> None:
        """One place, of `column` or (None) of none."""
        if self.strict:
            raise error
        offset = getattr(error, "offset", -1)
        what = str(getattr(error, "what", error))
        self.found.append(Damage(column, page, block, first_row, rows, offset, what))
