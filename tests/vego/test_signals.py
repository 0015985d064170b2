"""SIGTERM closes databases where the program asked for it; with real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import vego
from vego.store import LocalStore
from vego.table.manifest import load_latest
from vego.wal import read_wal, segment_numbers

PROGRAM = """
import sys, time, vego
{first}
{opening}
docs = db.collection("c")
for number in range(100_000):
    docs.insert(id=f"d{{number}}", vector=[number, 1])
    print(number, flush=True)
"""


def program(path: Path, *, asks: bool, block: bool) -> str:
    opening = f"vego.open({str(path)!r}, dimension=2, metric='l2')"
    text = PROGRAM.format(first="vego.close_on_sigterm()" if asks else "", opening=f"db = {opening}")
    if block:
        head, _, rest = text.partition("docs =")
        lines = "\n    ".join(f"docs ={rest}".splitlines())
        text = f"{head.replace(f'db = {opening}', '')}\nwith {opening} as db:\n    {lines}\n"
    return text


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("block", [False, True])
def test_a_program_that_is_terminated(tmp_path: Path, asks: bool, block: bool) -> None:
    """Nothing acknowledged is lost either way; where it asked, its log is sealed."""
    path = tmp_path / "db"
    command = [sys.executable, "-c", program(path, asks=asks, block=block)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read().split()
    assert process.returncode == (128 + signal.SIGTERM if asks else -signal.SIGTERM)
    store = LocalStore(path, read_only=True)
    newest = load_latest(store, "c")
    assert newest is not None
    contents = read_wal(store, "c", max(segment_numbers(store, "c")), collection_id=newest.collection_id)
    assert contents.sealed == asks
    with vego.open(path) as db:
        acknowledged = 20 + len([number for number in rest if number.isdigit()])
        assert len(db.collection("c")) >= acknowledged - 1  # the last line may have been cut


def test_a_command_that_is_terminated(tmp_path: Path) -> None:
    with vego.open(tmp_path / "db", dimension=2, metric="l2") as db:
        db.collection("c").insert(id="a", vector=[1, 1])
    command = [sys.executable, "-m", "vego.cli", "shell", str(tmp_path / "db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(".help\n")
        shell.stdin.flush()
        assert shell.stdout.readline()
        shell.send_signal(signal.SIGTERM)
        assert shell.wait(60) == 128 + signal.SIGTERM


def test_what_handles_sigterm_already_is_left() -> None:
    def mine(*_: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(vego.InvalidArgumentError, match=r"SIGTERM is handled already, by .*mine"):
            vego.close_on_sigterm()
        assert signal.getsignal(signal.SIGTERM) is mine
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        vego.close_on_sigterm()
        vego.close_on_sigterm()
        with pytest.raises(SystemExit) as leaving:
            signal.raise_signal(signal.SIGTERM)
        assert leaving.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # the next one ends the process
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_may_not_ask() -> None:
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            vego.close_on_sigterm()
        except vego.InvalidArgumentError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])
