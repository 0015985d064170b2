"""The shell on a terminal: what a person types and sees, with prompt_toolkit and without."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import lance_fmt

pytest.importorskip("pty")
from tests.support.terminals import Terminal
from vego_tools.shell import console, duck

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.lfmt"
    lance_fmt.write(path, {"id": [1, 2, 3], "name": ["Ada", "Béla", "\x1b[31mred"]})
    return path


def shell(file: Path, engine: str = "vego", **environment: str) -> Terminal:
    command = [sys.executable, "-m", "vego.cli", "shell", str(file), "--engine", engine]
    settings = {
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(file.parent),
    }
    return Terminal(command, {**os.environ, **settings, **environment})


def test_history_completion_errors_and_leaving(file):
    pytest.importorskip("prompt_toolkit")
    with shell(file) as terminal:
        terminal.wait_for("people.lfmt: 1 file. `.help` explains")
        at = terminal.wait_for("vego>")
        terminal.type("SELECT na\t")
        at = terminal.wait_for("name", after=at)
        terminal.type(" FROM peo\t")
        at = terminal.wait_for("people", after=at)
        terminal.type(" LIMIT 2;\r")
        at = terminal.wait_for("vego>", after=terminal.wait_for("(2 rows)", after=at))
        terminal.type("SELECT nonsense\r")
        at = terminal.wait_for("...", after=at)
        terminal.type("FROM people;\r")
        at = terminal.wait_for("error: no column 'nonsense' in people", after=at)
        at = terminal.wait_for("vego>", after=at)
        terminal.type("half a statement\r")
        at = terminal.wait_for("...", after=at)
        terminal.type("\x03")  # dropped
        at = terminal.wait_for("vego>", after=at)
        terminal.type("SELECT * FROM people;\r")
        at = terminal.wait_for("\\x1b[31mred", after=at)
        at = terminal.wait_for("vego>", after=at)
        terminal.type("\x04")
        assert terminal.ended() == 0
    assert "Traceback" not in terminal.text
    assert "\x1b[31mred" not in terminal.raw
    history = file.parent / "vego" / "shell_history"
    assert "+SELECT name FROM people LIMIT 2;" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    with shell(file) as again:
        at = again.wait_for("vego>")
        again.type("\x1b[A")  # up
        at = again.wait_for("SELECT * FROM people;", after=at)
        again.type("\r")
        at = again.wait_for("vego>", after=again.wait_for("(3 rows)", after=at))
        again.type(".quit\r")
        assert again.ended() == 0


@pytest.mark.skipif(not duck.installed(), reason="needs duckdb")
def test_ctrl_c_ends_a_statement_and_the_session_goes_on(file):
    with shell(file, "duckdb", TERM="dumb") as terminal:
        at = terminal.wait_for("vego> ")
        for patience in range(1, 9):  # ctrl-C that comes too early drops the line
            terminal.type("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b;\n")
            with suppress(AssertionError):
                terminal.wait_for("error", after=at, seconds=patience)
            terminal.type("\x03")
            with suppress(AssertionError):
                at = terminal.wait_for("interrupted", after=at, seconds=patience)
                break
        at = terminal.wait_for("vego> ", after=at)
        terminal.type("SELECT 41 + 1 AS answer;\n")
        at = terminal.wait_for("(1 row)", after=terminal.wait_for("42", after=at))
        assert "interrupted" in terminal.text
        terminal.wait_for("vego> ", after=at)
        terminal.type(".quit\n")
        assert terminal.ended() == 0
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1", "TERM": "dumb"}])
def test_a_plain_terminal_is_enough(file, environment):
    with shell(file, **environment) as terminal:
        at = terminal.wait_for("vego> ")
        terminal.type("SELECT name FROM people\n\n")
        at = terminal.wait_for("vego> ", after=terminal.wait_for("(3 rows)", after=at))
        terminal.type("SELECT oops;\n")
        at = terminal.wait_for("error: ", after=at)
        at = terminal.wait_for("vego> ", after=at)
        terminal.type("\x04")
        assert terminal.ended() == 0
    assert "\x1b" not in terminal.raw
    assert "Traceback" not in terminal.text


def test_history_is_where_the_system_keeps_such_things(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert console.history_file() == tmp_path / "state/vego/shell_history"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert console.history_file() == tmp_path / "home/.local/state/vego/shell_history"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert console.history_file() is None  # nowhere to keep it: the session goes on without
