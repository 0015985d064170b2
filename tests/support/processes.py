"""Other processes for the tests of locks, commits and crashes: this file is also what they run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from vego import names
from vego.errors import CommitConflictError
from vego.store import LocalStore
from vego.table.commit import SetOptions, commit
from vego.table.manifest import load_version
from vego.wal import Delete, Put, WalWriter, read_log, resume_log

ROOT = Path(__file__).resolve().parents[2]
COLLECTION_ID = "c" * 32


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """Run this file with `arguments`; its standard input and output are pipes."""
    command = [sys.executable, "-m", "tests.support.processes", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def follow(writer: WalWriter, store: LocalStore) -> WalWriter:
    """Seal a log segment of the collection "c" and start the next, as a flush does."""
    writer.seal()
    return WalWriter.create(
        store,
        "c",
        collection_id=COLLECTION_ID,
        number=writer.number + 1,
        first_lsn=writer.next_lsn,
        previous=writer.end,
    )


def operations_of(lsn: int) -> tuple[Put | Delete, ...]:
    """The batch that the crash test writes as number `lsn`: contents and size follow from it."""
    put = Put(f"doc-{lsn}", lsn.to_bytes(4, "little") * (1 + lsn % 97), b'{"lsn":%d}' % lsn)
    return (put, Delete(f"doc-{lsn - 1}")) if lsn % 3 == 0 else (put,)


def hold_lock(root: str) -> None:
    """Take the lock, say so, hold it until standard input ends."""
    store = LocalStore(root)
    store.lock(names.LOCK)
    sys.stdout.write("locked\n")
    sys.stdout.flush()
    sys.stdin.read()


def append_forever(root: str, sync: str) -> None:
    """Recover the log, then append batches and print each LSN that is acknowledged."""
    store = LocalStore(root)
    log = read_log(store, "c", collection_id=COLLECTION_ID, first=1, flushed_lsn=0)
    writer = resume_log(store, "c", log, collection_id=COLLECTION_ID)
    while True:
        lsn = writer.append(operations_of(writer.next_lsn))
        if sync == "sync":
            writer.sync()
        os.write(1, b"%d\n" % lsn)
        if lsn % 40 == 0:
            writer = follow(writer, store)


def race(root: str, base: int, rounds: int) -> None:
    """Try to commit each of `rounds` versions on the version before it; print "won" or "lost" and the pid."""
    store = LocalStore(root)
    me = os.getpid()
    for version in range(base, base + rounds):
        while not store.exists(names.manifest_path("c", version)):
            time.sleep(0)
        before = load_version(store, "c", version)
        try:
            commit(store, "c", before, [SetOptions({"winner": me})], summary=str(me))
        except CommitConflictError:
            outcome = "lost"
        else:
            outcome = "won"
        sys.stdout.write(f"{version + 1} {outcome} {me}\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["lock", root]:
            hold_lock(root)
        case ["append", root, sync]:
            append_forever(root, sync)
        case ["race", root, base, rounds]:
            sys.stdin.readline()
            race(root, int(base), int(rounds))
        case _:
            sys.exit(f"unknown: {sys.argv[1:]}")
