"""Small logs for the tests of reading them back, and ways to damage their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from hypothesis import strategies as st

from vego import names
from vego.store import LocalStore
from vego.wal import Delete, Log, Operation, Put, SegmentEnd, WalContents, WalWriter, read_log, read_wal

COLLECTION = "c"
COLLECTION_ID = "c" * 32

ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.binary(max_size=40)
operations = st.one_of(st.builds(Put, ids, values, values), st.builds(Delete, ids))
batches = st.lists(operations, min_size=1, max_size=5).map(tuple)


def new_store(root: Path) -> LocalStore:
    """A store with the log directory of the collection."""
    store = LocalStore(root)
    store.make_dirs(names.wal_directory(COLLECTION))
    return store


def new_writer(store: LocalStore, number: int = 1, first_lsn: int = 1) -> WalWriter:
    """A first segment."""
    return WalWriter.create(
        store, COLLECTION, collection_id=COLLECTION_ID, number=number, first_lsn=first_lsn, previous=None
    )


def read(store: LocalStore, number: int = 1) -> WalContents:
    """One segment, as the last one."""
    return read_wal(store, COLLECTION, number, collection_id=COLLECTION_ID)


def read_all(store: LocalStore, first: int = 1, flushed_lsn: int = 0) -> Log:
    """The whole log."""
    return read_log(store, COLLECTION, collection_id=COLLECTION_ID, first=first, flushed_lsn=flushed_lsn)


def file_of(store: LocalStore, number: int = 1) -> Path:
    """The file of a segment."""
    return store.root / names.wal_path(COLLECTION, number)


def batch(lsn: int) -> tuple[Operation, ...]:
    """A small batch that differs from all others."""
    return (Put(f"id{lsn}", bytes([lsn % 256]) * 8, b"{}"), Delete(f"old{lsn}"))


class OneFile:
    """A store that holds `data` and nothing else, for whatever path."""

    name = "db"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, path: str) -> bytes:
        return self.data


def read_bytes(data: bytes, number: int = 1, expected: SegmentEnd | None = None) -> WalContents:
    """What a segment of these bytes holds."""
    store = cast(LocalStore, OneFile(data))
    return read_wal(store, COLLECTION, number, collection_id=COLLECTION_ID, expected=expected)


def flipped_bits(data: bytes, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """`data` with each bit of the bytes from `start` to `stop` flipped in turn, and the byte."""
    for position in range(start, stop):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            yield position, bytes(changed)
