"""Ending a process in good order when the system asks it to."""

from __future__ import annotations

import signal
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn

from vego.errors import InvalidArgumentError

STATUS = 128 + signal.SIGTERM  # what shells report of a process that SIGTERM ended


def close_on_sigterm() -> None:
    """From now on SIGTERM ends this process as `sys.exit(143)` does: blocks are left, open databases closed.

    Without this Python ends at once. No acknowledged write is lost then, but logs are not sealed, graphs not saved,
    and the next opening has more to do. A second SIGTERM ends the process at once. To be called by the program, in
    its main thread; Vego never does so by itself. Raises InvalidArgumentError in another thread, or where something
    handles SIGTERM already: that should end with `sys.exit` or close the database.
    """
    if current_thread() is not main_thread():
        raise InvalidArgumentError(
            "close_on_sigterm: only the main thread of a program may say what signals do"
        )
    found = signal.getsignal(signal.SIGTERM)
    if found not in (signal.SIG_DFL, _leave):
        raise InvalidArgumentError(
            f"close_on_sigterm: SIGTERM is handled already, by {found!r}; leave with sys.exit() there, or close the "
            "database"
        )
    signal.signal(signal.SIGTERM, _leave)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise SystemExit(STATUS)
