"""Turns among processes that share a collection, so that each gets on; see `vego/DESIGN.md`, section 10a."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vego import names
from vego.store import Store

PATIENCE = 5.0  # seconds to wait for a turn; who has it may write a large batch
_NO_PATIENCE = 0.05  # after one that did not come: whoever has it may have stopped


class Turns:
    """Whose turn it is among the processes that write one collection. Used under the writers' lock."""

    def __init__(self, store: Store, collection: str, *, shared: bool) -> None:
        self._store = store
        self._shared = shared
        self._waiting, self._working = names.manifest_directory(collection), names.collection_path(collection)
        self._ours = False
        self._patience = PATIENCE

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Our turn, or, where that did not come in time, nobody's: commits are safe without it, only less fair."""
        if not self._shared or self._ours:
            yield
            return
        turn = self._store.turn(self._waiting, self._working, self._patience)
        self._patience = _NO_PATIENCE if turn is None else PATIENCE
        self._ours = True
        try:
            yield
        finally:
            self._ours = False
            if turn is not None:
                turn.release()
