"""Faults at the seam: the `os` that the modules of `vego.store` see, with a call that fails.

`FaultyOs` stands in for the module `os` and counts the calls that change or sync something. `fail_at(n)`
makes the n-th of them raise, `short_at(n)` makes the n-th write take half. What pytest itself calls is
untouched.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from vego.store import descriptor, files, local

MODULES = (descriptor, files, local)
CALLS = frozenset(
    [
        "open",
        "pwrite",
        "fsync",
        "fdatasync",
        "ftruncate",
        "link",
        "unlink",
        "close",
        "mkdir",
        "rename",
        "stat",
    ]
)


class FaultyOs:
    """A module `os` with `calls`, the names of the counted calls so far in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._fail: dict[int, OSError | BaseException] = {}
        self._short: set[int] = set()
        self._persistent: dict[str, int] = {}
        self.after_effect = False

    def fail_at(self, number: int, error: int | BaseException, *, after_effect: bool = False) -> None:
        """Call `number` (from 0) raises; with `after_effect` it does its work first, like a lost answer."""
        self._fail[number] = OSError(error, os.strerror(error)) if isinstance(error, int) else error
        self.after_effect = after_effect

    def fail_always(self, name: str, error: int) -> None:
        """Every call of `name` raises."""
        self._persistent[name] = error

    def short_at(self, number: int) -> None:
        """Call `number`, if it is a write, writes only half of what it is given."""
        self._short.add(number)

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._counted(name, real) if name in CALLS else real

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if name in self._persistent:
                raise OSError(self._persistent[name], os.strerror(self._persistent[name]))
            error = self._fail.get(number)
            if error is not None and not self.after_effect and name != "close":
                raise error
            if number in self._short and name == "pwrite":
                fd, data, offset = args
                return real(fd, data[: max(1, len(data) // 2)], offset)
            result = real(*args, **kwargs)
            if error is not None:  # a close that reports an error has closed all the same
                raise error
            return result

        return call


def install(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """Put a FaultyOs in place of `os` in every module of the store that calls it."""
    faulty = FaultyOs()
    for module in MODULES:
        monkeypatch.setattr(module, "os", faulty)
    return faulty
