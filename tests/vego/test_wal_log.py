"""A log of many segments: chains, gaps, rotation, and going on after every kind of stop."""

from __future__ import annotations

import errno

import pytest

from tests.support import faults, logs
from tests.support.processes import follow
from vego import names
from vego.errors import CommitUncertainError, CorruptionError, InvalidArgumentError, StorageError
from vego.wal import WalWriter, resume_log


def lsns(log):
    assert all(batch.operations == logs.batch(batch.lsn) for batch in log.batches)
    return [batch.lsn for batch in log.batches]


def fill(writer, count):
    for _ in range(count):
        writer.append(logs.batch(writer.next_lsn))
        writer.sync()


def three_segments(store):
    writer = logs.new_writer(store)
    for _ in range(2):
        fill(writer, 3)
        writer = follow(writer, store)
    fill(writer, 3)
    return writer


def resume(store, log):
    return resume_log(store, "c", log, collection_id=logs.COLLECTION_ID)


def test_no_log_is_an_empty_log(tmp_path):
    store = logs.new_store(tmp_path)
    log = logs.read_all(store, first=5, flushed_lsn=40)
    assert (log.segments, log.batches, log.next_number, log.next_lsn) == ((), (), 5, 41)
    writer = resume(store, log)
    assert (writer.number, writer.next_lsn) == (5, 41)
    store.remove_tree("collections")
    assert logs.read_all(store).next_number == 1


def test_segments_in_order(tmp_path):
    store = logs.new_store(tmp_path)
    three_segments(store).close()
    log = logs.read_all(store)
    assert lsns(log) == list(range(1, 10))
    assert (log.next_number, log.next_lsn, log.first_number, log.torn_bytes) == (
        4,
        10,
        1,
        0,
    )
    assert lsns(logs.read_all(store, flushed_lsn=4)) == [5, 6, 7, 8, 9]
    assert lsns(logs.read_all(store, first=2, flushed_lsn=3)) == [4, 5, 6, 7, 8, 9]
    logs.file_of(store, 1).unlink()
    assert lsns(logs.read_all(store, first=2, flushed_lsn=3)) == [4, 5, 6, 7, 8, 9]


def test_gaps_are_damage(tmp_path):
    store = logs.new_store(tmp_path)
    three_segments(store).close()
    with pytest.raises(CorruptionError, match="starts at LSN 4, but 3 is the next one"):
        logs.read_all(store, first=2, flushed_lsn=2)
    logs.file_of(store, 2).unlink()
    with pytest.raises(CorruptionError, match="missing, but segment 3 continues it"):
        logs.read_all(store)


def test_after_a_clean_stop_everything_is_copied_too(tmp_path):
    """The seal may be in the page cache only: a segment that names it could outlive it."""
    store = logs.new_store(tmp_path)
    three_segments(store).seal()
    log = logs.read_all(store)
    writer = resume(store, log)
    assert (writer.number, writer.next_lsn) == (5, 10)
    fill(writer, 1)
    sealed = logs.file_of(store, 3)
    sealed.write_bytes(sealed.read_bytes()[:-40])
    assert lsns(logs.read_all(store)) == list(range(1, 11))


def test_after_an_unclean_stop_everything_is_copied(tmp_path):
    store = logs.new_store(tmp_path)
    three_segments(store).close()
    log = logs.read_all(store)
    writer = resume(store, log)
    assert (writer.number, writer.next_lsn) == (5, 10)
    fill(writer, 2)
    for number in (1, 2, 3):
        logs.file_of(store, number).unlink()  # nothing needs them any more
    again = logs.read_all(store)
    assert lsns(again) == list(range(1, 12))
    assert again.first_number == 4


def test_the_old_chain_still_serves_an_older_manifest(tmp_path):
    """`vego repair --to-version` goes back to a smaller flushed_lsn; older segments fill the gap."""
    store = logs.new_store(tmp_path)
    three_segments(store).close()
    resume(store, logs.read_all(store, flushed_lsn=5)).close()
    assert lsns(logs.read_all(store, flushed_lsn=5)) == [6, 7, 8, 9]
    assert lsns(logs.read_all(store)) == list(range(1, 10))


def test_a_new_chain_after_a_flush(tmp_path):
    """The log is closed without a seal, what it held is flushed, and the next segment starts a chain."""
    store = logs.new_store(tmp_path)
    three_segments(store).close()
    writer = logs.new_writer(store, number=4, first_lsn=10)
    fill(writer, 1)
    assert lsns(logs.read_all(store, first=4, flushed_lsn=9)) == [10]
    assert lsns(logs.read_all(store)) == list(range(1, 11))
    file = logs.file_of(store, 3)
    file.write_bytes(file.read_bytes()[:-1])
    assert lsns(logs.read_all(store, first=4, flushed_lsn=9)) == [10]
    with pytest.raises(CorruptionError, match="starts at LSN 10, but 9 is the next one"):
        logs.read_all(store)


def test_an_unsynced_log_may_end_before_what_was_flushed(tmp_path):
    store = logs.new_store(tmp_path)
    writer = logs.new_writer(store)
    fill(writer, 3)
    writer.close()
    log = logs.read_all(store, flushed_lsn=10)
    assert (lsns(log), log.next_lsn) == ([], 11)
    fill(resume(store, log), 1)
    assert lsns(logs.read_all(store, flushed_lsn=10)) == [11]


@pytest.mark.parametrize("length", [0, 1, 50, 84])
def test_a_creation_cut_short_is_passed_over(tmp_path, length):
    store = logs.new_store(tmp_path)
    three_segments(store).seal()
    logs.file_of(store, 4).write_bytes(bytes(length))
    log = logs.read_all(store)
    assert lsns(log) == list(range(1, 10))
    assert (log.torn_bytes, log.next_number) == (length, 5)
    fill(resume(store, log), 1)
    assert lsns(logs.read_all(store)) == list(range(1, 11))


def test_every_crash_while_resuming(tmp_path, monkeypatch):
    """Whatever call fails while a log is resumed, the next opening reads the same batches."""
    for k in range(40):
        store = logs.new_store(tmp_path / str(k))
        three_segments(store).close()
        file = logs.file_of(store, 3)
        file.write_bytes(file.read_bytes() + b"torn")
        log = logs.read_all(store)
        with monkeypatch.context() as patch:
            faulty = faults.install(patch)
            faulty.fail_at(k, errno.EIO)
            try:
                resume(store, log)
                done = True
            except StorageError:
                done = False
        fresh = logs.new_store(tmp_path / str(k))
        again = logs.read_all(fresh)
        assert lsns(again) == list(range(1, 10)), k
        writer = resume(fresh, again)
        fill(writer, 1)
        assert lsns(logs.read_all(fresh)) == list(range(1, 11)), k
        if done:
            assert k > 10
            return
    raise AssertionError("resuming takes more calls than expected")


def test_every_fault_while_writing(tmp_path, monkeypatch):
    """What was acknowledged is read back; what failed is there or not, and changes nothing else."""
    for k in range(60):
        for number in (errno.EIO, errno.ENOSPC):
            store = logs.new_store(tmp_path / f"{k}-{number}")
            acknowledged = 0
            with monkeypatch.context() as patch:
                faulty = faults.install(patch)
                faulty.fail_at(k, number)
                writer = None
                for _ in range(3):
                    try:
                        writer = follow(writer, store) if writer else logs.new_writer(store)
                        for _ in range(2):
                            fill(writer, 1)
                            acknowledged = writer.next_lsn - 1
                    except StorageError:
                        break
                calls = len(faulty.calls)
            log = logs.read_all(logs.new_store(tmp_path / f"{k}-{number}"))
            assert lsns(log)[:acknowledged] == list(range(1, acknowledged + 1))
            assert len(log.batches) <= acknowledged + 1
        if calls < k:
            assert acknowledged == 6
            return
    raise AssertionError("writing takes more calls than expected")


def test_a_segment_exists_durably_before_its_first_batch(tmp_path, monkeypatch):
    store = logs.new_store(tmp_path)
    faulty = faults.install(monkeypatch)
    writer = logs.new_writer(store)
    assert faulty.calls == ["open", "pwrite", "fdatasync", "open", "fsync", "close"]
    writer.append(logs.batch(1))
    del faulty.calls[:]
    writer.seal()
    assert faulty.calls == ["fdatasync", "pwrite", "fdatasync", "close"]


def test_a_full_disk_leaves_the_writer_usable(tmp_path, monkeypatch):
    store = logs.new_store(tmp_path)
    writer = logs.new_writer(store)
    fill(writer, 1)
    faulty = faults.install(monkeypatch)
    faulty.short_at(0)
    faulty.fail_at(1, errno.ENOSPC)
    with pytest.raises(StorageError, match="disk is full"):
        writer.append(logs.batch(2))
    assert writer.next_lsn == 2
    fill(writer, 2)
    writer.seal()
    assert lsns(logs.read_all(store)) == [1, 2, 3]


def test_a_creation_that_finds_no_room_can_be_tried_again(tmp_path, monkeypatch):
    store = logs.new_store(tmp_path)
    with monkeypatch.context() as patch:
        faults.install(patch).fail_at(1, errno.ENOSPC)
        with pytest.raises(StorageError, match="disk is full"):
            logs.new_writer(store)
    assert store.list(names.wal_directory("c")) == []
    fill(logs.new_writer(store), 1)


def test_a_failed_sync_ends_the_writer(tmp_path, monkeypatch):
    store = logs.new_store(tmp_path)
    writer = logs.new_writer(store)
    writer.append(logs.batch(1))
    faulty = faults.install(monkeypatch)
    faulty.fail_at(0, errno.EIO)
    with pytest.raises(CommitUncertainError):
        writer.sync()
    assert writer.durable_lsn == 0
    for call in (writer.sync, writer.seal, lambda: writer.append(logs.batch(2))):
        with pytest.raises(StorageError):
            call()


def test_an_interrupt_between_append_and_bookkeeping(tmp_path):
    store = logs.new_store(tmp_path)
    writer = logs.new_writer(store)
    fill(writer, 1)
    writer._file.append(b"a batch whose LSN was never counted")
    fill(writer, 1)
    writer.close()
    assert lsns(logs.read_all(store)) == [1, 2]
    assert logs.read(store).torn_bytes == 0


def test_numbers_follow_each_other(tmp_path):
    store = logs.new_store(tmp_path)
    writer = logs.new_writer(store)
    writer.seal()
    with pytest.raises(InvalidArgumentError):
        WalWriter.create(
            store, "c", collection_id=logs.COLLECTION_ID, number=3, first_lsn=1, previous=writer.end
        )
    with pytest.raises(FileExistsError):
        logs.new_writer(store)
    assert store.list(names.wal_directory("c")) == ["00000000000000000001.wal"]
