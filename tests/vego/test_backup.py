"""Backups hold what was acknowledged, restore to it, and are refused when anything of them is damaged."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lance_fmt
import vego
from lance_fmt import Column
from tests.support import faults
from tests.support.backups import backed_up_fixture, copied, fill  # noqa: F401
from tests.support.contents import Content, content_at, content_of, damage, files_below
from vego import names
from vego.backup import taking
from vego.backup.record import load_record
from vego.cli import main
from vego.store import LocalStore
from vego.wal import Log, read_log

# -- there and back --------------------------------------------------------------------------------


def test_a_backup_restores_to_the_same_database(tmp_path: Path) -> None:
    content = fill(tmp_path / "db")
    before = files_below(tmp_path / "db")
    with vego.open(tmp_path / "db", read_only=True) as db:
        told: list[tuple[int, int]] = []
        report = db.backup(tmp_path / "backup", progress=lambda done, total: told.append((done, total)))
        assert content_of(db) == content
    assert files_below(tmp_path / "db") == before
    assert told[-1][0] == told[-1][1] > 0
    assert report.collections == {
        "docs": load_record(LocalStore(tmp_path / "backup")).collections["docs"],
        "empty": 1,
    }
    files = files_below(tmp_path / "backup")
    assert report.files == len(files) - 1  # BACKUP
    assert report.bytes == sum(len(data) for name, data in files.items() if name != names.BACKUP)
    assert (report.copied_files, report.linked_files) == (report.files, 0)
    assert content_at(tmp_path / "backup") == content  # a backup is a database that can be read

    restored = vego.restore(tmp_path / "backup", tmp_path / "new" / "db")
    assert (restored.files, restored.bytes, restored.backup_id) == (
        report.files,
        report.bytes,
        report.backup_id,
    )
    with vego.open(tmp_path / "new" / "db", create=False) as db:
        assert content_of(db) == content
        docs = db.collection("docs")
        assert docs.stats()["indexed_slots"] == 40
        docs.insert(id="after", vector=[1, 1, 1, 1])
        docs.flush()
        content = content_of(db)
    assert content_at(tmp_path / "new" / "db") == content
    assert vego.verify(tmp_path / "new" / "db", deep=True).ok


def test_tagged_versions_are_in_a_backup(tmp_path: Path) -> None:
    fill(tmp_path / "db")
    with vego.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        content = content_of(db)["docs"]
        tagged = docs.tag("before")
        docs.delete_batch(list(content)[:20])
        docs.insert_batch(vectors=np.ones((1100, 4)))
        docs.compact(full=True)
        docs.vacuum(2)
        db.backup(tmp_path / "backup")
    assert vego.verify(tmp_path / "backup", deep=True).ok
    vego.restore(tmp_path / "backup", tmp_path / "new")
    with vego.open(tmp_path / "new") as db:
        docs = db.collection("docs")
        assert docs.tags() == {"before": tagged}
        old = docs.at(tag="before")
        assert {key: (old.get(key).vector.tolist(), old.get(key).metadata) for key in content} == content  # type: ignore[union-attr]
        docs.insert(id="one more", vector=[1, 1, 1, 1])
        docs.flush()
        docs.vacuum(2)
        assert docs.at(tag="before").get("k1") is not None
    assert vego.verify(tmp_path / "new", deep=True).ok


def test_a_database_without_collections(tmp_path: Path) -> None:
    with vego.open(tmp_path / "db") as db:
        assert db.backup(tmp_path / "backup").files == 1
    vego.restore(tmp_path / "backup", tmp_path / "new")
    assert content_at(tmp_path / "new") == {}


def test_a_backup_is_not_written_to(
    backed_up: tuple[Path, Content], capsys: pytest.CaptureFixture[str]
) -> None:
    backup, _ = backed_up
    before = files_below(backup)
    with pytest.raises(vego.ReadOnlyError, match="vego restore"):
        vego.open(backup)
    assert main(["repair", str(backup), "--collection", "docs", "--drop-index"]) == 2
    assert "this is a backup" in capsys.readouterr().err
    assert files_below(backup) == before


def test_rows_of_a_handle_that_was_poisoned_are_backed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        docs.insert(id="a", vector=[1, 2])
        with monkeypatch.context() as patch:
            faults.install(patch).fail_always("fdatasync", errno.EIO)
            with pytest.raises(vego.CommitUncertainError):
                docs.insert(id="b", vector=[1, 2])
        with pytest.raises(vego.PoisonedError):
            docs.insert(id="c", vector=[1, 2])
        db.backup(tmp_path / "backup")
    assert "a" in content_at(tmp_path / "backup")["c"]


def test_hard_links_where_they_are_asked_for(tmp_path: Path) -> None:
    content = fill(tmp_path / "db")
    with vego.open(tmp_path / "db") as db:
        report = db.backup(tmp_path / "backup", link=True)
        assert 0 < report.linked_bytes < report.bytes
        assert report.copied_bytes + report.linked_bytes == report.bytes
        docs = db.collection("docs")
        docs.delete_batch(list(content["docs"]))
        docs.flush()
    assert vego.verify(tmp_path / "backup", deep=True).ok
    vego.restore(tmp_path / "backup", tmp_path / "new")
    shutil.rmtree(tmp_path / "db")
    assert content_at(tmp_path / "new") == content == content_at(tmp_path / "backup")
    links = [file.stat().st_nlink for file in (tmp_path / "new").rglob("*") if file.is_file()]
    assert set(links) == {1}  # what is restored shares nothing with the backup


# -- incremental -----------------------------------------------------------------------------------


def test_a_base_saves_copying(tmp_path: Path) -> None:
    fill(tmp_path / "db")
    with vego.open(tmp_path / "db") as db:
        first = db.backup(tmp_path / "1")
        db.collection("docs").insert(id="more", vector=[1, 1, 1, 1])
        content = content_of(db)
        second = db.backup(tmp_path / "2", base=tmp_path / "1")
    assert second.bytes >= first.bytes
    assert second.linked_bytes > 0
    assert second.linked_files == sum(
        1 for name in files_below(tmp_path / "2") if name.endswith((".lfmt", ".del"))
    )
    assert load_record(LocalStore(tmp_path / "2")).base == first.backup_id
    shutil.rmtree(tmp_path / "1")
    assert vego.verify(tmp_path / "2", deep=True).ok
    vego.restore(tmp_path / "2", tmp_path / "new")
    assert content_at(tmp_path / "new") == content


@pytest.mark.parametrize("how", ["truncated", "missing", "end"])
def test_a_damaged_file_of_the_base_is_copied_again(how: str, tmp_path: Path) -> None:
    content = fill(tmp_path / "db")
    with vego.open(tmp_path / "db") as db:
        db.backup(tmp_path / "1")
        for file in (tmp_path / "1" / "collections" / "docs" / "data").iterdir():
            if how == "end":
                file.write_bytes(file.read_bytes()[:-20] + bytes(20))
            else:
                damage(file, how)
        report = db.backup(tmp_path / "2", base=tmp_path / "1")
        assert report.linked_files > 0  # those of the other directories
    vego.restore(tmp_path / "2", tmp_path / "new")
    assert content_at(tmp_path / "new") == content


def test_a_file_of_the_base_that_is_another_is_copied_again(tmp_path: Path) -> None:
    content = fill(tmp_path / "db")
    with vego.open(tmp_path / "db") as db:
        db.backup(tmp_path / "1")
        (mask,) = (tmp_path / "1" / "collections" / "docs" / "deletes").iterdir()
        length = mask.stat().st_size
        with lance_fmt.open(mask) as file:
            rows = file.read()["row"].array + 1
        mask.unlink()
        lance_fmt.write(mask, {"row": Column.from_numpy(rows)})
        assert mask.stat().st_size == length
        db.backup(tmp_path / "2", base=tmp_path / "1")
    vego.restore(tmp_path / "2", tmp_path / "new")
    assert content_at(tmp_path / "new") == content


def test_a_base_must_be_a_backup_of_the_same_database(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / name)
    with vego.open(tmp_path / "a") as a, vego.open(tmp_path / "b") as b:
        a.backup(tmp_path / "backup a")
        with pytest.raises(vego.InvalidArgumentError, match="another database"):
            b.backup(tmp_path / "backup b", base=tmp_path / "backup a")
        with pytest.raises(vego.NotADatabaseError, match="BACKUP"):
            a.backup(tmp_path / "backup b", base=tmp_path / "b")
        assert not (tmp_path / "backup b").exists()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 11), st.integers(1, 4)),
        st.tuples(st.just("many"), st.integers(0, 9), st.integers(1030, 1040)),
        st.tuples(st.just("delete"), st.integers(0, 11), st.integers(1, 6)),
        st.tuples(st.just("flush"), st.just(0), st.just(0)),
        st.tuples(st.just("index"), st.just(0), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
        st.tuples(st.just("other"), st.integers(0, 3), st.just(1)),
        st.tuples(st.just("drop"), st.just(0), st.just(0)),
    ),
    max_size=8,
)


class Played:
    """A database and a model of it, to which the same is done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._serial = 0
        self.model: Content = {}
        self.db = self._open()

    def _open(self) -> vego.Database:
        return vego.open(self._path, dimension=2, metric="l2", m=4, ef_construction=8, index="flat")

    def step(self, what: str, first: int, count: int) -> None:
        """One of STEPS."""
        if what == "reopen":
            self.db.close()
            self.db = self._open()
        elif what == "drop":
            if self.model.pop("b", None) is not None:
                self.db.drop("b")
        else:
            name = "b" if what == "other" else "a"
            docs = self.db.collection(name)
            documents = self.model.setdefault(name, {})
            if what == "flush":
                docs.flush()
            elif what == "index":
                docs.build_index()
            elif what == "delete":
                ids = [f"k{i}" for i in range(first, first + count)]
                docs.delete_batch(ids)
                for key in ids:
                    documents.pop(key, None)
            else:
                self._put(docs, documents, [f"k{i}" for i in range(first, first + count)])

    def _put(self, docs: vego.Collection, documents: dict[str, Any], ids: list[str]) -> None:
        self._serial += 1
        vectors = np.full((len(ids), 2), self._serial, np.float32)
        docs.upsert_batch(ids=ids, vectors=vectors, metadata={"n": [self._serial] * len(ids)})
        documents.update((key, ([float(self._serial)] * 2, {"n": self._serial})) for key in ids)


@settings(max_examples=8, deadline=None)
@given(chain=st.lists(STEPS, min_size=3, max_size=3), by_reader=st.booleans())
def test_chains_of_backups_restore_to_what_was_there(
    chain: list[list[tuple[str, int, int]]], by_reader: bool
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        played = Played(root / "db")
        models: list[Content] = []
        for number, steps in enumerate(chain):
            for step in steps:
                played.step(*step)
            models.append({name: dict(documents) for name, documents in played.model.items()})
            base = None if number == 0 else root / f"backup {number - 1}"
            if by_reader:
                with vego.open(root / "db", read_only=True) as reader:
                    reader.backup(root / f"backup {number}", base=base)
            else:
                played.db.backup(root / f"backup {number}", base=base)
        played.db.close()
        shutil.rmtree(root / "db")
        for number, model in enumerate(models):
            report = vego.verify(root / f"backup {number}", deep=True)
            assert report.ok, report.findings
            assert report.leftovers == ()
            vego.restore(root / f"backup {number}", root / "new")
            assert content_at(root / "new") == model
            shutil.rmtree(root / f"backup {number}")  # later ones must not need it
            shutil.rmtree(root / "new")


# -- while others write ----------------------------------------------------------------------------


@pytest.mark.parametrize("by_reader", [False, True])
def test_backups_while_two_threads_write(by_reader: bool, tmp_path: Path) -> None:
    """Every write is a pair of documents; they come in order, so a moment is a number of pairs for each thread."""
    done = [0, 0]
    stop = threading.Event()
    errors: list[BaseException] = []
    with vego.open(tmp_path / "db", dimension=2, metric="l2", flush_bytes=4_000, index="flat") as db:
        names_of = ["a", "b"]
        for name in names_of:
            db.collection(name)

        def write(thread: int) -> None:
            docs = db.collection(names_of[thread])
            try:
                while not stop.is_set():
                    pair = done[thread]
                    docs.insert_batch(
                        ids=[f"{pair} left", f"{pair} right"], vectors=np.full((2, 2), pair, np.float32)
                    )
                    done[thread] = pair + 1
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=write, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        try:
            moments = []
            for number in range(4):
                least = list(done)
                base = None if number == 0 else tmp_path / str(number - 1)
                if by_reader:
                    with vego.open(tmp_path / "db", read_only=True) as reader:
                        reader.backup(tmp_path / str(number), base=base)
                else:
                    db.backup(tmp_path / str(number), base=base)
                moments.append((least, list(done)))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert not errors
    assert moments[-1][0] > moments[0][0]
    for number, (least, most) in enumerate(moments):
        content = content_at(tmp_path / str(number))
        assert vego.verify(tmp_path / str(number), deep=True).ok
        for thread, name in enumerate(names_of):
            pairs = len(content[name]) // 2
            assert content[name].keys() == {f"{i} {side}" for i in range(pairs) for side in ("left", "right")}
            assert least[thread] <= pairs <= most[thread] + 1


def test_a_moment_is_taken_while_nobody_in_this_process_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = taking.log_of  # type: ignore[attr-defined]
    threads: list[threading.Thread] = []
    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        docs.insert(id="before", vector=[1, 2])

        def read(*arguments: Any, **options: Any) -> Log:
            found: Log = right(*arguments, **options)
            threads.append(threading.Thread(target=lambda: docs.insert(id="after", vector=[1, 2])))
            threads[0].start()
            threads[0].join(0.3)
            assert threads[0].is_alive()
            return found

        monkeypatch.setattr(taking, "log_of", read)
        db.backup(tmp_path / "backup")
        threads[0].join()
        assert "after" in docs
    assert content_at(tmp_path / "backup")["c"].keys() == {"before"}


def test_a_log_that_is_carried_over_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    """A reader must not take it for an empty log: rows would be missing from its backup."""
    with vego.open(tmp_path / "db", dimension=2) as db:
        db.collection("c").insert(id="a", vector=[1, 2])

    class Overtaken(LocalStore):
        overtaken = False

        def list(self, path: str) -> list[str]:
            found = super().list(path)
            if path.endswith("/wal") and not self.overtaken:
                self.overtaken = True
                vego.open(tmp_path / "db").collection("c")
            return found

    store = Overtaken(tmp_path / "db", read_only=True)
    with vego.open(tmp_path / "db", read_only=True) as reader:
        collection_id = reader.collection("c")._rows.rows.manifest.collection_id  # type: ignore[union-attr]
    log = read_log(store, "c", collection_id=collection_id, first=1, flushed_lsn=0)
    assert store.overtaken
    assert [operation.id for batch in log.batches for operation in batch.operations] == ["a"]


# -- command line ----------------------------------------------------------------------------------


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = fill(tmp_path / "db")
    paths = {name: str(tmp_path / name) for name in ("db", "1", "2", "new")}
    assert main(["backup", paths["db"], paths["1"]]) == 0
    assert "2 collections" in capsys.readouterr().out
    with vego.open(tmp_path / "db"):  # another process has it open
        assert main(["backup", paths["db"], paths["2"], "--base", paths["1"], "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["linked_files"] > 0
    assert main(["restore", paths["2"], paths["new"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backup_id"] == report["backup_id"]
    assert content_at(tmp_path / "new") == content
    assert main(["restore", paths["2"], paths["new"]]) == 2
    assert "empty directory" in capsys.readouterr().err
    assert main(["backup", str(tmp_path / "nothing"), str(tmp_path / "3")]) == 2
    assert not (tmp_path / "3").exists()
