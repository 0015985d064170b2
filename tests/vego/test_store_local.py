"""What every Store promises, on the local file system."""

from __future__ import annotations

import errno
import os
import stat
import threading

import numpy as np
import pytest

from vego.errors import (
    ClosedError,
    CorruptionError,
    InvalidArgumentError,
    NotFoundError,
    ReadOnlyError,
    StorageError,
)
from vego.store import LocalStore, ReadAt, Store


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path / "db")
    store.make_dirs("")
    return store


def put(store: Store, path: str, data: bytes) -> None:
    with store.create(path) as file:
        file.write(data)
        file.commit()


def test_it_is_a_store(store):
    as_store: Store = store
    assert as_store.name == str(store.root)
    assert as_store.poisoned is None
    assert not as_store.read_only


def test_create_and_read(store):
    with store.create("f") as file:
        for _ in range(3):
            assert file.write(b"abc") == 3
        big = os.urandom(600_000)
        assert file.write(memoryview(big)) == len(big)
        file.write(b"end")
        assert file.tell() == 12 + len(big)
        file.commit()
    assert store.read("f") == b"abcabcabc" + big + b"end"
    assert store.size("f") == 12 + len(big)
    assert stat.S_IMODE((store.root / "f").stat().st_mode) == 0o600
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


def test_what_is_not_committed_is_not_there(store):
    with store.create("f") as file:
        file.write(b"abc")
    assert not store.exists("f")
    with pytest.raises(RuntimeError, match="mine"), store.create("f"):
        raise RuntimeError("mine")
    assert store.list("") == []


def test_create_is_exclusive(store):
    put(store, "f", b"1")
    with pytest.raises(FileExistsError):
        store.create("f")
    with pytest.raises(FileExistsError):
        store.append_file("f")
    with pytest.raises(FileExistsError):
        store.put_if_absent("f", b"2")
    assert store.read("f") == b"1"
    assert store.list("") == ["f"]


def test_a_finished_file_takes_no_more(store):
    with store.create("f") as file:
        file.commit()
        with pytest.raises(ClosedError):
            file.write(b"x")
        with pytest.raises(ClosedError):
            file.commit()


def test_put_if_absent(store):
    store.make_dirs("m")
    store.put_if_absent("m/1", b"one")
    assert store.read("m/1") == b"one"
    assert store.list("m") == ["1"]
    with pytest.raises(NotFoundError):
        store.put_if_absent("nowhere/1", b"one")
    assert store.poisoned is None


def test_reader(store):
    data = bytes(range(256)) * 4
    put(store, "f", data)
    reader: ReadAt = store.open_reader("f")
    assert reader.size() == len(data)
    assert reader.name.endswith("/f")
    assert reader.read_at(10, 20) == data[10:30]
    assert reader.read_at(len(data), 0) == b""
    buffer = np.empty(100, np.uint8)
    assert reader.read_into(7, buffer) == 100
    assert buffer.tobytes() == data[7:107]
    for offset, length in [(-1, 2), (0, -1), (0, len(data) + 1), (len(data), 1)]:
        with pytest.raises(CorruptionError):
            reader.read_at(offset, length)
    reader.close()
    with pytest.raises(ClosedError):
        reader.read_at(0, 1)


def test_a_file_cut_under_a_reader_is_noticed(store):
    put(store, "f", b"x" * 100)
    reader = store.open_reader("f")
    os.truncate(store.root / "f", 50)
    with pytest.raises(CorruptionError, match="cut while open"):
        reader.read_at(0, 100)
    with pytest.raises(CorruptionError, match="cut while open"):
        reader.read_into(60, np.empty(10, np.uint8))


def test_closing_under_readers_never_reads_another_file(store):
    put(store, "a", b"a" * 4096)
    put(store, "b", b"b" * 4096)
    wrong = []
    for _ in range(50):
        reader = store.open_reader("a")

        def read(reader=reader):
            try:
                while True:
                    if reader.read_at(0, 4096) != b"a" * 4096:
                        wrong.append(1)
            except ClosedError:
                pass

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        reader.close()
        others = [store.open_reader("b") for _ in range(3)]
        for thread in threads:
            thread.join()
        del others
    assert not wrong


def test_append_file(store):
    log = store.append_file("log")
    assert log.append(b"abc") == 0
    assert log.append(memoryview(b"defg")) == 3
    log.sync()
    assert log.size == 7
    log.truncate(5)
    assert log.append(b"!") == 5
    with pytest.raises(StorageError):
        log.truncate(100)
    log.close()
    log.close()
    assert store.read("log") == b"abcde!"
    with pytest.raises(ClosedError):
        log.append(b"x")
    with pytest.raises(ClosedError):
        log.sync()


def test_directories(store):
    store.make_dirs("a/b/c", "a/d")
    store.make_dirs("a/b/c")
    assert store.list("a") == ["b", "d"]
    put(store, "a/b/c/f", b"")
    with pytest.raises(FileExistsError):
        store.make_dirs("a/b/c/f")
    with pytest.raises(FileExistsError):
        store.make_dirs("a/b/c/f/g")
    (store.root / "a/b/link").symlink_to("/")
    store.remove_tree("a")
    store.remove_tree("a")
    assert store.list("") == []


def test_the_root_is_made_with_its_parents(tmp_path):
    store = LocalStore(tmp_path / "x" / "y" / "db")
    assert not store.exists("")
    store.make_dirs("")
    assert store.list("") == []


def test_delete_and_rename(store):
    put(store, "f", b"1")
    put(store, "g", b"2")
    with pytest.raises(FileExistsError):
        store.rename("f", "g")
    store.rename("f", "h")
    assert store.list("") == ["g", "h"]
    store.make_dirs("d", "e")
    with pytest.raises(FileExistsError):
        store.rename("d", "e")
    store.rename("d", "x")
    assert store.list("") == ["e", "g", "h", "x"]
    store.delete("g")
    store.delete("g")
    assert not store.exists("g")
    with pytest.raises(NotFoundError):
        store.rename("g", "z")


def test_missing(store):
    for call in (store.read, store.open_reader, store.list, store.size):
        with pytest.raises(NotFoundError, match="nothing"):
            call("nothing")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\0b"])
def test_paths_stay_below_the_root(store, path):
    for call in (store.read, store.create, store.delete, store.exists, store.make_dirs):
        with pytest.raises(InvalidArgumentError):
            call(path)


def test_links_and_pipes_are_not_followed(store, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (store.root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(StorageError, match="symbolic link"):
        store.read("link")
    with pytest.raises(FileExistsError):
        store.create("link")
    os.mkfifo(store.root / "pipe")
    with pytest.raises(StorageError):
        store.read("pipe")
    store.make_dirs("dir")
    with pytest.raises(StorageError, match="directory"):
        store.read("dir")


def test_read_only(store):
    put(store, "f", b"1")
    reader = LocalStore(store.root, read_only=True)
    assert reader.read("f") == b"1"
    writes = [
        lambda: reader.create("g"),
        lambda: reader.append_file("g"),
        lambda: reader.put_if_absent("g", b""),
        lambda: reader.sync_dir(""),
        lambda: reader.delete("f"),
        lambda: reader.rename("f", "g"),
        lambda: reader.make_dirs("d"),
        lambda: reader.remove_tree("d"),
        lambda: reader.lock("LOCK"),
    ]
    for write in writes:
        with pytest.raises(ReadOnlyError, match="read_only=False"):
            write()
    assert store.list("") == ["f"]


def test_closed(store):
    put(store, "f", b"1")
    reader = store.open_reader("f")
    log = store.append_file("log")
    store.close()
    for call in (lambda: store.read("f"), lambda: reader.read_at(0, 1), lambda: log.append(b""), log.sync):
        with pytest.raises(ClosedError):
            call()
    log.close()


def test_clock_and_ids(store):
    assert store.now_us() > 1_600_000_000_000_000
    assert store.monotonic() <= store.monotonic()
    assert len({store.new_id() for _ in range(100)}) == 100
    assert len(store.new_id()) == 32


def test_a_small_disk_quota_is_a_storage_error(store):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = store.append_file("log")
    log.append(b"x" * 1000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match="EFBIG"):
            log.append(b"y" * 8192)  # half of it is written before the system refuses
        assert log.size == 1000
        assert store.size("log") == 1000
        log.append(b"z" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.sync()
    assert store.read("log") == b"x" * 1000 + b"z" * 1000
    assert store.poisoned is None


def test_error_numbers_become_errors():
    from vego.store.failures import storage_error

    assert isinstance(storage_error(OSError(errno.ENOENT, ""), "read", "p", writing=False), NotFoundError)
    assert isinstance(storage_error(OSError(errno.EEXIST, ""), "make", "p", writing=True), FileExistsError)
    assert isinstance(storage_error(OSError(errno.EROFS, ""), "write", "p", writing=True), ReadOnlyError)
    denied = storage_error(OSError(errno.EACCES, ""), "read", "p", writing=False)
    assert type(denied) is StorageError
    for number in errno.errorcode:
        error = storage_error(OSError(number, ""), "write", "/some/file", writing=True)
        assert "/some/file" in str(error)
        if isinstance(error, StorageError):
            assert "cannot write" in str(error)
            assert ";" in str(error)
