"""kill -9 at any moment: what was acknowledged is there when the log is opened next."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.support import logs, processes
from vego import names
from vego.store import LocalStore

ROUNDS = 30


def run_and_kill(root: Path, sync: str, seconds: float) -> list[int]:
    """The LSNs that a writing process acknowledged before it was killed, `seconds` after the first."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(send, 1)
            processes.append_forever(str(root), sync)
        finally:
            os._exit(1)
    os.close(send)
    heard = os.read(receive, 1 << 16)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), "the writer ended by itself"
    while part := os.read(receive, 1 << 16):
        heard += part
    os.close(receive)
    return [int(line) for line in heard.split(b"\n")[:-1]]


@pytest.mark.crash
@pytest.mark.parametrize("sync", ["sync", "none"])
def test_acknowledged_batches_survive_a_kill(tmp_path, sync):
    rng = random.Random(20)
    store = LocalStore(tmp_path)
    store.make_dirs(names.wal_directory("c"))
    acknowledged = 0
    for number in range(ROUNDS):
        heard = run_and_kill(tmp_path, sync, rng.random() * 0.02)
        assert heard == list(range(heard[0], heard[0] + len(heard))), number
        assert heard[0] in (acknowledged + 1, acknowledged + 2), number
        acknowledged = heard[-1]
        log = logs.read_all(LocalStore(tmp_path))
        assert [batch.lsn for batch in log.batches][:acknowledged] == list(range(1, acknowledged + 1)), number
        assert len(log.batches) <= acknowledged + 1
        assert all(batch.operations == processes.operations_of(batch.lsn) for batch in log.batches)
    assert acknowledged > ROUNDS
