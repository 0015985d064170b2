"""What goes wrong in a statement that is typed."""

from __future__ import annotations

from vego.errors import InvalidArgumentError


class StatementError(InvalidArgumentError):
    """A statement that cannot be understood or carried out; nothing was changed."""
