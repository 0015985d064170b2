"""Whether disk and memory of a collection agree, without which nothing more is written (I7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vego.errors import CommitUncertainError, PoisonedError, VegoError


class Agreement:
    """Disk and memory agree until a change of both is cut short; `end` says that nothing more is done in good order."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._at_odds = False
        self._ended: tuple[type[VegoError], str] | None = None

    def check(self) -> None:
        """Raise PoisonedError, or what `end` was given, where nothing may be written."""
        if self._ended is not None:
            kind, what = self._ended
            raise kind(what)
        if self._at_odds:
            raise PoisonedError(
                f"{self._what}: an earlier write was cut short, so what is on the disk and what is in memory may "
                "differ; close the database and open it again"
            )

    def end(self, kind: type[VegoError], what: str) -> None:
        """Raise this from now on."""
        self._ended = kind, what

    def cut_short(self, error: BaseException, *, logged: bool) -> None:
        """A write ended with `error`. Where it is `logged`, and so not in memory yet, that is CommitUncertainError.

        The fast form of `whole` for what goes through the log.
        """
        if isinstance(error, VegoError) and not logged:
            return  # nothing was changed
        self._at_odds = True
        if isinstance(error, VegoError):
            raise CommitUncertainError(
                f"{self._what}: a write is in the log and not in memory: {error}; close the database and open it again "
                "to see whether it is there"
            ) from error

    @contextmanager
    def whole(self) -> Iterator[None]:
        """A change of disk and memory. An interrupt inside leaves them at odds."""
        self.check()
        try:
            yield
        except VegoError:
            raise
        except BaseException:
            self._at_odds = True
            raise

    @contextmanager
    def landed(self) -> Iterator[None]:
        """Follows a commit: whatever goes wrong here, the disk is ahead of memory. See `committed`."""
        try:
            with committed(self._what):
                yield
        except BaseException:
            self._at_odds = True
            raise


@contextmanager
def committed(what: str) -> Iterator[None]:
    """Follows a commit of `what`: an error must not say that nothing was changed, so it is CommitUncertainError."""
    try:
        yield
    except CommitUncertainError:
        raise
    except VegoError as error:
        raise CommitUncertainError(
            f"{what}: a change is on the disk, and what it made could not be opened: {error}; close the database and "
            "open it again to see it"
        ) from error
