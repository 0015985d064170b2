"""Reads statements: from a terminal with history and completion, from a plain one, or from a script."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from lance_fmt import FormatError
from vego.errors import VegoError
from vego_tools.shell.complete import candidates
from vego_tools.shell.session import Session
from vego_tools.shell.statements import split, words_of
from vego_tools.terminal import Style, printable

PROMPT, CONTINUED = "vego> ", "  ... "


class Gatherer:
    """Joins lines to statements: to a semicolon, an empty line, or the end; a dot command is one line."""

    def __init__(self) -> None:
        self._text = ""

    @property
    def waiting(self) -> bool:
        """Whether a statement has begun and not ended."""
        return bool(self._text)

    def add(self, line: str) -> list[str]:
        """The statements that end with this line."""
        if not self._text and line.lstrip().startswith("."):
            return [line.strip()]
        if not line.strip() and all(word.closed for word in words_of(self._text)):
            return self.finish()
        statements: list[str]
        statements, self._text = split(self._text + line.rstrip("\r\n") + "\n")
        return statements

    def finish(self) -> list[str]:
        """The statement that has begun, as it is."""
        text, self._text = self._text, ""
        return [text.strip()] if text.strip() else []


def run_script(session: Session, lines: Iterable[str]) -> None:
    """Carry out every statement; the first error ends it, and is raised."""
    for statement in _statements(lines):
        session.run(statement)
        if session.done:
            return


def _statements(lines: Iterable[str]) -> Iterator[str]:
    gatherer = Gatherer()
    for line in lines:
        yield from gatherer.add(line)
    yield from gatherer.finish()


def run_interactive(session: Session, errors: TextIO) -> None:
    """Read, carry out, show, until the user leaves; errors are told and forgotten."""
    read = _reader(session)
    gatherer = Gatherer()
    while not session.done:
        try:
            line = read(CONTINUED if gatherer.waiting else PROMPT)
        except KeyboardInterrupt:  # what is typed is dropped
            gatherer = Gatherer()
            continue
        except EOFError:
            for statement in gatherer.finish():
                _attempt(session, statement, errors)
            return
        for statement in gatherer.add(line):
            _attempt(session, statement, errors)


def _attempt(session: Session, statement: str, errors: TextIO) -> None:
    try:
        session.run(statement)
    except KeyboardInterrupt:
        errors.write("interrupted\n")
    except BrokenPipeError:
        raise
    except (VegoError, FormatError, OSError) as error:
        style = Style.of(errors)
        errors.write(f"{style.bold('error:')} {printable(str(error))}\n")


def _reader(session: Session) -> Callable[[str], str]:
    """A function that shows a prompt and returns a line; raises EOFError at the end."""
    if os.environ.get("TERM", "dumb") != "dumb":
        with suppress(ImportError):
            return _prompt_toolkit(session)
    return input


def _prompt_toolkit(session: Session) -> Callable[[str], str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class Words(Completer):
        def get_completions(self, document: Any, complete_event: Any) -> Iterator[Any]:  # noqa: ARG002
            found, typed = candidates(document.text_before_cursor, session.catalog)
            yield from (Completion(word, start_position=-typed) for word in found)

    path = history_file()
    history = InMemoryHistory() if path is None else FileHistory(str(path))
    prompt: PromptSession[str] = PromptSession(
        history=history, completer=Words(), complete_while_typing=False, enable_history_search=True
    )
    return prompt.prompt


def history_file() -> Path | None:
    """Where history is kept, made if need be, for its owner only; None where that is not possible."""
    try:
        path = state_directory() / "shell_history"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except (OSError, RuntimeError):
        return None
    return path


def state_directory() -> Path:
    """The directory for what a user's programs remember, by the conventions of the system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "vego"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vego"
