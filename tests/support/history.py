"""What a child that printed its operations had done when it was stopped.

A line `try put|delete ids serial` goes before each call and `done serial` after it returned.
"""

from __future__ import annotations


def replay(lines: list[str], state: dict[str, int]) -> tuple[dict[str, int], dict[str, int] | None]:
    """The state after every acknowledged operation, and the one after the operation that was under way."""
    pending: tuple[str, list[str], int] | None = None
    for line in lines:
        words = line.split()
        if words[0] == "try":
            pending = (words[1], words[2].split(","), int(words[3]))
        elif words[0] == "done":
            assert pending is not None
            state = applied(state, *pending)
            pending = None
    return state, None if pending is None else applied(state, *pending)


def applied(state: dict[str, int], verb: str, names: list[str], serial: int) -> dict[str, int]:
    if verb == "delete":
        return {name: value for name, value in state.items() if name not in names}
    return state | dict.fromkeys(names, serial)
