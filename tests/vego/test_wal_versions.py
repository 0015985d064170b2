"""Logs of both versions of the format: the first has no times and is still read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

import vego
from tests.support import logs
from vego import names
from vego.table.versions import time_at
from vego.wal import Batch, Delete, Put, resume_log
from vego.wal.format import BatchHeader, BatchType, SegmentHeader, batch_seed
from vego.wal.record import encode

FIRST = bytes.fromhex(  # a segment that was sealed
    "5657414c010000000000000000000000000000000000abc0cccccccccccccccccccccccccccccccc01000000000000000100"
    "000000000000000000000000000000000000000000000000000000000000e29d00b556424154010000001e00000001000000"
    "010000000000000000000000000000000fdb2f9c01020000000800000007000000c3a90000803f000000407b226e223a317d"
    "83f609d35642415401000000270000000200000002000000000000000100000000000000abdf526e01020100000002000000"
    "0800000000000000020000000000000062c3a90000803f000000407b7d5801f9a25642415402000000000000000000000003"
    "00000000000000020000000000000055f92eed1cf74152"
)
SECOND = bytes.fromhex(  # and the one after it, which was not
    "5657414c010000000000000000000000000000000000abc1cccccccccccccccccccccccccccccccc02000000000000000300"
    "000000000000010000000100000000000000110100000000000002caa3314d05d11056424154010000000e00000001000000"
    "030000000000000002000000000000001863313002010000000000000000000000620229a664"
)
BATCHES = (
    Batch(1, (Put("é", b"\0\0\x80?\0\0\0@", b'{"n":1}'),)),
    Batch(2, (Put("b", b"\0\0\x80?\0\0\0@", b"{}"), Delete("é"))),
    Batch(3, (Delete("b"),)),
)


def without_payloads(batches: tuple[Batch, ...]) -> tuple[Batch, ...]:
    return tuple(batch._replace(payload=b"") for batch in batches)


def test_version_1_is_read(tmp_path: Path) -> None:
    store = logs.new_store(tmp_path)
    logs.file_of(store, 1).write_bytes(FIRST)
    logs.file_of(store, 2).write_bytes(SECOND)
    log = logs.read_all(store)
    assert without_payloads(log.batches) == BATCHES
    assert [segment.header.version for segment in log.segments if segment.header] == [1, 1]
    assert [segment.sealed for segment in log.segments] == [True, False]


def test_every_flipped_bit_of_version_1(tmp_path: Path) -> None:
    """A sealed segment is read as it was or refused."""
    for position, data in logs.flipped_bits(FIRST, 0, len(FIRST)):
        with suppress(vego.CorruptionError, vego.NewerVersionError):
            assert without_payloads(logs.read_bytes(data).batches) == BATCHES[:2], position


@pytest.mark.parametrize("length", range(84, len(FIRST)))
def test_version_1_cut_short(length: int) -> None:
    """What is whole is read; `length` bytes are there, and nothing proves that there were more."""
    batches = logs.read_bytes(FIRST[:length]).batches
    assert without_payloads(batches) == BATCHES[: len(batches)]


def test_version_1_goes_on_in_version_2(tmp_path: Path) -> None:
    """The batches are carried over; they count from the moment when that was done."""
    store = logs.new_store(tmp_path)
    logs.file_of(store, 1).write_bytes(FIRST)
    logs.file_of(store, 2).write_bytes(SECOND)
    writer = resume_log(
        store, logs.COLLECTION, logs.read_all(store), collection_id=logs.COLLECTION_ID, untimed_us=77
    )
    writer.append_payload(encode(BATCHES[0].operations), 1, 78)
    writer.sync()
    log = logs.read_all(store, first=3)
    assert [(batch.lsn, batch.time_us) for batch in log.batches] == [(1, 77), (2, 77), (3, 77), (4, 78)]
    assert {segment.header.version for segment in log.segments if segment.header} == {2}


def test_time_does_not_go_back(tmp_path: Path) -> None:
    """A time before that of the batch before cannot come from a crash: both checksums are right."""
    header = SegmentHeader("a" * 32, logs.COLLECTION_ID, 1, 1, None)
    seed = batch_seed(header.segment_id)
    payload = encode([Delete("a")])
    records = [
        BatchHeader(BatchType.OPERATIONS, len(payload), 1, lsn, lsn - 1, time_us).record(payload, seed)
        for lsn, time_us in ((1, 50), (2, 49))
    ]
    with pytest.raises(vego.CorruptionError, match="time 49 of batch 2 is before 50"):
        logs.read_bytes(header.to_bytes() + b"".join(records))
    assert [one.time_us for one in logs.read_bytes(header.to_bytes() + records[0]).batches] == [50]


def test_a_database_with_a_log_of_version_1(tmp_path: Path) -> None:
    """What it holds counts as of the first opening for writing."""
    with vego.open(tmp_path / "db", dimension=2, metric="l2") as db:
        docs = db.collection("c")
        rows = docs._rows
        assert rows is not None
        collection_id, created = rows.rows.manifest.collection_id, docs.versions()[0].time
    header = SegmentHeader("a" * 32, collection_id, 1, 1, None, version=1)
    payload = encode([Put("x", b"\0\0\x80?\0\0\0@", b"{}")])
    record = BatchHeader(BatchType.OPERATIONS, len(payload), 1, 1, 0).record(payload, batch_seed("a" * 32))
    old = version_1(record, batch_seed("a" * 32))
    path = tmp_path / "db" / names.wal_path("c", 1)
    path.write_bytes(header.to_bytes() + old)
    with vego.open(tmp_path / "db", read_only=True) as db:
        assert len(db.collection("c")) == 1
        assert len(db.collection("c").at(timestamp=created)) == 0
    with vego.open(tmp_path / "db") as db:
        docs = db.collection("c")
        assert len(docs) == 1
        assert len(docs.at(timestamp=created)) == 0
        assert docs._rows is not None
        opened = docs._rows.rows._journal.time_us
        assert len(docs.at(timestamp=time_at(opened - 1))) == 0
        assert len(docs.at(timestamp=time_at(opened))) == 1


def version_1(record: bytes, seed: int) -> bytes:
    """A record as the first version of the format has it."""
    from lance_fmt import Builder, crc32c

    head = record[:32]
    return head + Builder().u32(crc32c(head, seed)).finish() + record[44:]
