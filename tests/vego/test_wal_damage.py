"""Torn or damaged? What a crash can leave is read up to the tear; what a crash cannot leave is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import logs
from tests.support.processes import follow
from vego.errors import ClosedError, CorruptionError, InvalidArgumentError, NewerVersionError
from vego.wal import Put, read_wal
from vego.wal.format import BATCH_MAGIC, SEGMENT_HEADER_SIZE, BatchHeader, SegmentHeader, batch_seed

BATCHES = 4


def write(store, *, sync=True, seal=False, batches=BATCHES):
    """A log of one segment; the offsets where its batches start, and where they end."""
    writer = logs.new_writer(store)
    starts = []
    for lsn in range(1, batches + 1):
        starts.append(writer.size)
        assert writer.append(logs.batch(lsn)) == lsn
        if sync:
            writer.sync()
            assert writer.durable_lsn == lsn
    end = writer.size
    if seal:
        writer.seal()
    else:
        writer.close()
    return starts, end


def check_prefix(contents, upto=BATCHES):
    assert [batch.lsn for batch in contents.batches] == list(range(1, len(contents.batches) + 1))
    assert all(batch.operations == logs.batch(batch.lsn) for batch in contents.batches)
    assert len(contents.batches) <= upto


@pytest.mark.parametrize("seal", [False, True])
def test_read_back(tmp_path, seal):
    store = logs.new_store(tmp_path)
    _, end = write(store, seal=seal)
    contents = logs.read(store)
    check_prefix(contents)
    assert len(contents.batches) == BATCHES
    assert contents.sealed == seal
    assert contents.torn_bytes == 0
    assert contents.valid_length == store.size("collections/c/wal/00000000000000000001.wal")
    assert contents.valid_length == end + (48 if seal else 0)


def test_every_bit_of_every_batch_but_the_last(tmp_path):
    store = logs.new_store(tmp_path)
    starts, _ = write(store)
    for _, damaged in logs.flipped_bits(logs.file_of(store).read_bytes(), 0, starts[-1]):
        with pytest.raises(CorruptionError) as caught:
            logs.read_bytes(damaged)
        assert caught.value.path == "db/collections/c/wal/00000000000000000001.wal"
        assert "`vego verify db --deep`" in str(caught.value)


def test_every_bit_of_the_last_batch_unsealed_is_a_torn_tail(tmp_path):
    store = logs.new_store(tmp_path)
    starts, end = write(store)
    for _, damaged in logs.flipped_bits(logs.file_of(store).read_bytes(), starts[-1], end):
        contents = logs.read_bytes(damaged)
        check_prefix(contents)
        assert len(contents.batches) == BATCHES - 1
        assert contents.torn_bytes == end - starts[-1]


def test_every_bit_of_a_sealed_segment(tmp_path):
    store = logs.new_store(tmp_path)
    _, end = write(store, seal=True)
    good = logs.file_of(store).read_bytes()
    for _, damaged in logs.flipped_bits(good, 0, end):
        with pytest.raises(CorruptionError):
            logs.read_bytes(damaged)
    for _, damaged in logs.flipped_bits(good, end, len(good)):  # the seal itself: no batch is lost with it
        contents = logs.read_bytes(damaged)
        assert not contents.sealed
        assert len(contents.batches) == BATCHES


def test_every_bit_and_truncation_of_a_segment_that_another_continues(tmp_path):
    store = logs.new_store(tmp_path)
    writer = logs.new_writer(store)
    writer.append(logs.batch(1))
    expected = follow(writer, store)._header.previous
    good = logs.file_of(store).read_bytes()
    assert len(logs.read_bytes(good, expected=expected).batches) == 1
    cut = [(0, good[:length]) for length in range(len(good))]
    for _, damaged in [*logs.flipped_bits(good, 0, len(good)), *cut, (0, good + b"x")]:
        with pytest.raises(CorruptionError):
            logs.read_bytes(damaged, expected=expected)


def test_every_truncation(tmp_path):
    store = logs.new_store(tmp_path)
    starts, end = write(store)
    file = logs.file_of(store)
    good = file.read_bytes()
    for length in range(end + 1):
        file.write_bytes(good[:length])
        contents = logs.read(store)
        check_prefix(contents)
        whole = sum(after <= length for after in [*starts[1:], end])
        assert len(contents.batches) == whole
        assert contents.torn_bytes == length - contents.valid_length
        assert (contents.header is None) == (length < SEGMENT_HEADER_SIZE)


@pytest.mark.parametrize("tail", [b"\0" * 512, b"VBAT" * 40, b"\xff", BATCH_MAGIC])
def test_what_a_crash_leaves_behind_the_last_batch_is_torn(tmp_path, tail):
    store = logs.new_store(tmp_path)
    _, end = write(store)
    file = logs.file_of(store)
    file.write_bytes(file.read_bytes() + tail)
    contents = logs.read(store)
    assert len(contents.batches) == BATCHES
    assert contents.torn_bytes == len(tail)
    assert contents.valid_length == end


def test_bytes_behind_a_seal_are_damage(tmp_path):
    store = logs.new_store(tmp_path)
    write(store, seal=True)
    file = logs.file_of(store)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(CorruptionError, match="behind the seal"):
        logs.read(store)


def test_zero_filled_creation_is_torn(tmp_path):
    store = logs.new_store(tmp_path)
    logs.file_of(store).write_bytes(bytes(SEGMENT_HEADER_SIZE))
    contents = logs.read(store)
    assert contents.header is None
    assert contents.torn_bytes == SEGMENT_HEADER_SIZE


def test_without_syncs_any_batch_may_be_lost_first(tmp_path):
    """The system writes pages in any order: batch 2 may be missing while 3 is there; neither was durable."""
    store = logs.new_store(tmp_path)
    starts, _ = write(store, sync=False)
    file = logs.file_of(store)
    good = file.read_bytes()
    file.write_bytes(good[: starts[1]] + bytes(starts[2] - starts[1]) + good[starts[2] :])
    contents = logs.read(store)
    assert [batch.lsn for batch in contents.batches] == [1]


def test_a_batch_of_another_segment_is_refused(tmp_path):
    """Right bytes in the wrong file: the checksums are seeded with the segment's id."""
    one, two = logs.new_store(tmp_path / "1"), logs.new_store(tmp_path / "2")
    starts, _ = write(one)
    write(two)
    a, b = logs.file_of(one).read_bytes(), logs.file_of(two).read_bytes()
    logs.file_of(one).write_bytes(a[: starts[1]] + b[starts[1] : starts[2]] + a[starts[2] :])
    with pytest.raises(CorruptionError):
        logs.read(one)


def test_swapped_and_dropped_batches_are_refused(tmp_path):
    store = logs.new_store(tmp_path)
    starts, _ = write(store)
    file = logs.file_of(store)
    good = file.read_bytes()
    b1, b2 = good[starts[0] : starts[1]], good[starts[1] : starts[2]]
    for middle in (b2 + b1, b2, b1 + b1 + b2, b1 + b2 + b1):
        file.write_bytes(good[: starts[0]] + middle + good[starts[2] :])
        with pytest.raises(CorruptionError):
            logs.read(store)


def test_user_bytes_that_imitate_a_batch_prove_nothing(tmp_path):
    """A vector that looks like a later batch must not turn a torn tail into damage."""
    store = logs.new_store(tmp_path)
    imitation = BatchHeader(1, 10, 1, 99, 98).to_bytes(batch_seed("0" * 32))
    writer = logs.new_writer(store)
    writer.append(logs.batch(1))
    writer.sync()
    length = writer.size
    writer.append([Put("evil", imitation * 20, b"{}")])
    writer.close()
    file = logs.file_of(store)
    file.write_bytes(file.read_bytes()[:-1])
    assert logs.read(store).valid_length == length


def test_another_collections_or_number_of_segment_is_refused(tmp_path):
    store = logs.new_store(tmp_path)
    write(store)
    with pytest.raises(CorruptionError, match="another place"):
        read_wal(store, "c", 1, collection_id="d" * 32)
    logs.file_of(store).rename(logs.file_of(store, 2))
    with pytest.raises(CorruptionError, match="another place"):
        logs.read(store, 2)


def test_a_newer_format_is_named(tmp_path):
    store = logs.new_store(tmp_path)
    header = SegmentHeader("a" * 32, logs.COLLECTION_ID, 1, 1, None, version=9)
    logs.file_of(store).write_bytes(header.to_bytes() + b"whatever")
    with pytest.raises(NewerVersionError, match="log format 9 is newer than 2"):
        logs.read(store)


@settings(max_examples=30)
@given(st.lists(logs.batches, max_size=6), st.booleans())
def test_round_trip(tmp_path_factory, batches, seal):
    store = logs.new_store(tmp_path_factory.mktemp("wal"))
    writer = logs.new_writer(store, first_lsn=7)
    for batch in batches:
        writer.append(batch)
    writer.seal() if seal else writer.close()
    contents = logs.read(store)
    assert [batch.operations for batch in contents.batches] == batches
    assert [batch.lsn for batch in contents.batches] == list(range(7, 7 + len(batches)))
    assert contents.sealed == seal
    assert contents.end == writer.end


@settings(max_examples=200)
@given(st.data())
def test_any_bytes_after_the_header_are_read_or_refused(tmp_path_factory, data):
    store = logs.new_store(tmp_path_factory.mktemp("wal"))
    write(store, batches=2)
    file = logs.file_of(store)
    good = bytearray(file.read_bytes())
    start = data.draw(st.integers(0, len(good)))
    patch = data.draw(st.binary(max_size=64))
    file.write_bytes(bytes(good[:start]) + patch + bytes(good[start + len(patch) :]))
    with suppress(CorruptionError, NewerVersionError):
        check_prefix(logs.read(store))


def test_a_refused_batch_leaves_the_log_as_it_was(tmp_path):
    store = logs.new_store(tmp_path)
    writer = logs.new_writer(store)
    before = writer.size
    with pytest.raises(InvalidArgumentError):
        writer.append([])
    assert (writer.size, writer.next_lsn) == (before, 1)
    writer.append(logs.batch(1))
    writer.seal()
    writer.seal()
    with pytest.raises(ClosedError):
        writer.append(logs.batch(2))
    assert len(logs.read(store).batches) == 1
