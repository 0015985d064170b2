"""What could not be read: where it lies, and why."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Damage:
    """One place of a file that cannot be read.

    `page` and `block` are None where all of the column, or of the page, is affected; `first_row` and `rows`
    say which rows are lost, `offset` is the byte in the file (-1: not known), `what` is wrong there.
    """

    column: str
    page: int | None
    block: int | None
    first_row: int
    rows: int
    offset: int
    what: str

    def __str__(self) -> str:
        where = f"column {self.column!r}"
        where += "" if self.page is None else f", page {self.page}"
        where += "" if self.block is None else f", block {self.block}"
        return f"{where}, rows {self.first_row} to {self.first_row + self.rows - 1}: {self.what}"


@dataclass(slots=True)
class DamageLog:
    """Gathers damage while a file is read."""

    found: list[Damage] = field(default_factory=list)

    def note(
        self, column: str, page: int | None, block: int | None, first_row: int, rows: int, error: Exception
    ) -> None:
        """One place of `column`."""
        offset = getattr(error, "offset", -1)
        what = str(getattr(error, "what", error))
        self.found.append(Damage(column, page, block, first_row, rows, offset, what))
