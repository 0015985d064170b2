"""`vego.verify` finds whatever is wrong, nothing else, and what it says helps."""

from __future__ import annotations

import errno
import json
import re
import shlex
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lance_fmt
import vego
from lance_fmt import Column
from tests.support import faults
from tests.support.contents import content_at, damage, files_below
from vego import names
from vego.cli import main
from vego.index.hnsw import HnswIndex
from vego.store import LocalStore
from vego.table.batch import RowBatch
from vego.table.commit import AddSegment, SetDeletes, SetIndex, commit
from vego.table.manifest import DeletesEntry, IndexEntry, Manifest, SegmentEntry, load_latest, load_version
from vego.table.segment import write_deletes, write_segment
from vego.verification import opened
from vego.wal import Put, WalWriter, log, read_log

DAMAGES = ("flipped", "truncated", "missing")


def fill(path: Path) -> None:
    """A database with several versions, row masks, a graph, and a log that its writer did not seal."""
    rng = np.random.default_rng(3)
    with vego.open(path, dimension=4) as db:
        docs = db.collection("docs", index="hnsw", m=4, ef_construction=8)
        docs.insert_batch(
            ids=[f"k{i}" for i in range(60)],
            vectors=rng.standard_normal((60, 4)),
            metadata={"n": list(range(60)), "any": [i if i % 2 else str(i) for i in range(60)]},
        )
        docs.flush()
        docs.delete_batch(["k3", "k4"])
        docs.upsert(id="k5", vector=[1, 2, 3, 4])
        docs.build_index()
        docs.delete("k7")
        docs.flush()
        docs.insert(id="logged", vector=[4, 3, 2, 1])
        docs.delete("k6")
        docs.insert(id="also logged", vector=[4, 3, 2, 1])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database, not to be changed, beside a backup of it."""
    root = tmp_path_factory.mktemp("sound")
    fill(root / "db")
    with vego.open(root / "db", read_only=True) as db:
        db.backup(root / "backup")
    return root / "db"


@pytest.fixture
def database(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(sound, tmp_path / "db")
    return tmp_path / "db"


def newest_of(path: Path) -> Manifest:
    manifest = load_latest(LocalStore(path, read_only=True), "docs")
    assert manifest is not None
    return manifest


# -- all is well -----------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_database(deep: bool, sound: Path) -> None:
    before = files_below(sound)
    report = vego.verify(sound, deep=deep)
    assert report.ok, report.findings
    assert report.leftovers == ()
    assert (report.path, report.deep, report.is_backup) == (str(sound), deep, False)
    (docs,) = report.collections
    assert docs.documents == len(content_at(sound)["docs"]) == 58
    assert docs.dead_rows == 61 - 57
    assert (docs.segments, docs.log_batches, docs.torn_bytes, docs.indexed_rows) == (2, 3, 0, 61)
    assert docs.versions[-1] == newest_of(sound).version
    assert docs.recall is None if not deep else docs.recall > 0.9
    assert files_below(sound) == before
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip", "l1", "hamming"])
def test_a_larger_graph_agrees_with_its_rows(metric: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((3000, 24)) * 7 + 3
    with vego.open(tmp_path / "db", dimension=24, metric=metric) as db:
        docs = db.collection("docs")
        docs.insert_batch(vectors=rows > 3 if metric == "hamming" else rows)
        docs.delete_batch(docs.to_table(["id"])["id"].to_pylist()[:500])
    told: list[tuple[int, int]] = []
    report = vego.verify(tmp_path / "db", deep=True, progress=lambda done, total: told.append((done, total)))
    assert report.ok, report.findings
    assert report.collections[0].indexed_rows == 3000
    assert report.collections[0].recall > 0.8  # type: ignore[operator]
    assert told[-1][0] == told[-1][1] == report.bytes


def test_databases_that_are_hardly_there(tmp_path: Path) -> None:
    vego.open(tmp_path / "db").close()
    assert vego.verify(tmp_path / "db", deep=True).collections == ()
    with vego.open(tmp_path / "db", dimension=2) as db:
        db.collection("docs")
    report = vego.verify(tmp_path / "db", deep=True)
    assert (report.ok, report.collections[0].documents) == (True, 0)
    for other in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(vego.NotADatabaseError):
            vego.verify(other)


def test_a_torn_tail_is_no_damage(database: Path) -> None:
    log = max((database / "collections/docs/wal").glob("*.wal"))
    log.write_bytes(log.read_bytes()[:-50])  # the seal, and the end of the last batch
    report = vego.verify(database, deep=True)
    assert report.ok
    assert report.collections[0].log_batches == 2
    assert report.collections[0].torn_bytes > 0
    assert report.collections[0].documents == len(content_at(database)["docs"])


def test_leftovers_are_told_and_no_damage(database: Path) -> None:
    strange = [
        "notes.txt",
        "collections/docs/notes.txt",
        f"collections/docs/data/{'a' * 32}.lfmt",
        f"collections/docs/index/.tmp-{'a' * 32}",
        f"collections/.dropped-{'b' * 32}",
        f"collections/docs/wal/{0:020}.wal",
    ]
    for path in strange:
        (database / path).write_bytes(b"x")
    report = vego.verify(database)
    assert report.ok
    assert report.leftovers == tuple(sorted(strange))


def test_while_another_writes(tmp_path: Path) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []
    with vego.open(tmp_path / "db", dimension=2, flush_bytes=3_000, index="flat") as db:
        docs = db.collection("docs", retain_versions=2)

        def write() -> None:
            try:
                for number in range(100_000):
                    if stop.is_set():
                        return
                    docs.upsert_batch(ids=["same", f"k{number % 50}"], vectors=[[number, 1]] * 2)
            except BaseException as error:
                errors.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            versions = set()
            for number in range(2000):
                report = vego.verify(tmp_path / "db", deep=number % 4 == 0)
                assert report.ok, report.findings
                versions.add(report.collections[0].versions[-1])
                if number > 30 and len(versions) > 5:
                    break
        finally:
            stop.set()
            writer.join()
    assert not errors
    assert len(versions) > 5


def test_versions_that_are_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = opened
    right = module.named_files
    removed: list[int] = []
    with vego.open(tmp_path / "db", dimension=2, index="flat") as db:
        docs = db.collection("docs")
        for number in range(5):
            docs.upsert(id="a", vector=[number, 1])
            docs.flush()

        def overtaken(*arguments: Any) -> Any:
            if not removed:
                docs.compact(full=True)
                removed.append(docs.vacuum(2).files)
            return right(*arguments)

        monkeypatch.setattr(module, "named_files", overtaken)
        report = vego.verify(tmp_path / "db")
        assert removed[0] > 0
        assert report.ok, report.findings
        assert len(report.collections[0].versions) == 2


def test_a_log_that_is_carried_over_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process opens the database: the log moves to other files, and no version is made."""
    for key in ("a", "b"):
        with vego.open(tmp_path / "db", dimension=2) as db:
            db.collection("docs").insert(id=key, vector=[1, 2])
    module: Any = log
    right = module.read_wal
    overtaken: list[int] = []

    def read(store: LocalStore, collection: str, number: int, **options: Any) -> Any:
        found = right(store, collection, number, **options)
        if not overtaken and store.read_only:
            overtaken.append(number)
            with vego.open(tmp_path / "db") as db:
                db.collection("docs").insert(id="c", vector=[1, 2])
        return found

    monkeypatch.setattr(module, "read_wal", read)
    report = vego.verify(tmp_path / "db")
    assert overtaken
    assert report.ok, report.findings
    assert report.collections[0].documents == 3


def test_too_many_open_files_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "db")
    with monkeypatch.context() as patch:
        faulty = faults.install(patch)
        vego.verify(tmp_path / "db")
        calls = len(faulty.calls)
    refused = 0
    for number in range(calls):
        with monkeypatch.context() as patch:
            faulty = faults.install(patch)
            faulty.fail_at(number, errno.EMFILE)
            try:
                report = vego.verify(tmp_path / "db")
            except vego.StorageError as error:
                assert "too many open files" in str(error)
                refused += 1
            else:
                assert report.ok, report.findings
    assert refused > 5


# -- damage ----------------------------------------------------------------------------------------

PLACES = ("VEGO", "manifests/*", "data/*", "deletes/*", "index/*", "wal/*")


def files_of_kind(path: Path, place: str) -> list[Path]:
    return [path / place] if place == "VEGO" else sorted((path / "collections" / "docs").glob(place))


def commands_of(way_out: str, backup: Path, new: Path) -> list[list[str]]:
    """The commands that a way out names, with the user's words filled in."""
    found = [shlex.split(command)[1:] for command in re.findall(r"`(vego [^`]+)`", way_out)]
    words = {"BACKUP": str(backup), "NEW_DIR": str(new), "NEW.lfmt": f"{new}.lfmt"}
    return [[words.get(word, word) for word in command] for command in found]


def repaired(path: Path, sound: Path) -> None:
    """After a first repair, what is still found is repaired as told; then all is well, and it can be written to."""
    for _ in range(3):
        findings = vego.verify(path, deep=True).findings
        if findings:
            assert main(commands_of(findings[0].way_out, path, path)[0]) == 0
    assert vego.verify(path, deep=True).ok
    ever = content_at(sound)["docs"].keys() | {"k3", "k4", "k6", "k7"}
    assert content_at(path)["docs"].keys() <= ever
    with vego.open(path) as db:
        db.collection("docs").insert(id="new", vector=[1, 1, 1, 1])
    assert vego.verify(path, deep=True).ok


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("place", PLACES)
def test_damage_is_found_and_every_way_out_works(
    place: str, how: str, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = 0
    for number, original in enumerate(files_of_kind(sound, place)):
        path = original.relative_to(sound)
        database = shutil.copytree(sound, tmp_path / str(number))
        damage(database / path, how)
        if (how, place) == ("missing", "VEGO"):
            with pytest.raises(vego.NotADatabaseError, match="--marker") as caught:
                vego.verify(database)
            assert main(commands_of(str(caught.value), tmp_path, tmp_path)[0]) == 0
            assert vego.verify(database).ok
            return
        report = vego.verify(database, deep=True)
        if (how, place) in (
            ("truncated", "wal/*"),
            ("missing", "wal/*"),
            ("missing", "manifests/*"),
        ) and report.ok:
            # A log without its seal, none at all, and an earlier version: nothing tells them from what is legal.
            continue
        assert not report.ok
        assert str(database / path) in {finding.path for finding in report.findings}
        assert main(["verify", str(database), "--deep"]) == 1
        assert str(path) in capsys.readouterr().out
        for finding in report.findings:
            for step, command in enumerate(
                commands_of(finding.way_out, sound.parent / "backup", tmp_path / f"new {number}")
            ):
                tried += 1
                one = Path(shutil.copytree(database, tmp_path / f"{number} {step}"))
                done = [word.replace(str(database), str(one)) for word in command]
                assert main(done) == 0, (finding, capsys.readouterr().err)
                if command[0] == "repair":
                    repaired(one, sound)
                shutil.rmtree(one)
                shutil.rmtree(tmp_path / f"new {number}", ignore_errors=True)
                (tmp_path / f"new {number}.lfmt").unlink(missing_ok=True)
    assert tried or how != "flipped"


def test_every_flipped_byte_of_the_small_files_is_found(sound: Path, tmp_path: Path) -> None:
    database = shutil.copytree(sound, tmp_path / "db")
    newest = newest_of(sound)
    entry = next(entry for entry in newest.segments if entry.deletes is not None)
    assert entry.deletes is not None
    for path in (
        names.MARKER,
        names.manifest_path("docs", newest.version),
        names.manifest_path("docs", newest.version - 1),
        names.deletes_path("docs", entry.deletes.file),
    ):
        data = (database / path).read_bytes()
        for position in range(0, len(data), 5):
            (database / path).write_bytes(
                data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :]
            )
            try:
                found = vego.verify(database, deep=path.endswith(".del")).findings
            except vego.NewerVersionError:
                continue
            assert str(database / path) in {finding.path for finding in found}, (path, position)
        (database / path).write_bytes(data)
    assert vego.verify(database, deep=True).ok


def test_without_deep_the_ends_of_files_are_looked_at(database: Path) -> None:
    path = names.data_path("docs", newest_of(database).segments[0].file)
    with lance_fmt.open(database / path) as file:
        offset = file.column("n").pages[0].blocks[0][0]
    data = bytearray((database / path).read_bytes())
    data[offset + 3] ^= 1
    (database / path).write_bytes(data)
    assert vego.verify(database).ok
    (finding,) = vego.verify(database, deep=True).findings
    assert (finding.path, finding.offset) == (str(database / path), offset)
    assert "column 'n'" in finding.what


def test_files_that_changed_places(database: Path) -> None:
    newest = newest_of(database)
    one, other = (database / names.data_path("docs", entry.file) for entry in newest.segments[:2])
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    found = {finding.path: finding.what for finding in vego.verify(database).findings}
    assert found.keys() == {str(one), str(other)}
    assert "not the file the manifest names" in found[str(one)]


def test_a_log_is_cut_before_its_damage(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = max((database / "collections/docs/wal").glob("*.wal"))
    data = bytearray(log.read_bytes())
    second = data.index(b"VBAT", data.index(b"VBAT") + 1)
    data[second + 40] ^= 1
    log.write_bytes(data)
    assert main(["repair", str(database), "--collection", "docs", "--cut-log", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["kept"], done["moved"]) == (1, [f"collections/docs/set-aside/1/{log.name}"])
    kept = content_at(database)["docs"].keys()
    assert "logged" in kept
    assert "also logged" not in kept
    assert "k6" in kept
    assert vego.verify(database, deep=True).ok
    assert main(["repair", str(database), "--collection", "docs", "--cut-log"]) == 0
    assert "nothing was done" in capsys.readouterr().out
    assert content_at(database)["docs"].keys() == kept


def test_a_log_of_two_segments_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ab", "cd"):
        with vego.open(tmp_path / "db", dimension=2) as db:
            for key in name:
                db.collection("docs").insert(id=key, vector=[1, 2])
    first, last = sorted((tmp_path / "db/collections/docs/wal").glob("*.wal"))
    data = bytearray(first.read_bytes())
    data[data.index(b"VBAT", data.index(b"VBAT") + 1) + 40] ^= 1
    first.write_bytes(data)
    (finding,) = vego.verify(tmp_path / "db").findings
    (command, *_) = commands_of(finding.way_out, tmp_path, tmp_path)
    assert main([*command, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["kept"], done["lost"], len(done["moved"])) == (1, 2, 2)
    assert last.name in done["moved"][1]
    assert content_at(tmp_path / "db")["docs"].keys() == {"a"}
    with vego.open(tmp_path / "db") as db:
        db.collection("docs").insert(id="e", vector=[1, 2])
    assert content_at(tmp_path / "db")["docs"].keys() == {"a", "e"}


def test_a_manifest_of_another_past(database: Path) -> None:
    store = LocalStore(database, read_only=True)
    version = newest_of(database).version - 1
    other = replace(load_version(store, "docs", version), summary="something else")
    (database / names.manifest_path("docs", version)).write_bytes(other.to_bytes())
    (finding,) = vego.verify(database).findings
    assert "was made from another version" in finding.what
    assert main(commands_of(finding.way_out, database, database)[0]) == 0
    assert vego.verify(database, deep=True).ok


# -- files that are whole, but contradict each other -----------------------------------------------


def committed(path: Path, *actions: object) -> None:
    store = LocalStore(path)
    manifest = load_latest(store, "docs")
    assert manifest is not None
    commit(store, "docs", manifest, actions)  # type: ignore[arg-type]
    store.close()


def what_is_wrong(path: Path) -> str:
    (finding,) = vego.verify(path, deep=True).findings
    assert "`vego " in finding.way_out
    return finding.what


def test_an_id_in_two_rows(database: Path) -> None:
    store = LocalStore(database)
    entry = write_segment(store, "docs", RowBatch(["k9", "new"], np.ones((2, 4), np.float32), rows=[{}, {}]))
    committed(database, AddSegment(entry))
    assert "1 ids are live in two rows: 'k9'" in what_is_wrong(database)


def test_a_vector_that_is_not_finite(database: Path) -> None:
    vectors = np.array([[1, np.nan, 0, 0]], np.float32)
    entry = write_segment(LocalStore(database), "docs", RowBatch(["new"], vectors, rows=[{}]))
    committed(database, AddSegment(entry))
    assert "not finite" in what_is_wrong(database)


def test_a_segment_without_its_columns(database: Path) -> None:
    store = LocalStore(database)
    name = names.segment_file(store.new_id())
    with store.create(names.data_path("docs", name)) as file:
        summary = lance_fmt.write(
            file, {"$id": ["a"], "$vector": Column.from_numpy(np.ones((1, 5), np.float32))}
        )
        file.commit()
    entry = SegmentEntry(file=name, rows=1, length=summary.length, crc=summary.footer_crc)
    committed(database, AddSegment(entry))
    assert "vector<float32, 4>" in what_is_wrong(database)


@pytest.mark.parametrize("rows", [[60], [59, 59], [2]])
def test_a_row_mask_that_makes_no_sense(rows: list[int], database: Path) -> None:
    store = LocalStore(database)
    newest = newest_of(database)
    first = newest.segments[0]
    count = first.deletes.count if first.deletes is not None else 0
    many = [*range(10, 10 + count), *rows]
    entry = write_deletes(store, "docs", np.array(many))
    committed(database, SetDeletes(first.file, entry))
    assert "rising row numbers below 60" in what_is_wrong(database)


def test_a_row_mask_with_another_count(database: Path) -> None:
    first = newest_of(database).segments[0]
    entry = write_deletes(LocalStore(database), "docs", np.arange(20))
    wrong = DeletesEntry(file=entry.file, count=21, length=entry.length, crc=entry.crc)
    committed(database, SetDeletes(first.file, wrong))
    assert "not the file the manifest names" in what_is_wrong(database)


def with_graph(database: Path, column: str, value: int, **metadata: str) -> str:
    """What is wrong where a number of the saved graph is another, all checksums right."""
    store = LocalStore(database)
    newest = newest_of(database)
    assert newest.index is not None
    with lance_fmt.open(database / names.index_path("docs", newest.index.file)) as file:
        columns = {name: file.read()[name] for name in file.schema.names}
        facts = dict(file.metadata) | metadata
    if column:
        array = np.array(columns[column].array)
        array[(5, 0)[: array.ndim]] = value
        columns[column] = Column.from_numpy(array)
    name = names.index_file(store.new_id())
    with store.create(names.index_path("docs", name)) as new:
        summary = lance_fmt.write(new, columns, metadata=facts)
        new.commit()
    entry = IndexEntry(
        file=name, rows=newest.index.rows, length=summary.length, crc=summary.footer_crc, kind="hnsw"
    )
    committed(database, SetIndex(entry))
    (finding,) = vego.verify(database, deep=True).findings
    assert "--drop-index" in finding.way_out
    return finding.what


def test_a_graph_whose_contents_are_wrong(sound: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(sound, tmp_path / name))

    assert "past the last one" in with_graph(copy("link"), "links", 61)
    assert "of 61 sampled rows are not those of their vectors, first of row 5" in with_graph(
        copy("code"), "codes", 1
    )
    assert "of 61 sampled rows" in with_graph(copy("bias"), "bias", 1)
    assert "entry" in with_graph(copy("entry"), "", 0, entry="61")
    assert "does not belong" in with_graph(copy("metric"), "", 0, metric="l2")


@pytest.mark.parametrize("metric", ["l1", "hamming"])
def test_a_graph_of_other_codes_whose_contents_are_wrong(metric: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(3).standard_normal((60, 24))
    with vego.open(tmp_path / "db", dimension=24, metric=metric) as db:
        docs = db.collection("docs", index="hnsw", m=4, ef_construction=8)
        docs.insert_batch(ids=[str(i) for i in range(60)], vectors=rows > 0 if metric == "hamming" else rows)
        docs.build_index()
    assert vego.verify(tmp_path / "db", deep=True).ok
    for column, value in (("codes", 99), ("bias", 99)):
        copy = Path(shutil.copytree(tmp_path / "db", tmp_path / column))
        assert "1 of 60 sampled rows are not those of their vectors, first of row 5" in with_graph(
            copy, column, value
        )
    copy = Path(shutil.copytree(tmp_path / "db", tmp_path / "version"))
    assert "version 3 expected" in with_graph(copy, "", 0, version="1")


def test_a_graph_of_other_rows(database: Path) -> None:
    newest = newest_of(database)
    index = HnswIndex(newest.metric, 4, 4, 8)
    index.extend(
        np.random.default_rng(9).standard_normal((61, 4)).astype(np.float32), np.ones(61, np.float32), 61
    )
    columns, metadata = index.to_columns()
    store = LocalStore(database)
    name = names.index_file(store.new_id())
    with store.create(names.index_path("docs", name)) as file:
        summary = lance_fmt.write(file, columns, metadata=metadata)
        file.commit()
    entry = IndexEntry(file=name, rows=61, length=summary.length, crc=summary.footer_crc, kind="hnsw")
    committed(database, SetIndex(entry))
    assert "sampled rows are not those of their vectors" in what_is_wrong(database)


def test_a_write_in_the_log_that_cannot_be(database: Path) -> None:
    store = LocalStore(database)
    newest = newest_of(database)
    log = read_log(
        store,
        "docs",
        collection_id=newest.collection_id,
        first=newest.first_wal,
        flushed_lsn=newest.flushed_lsn,
    )
    writer = WalWriter.create(
        store, "docs", collection_id=newest.collection_id, number=log.next_number, first_lsn=log.next_lsn,
        previous=log.segments[-1].end,
    )  # fmt: skip
    writer.append((Put("bad", bytes(8), b"{}"),))
    writer.seal()
    assert "document 'bad': one of the documents 'bad' has an impossible vector" in what_is_wrong(database)


# -- repairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which repair?"),
        (["--drop-index"], "--collection"),
        (["--marker", "--collection", "docs"], "not with --marker"),
        (["--marker", "--collection", "docs", "--drop-index"], "which repair?"),
        (["--collection", "docs", "--set-aside", "999"], "no version 999"),
        (["--collection", "none", "--set-aside", "1"], "no collection 'none'"),
        (["--collection", "none", "--cut-log"], "no collection 'none'"),
    ],
)
def test_repairs_that_cannot_be(
    arguments: list[str], message: str, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_below(database)
    assert main(["repair", str(database), *arguments]) == 2
    assert message in capsys.readouterr().err
    after = files_below(database)
    after.pop("LOCK", None)
    before.pop("LOCK", None)
    assert after == before


def test_the_newest_version_is_not_set_aside(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = newest_of(database).version
    assert main(["repair", str(database), "--collection", "docs", "--set-aside", str(newest)]) == 2
    assert "--to-version" in capsys.readouterr().err


def test_old_versions_are_set_aside(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = content_at(database)
    versions = vego.verify(database).collections[0].versions
    old = [word for version in versions[:-1] for word in ("--set-aside", str(version))]
    assert main(["repair", str(database), "--collection", "docs", *old, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert len([path for path in done["moved"] if path.endswith(".manifest")]) == len(versions) - 1
    assert content_at(database) == content
    report = vego.verify(database, deep=True)
    assert report.ok
    assert report.collections[0].versions == versions[-1:]


def test_going_back_leaves_older_versions_whole(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = vego.verify(database).collections[0].versions
    assert len(before) > 3
    assert main(["repair", str(database), "--collection", "docs", "--to-version", str(before[-2])]) == 0
    report = vego.verify(database, deep=True)
    assert report.ok, report.findings
    assert report.collections[0].versions == before[:-1]


def test_a_marker_that_is_whole_stays(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (database / names.MARKER).read_bytes()
    assert main(["repair", str(database), "--marker", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["database_id"] in before.decode()
    assert (database / names.MARKER).read_bytes() == before


def test_salvage_keeps_what_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    rows = 30_000
    with vego.open(tmp_path / "db", dimension=4, index="flat") as db:
        docs = db.collection("docs")
        for part in "ab":
            docs.insert_batch(
                ids=[f"{part}{i}" for i in range(rows)],
                vectors=rng.standard_normal((rows, 4)),
                metadata={"n": rng.permutation(rows).tolist(), "text": [f"row {i}" for i in range(rows)]},
            )
        docs.delete_batch([f"a{i}" for i in range(0, rows, 2)])
        docs.upsert(id="b7", vector=[9, 9, 9, 9], metadata={"n": -7})
        docs.insert(id="logged", vector=[1, 1, 1, 1])
        docs.flush()
        before = {key: docs.get(key) for key in ("a1", "a29999", "b7", "b29998", "logged")}
        count = len(docs)
    manifest = newest_of(tmp_path / "db")
    assert len(manifest.segments) == 3
    path = tmp_path / "db" / names.data_path("docs", manifest.segments[0].file)
    with lance_fmt.open(path) as file:
        lost = {name: file.column(name).pages[0].blocks[1] for name in ("$id", "n")}
        first = {name: file.column(name).pages[0].blocks[0][2] for name in lost}
    data = bytearray(path.read_bytes())
    for block in lost.values():
        data[block[0] + 5] ^= 1
    path.write_bytes(data)
    command = ["repair", str(tmp_path / "db"), "--collection", "docs", "--salvage", "--json"]
    findings = vego.verify(tmp_path / "db", deep=True).findings
    assert all("--salvage" in finding.way_out for finding in findings)
    assert main(command) == 0
    done = json.loads(capsys.readouterr().out)
    gone = range(first["$id"], first["$id"] + lost["$id"][2])
    assert done["lost_rows"] == sum(1 for row in gone if row % 2)
    assert done["lost_values"] == [[manifest.segments[0].file, "n"]]
    assert done["lost_masks"] == []
    with vego.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        assert len(docs) == count - done["lost_rows"]
        for key, document in before.items():
            if not (key[0] == "a" and int(key[1:]) in gone):
                found = docs.get(key)
                assert found is not None
                assert document is not None
                assert np.array_equal(found.vector, document.vector)
                assert {**document.metadata, **found.metadata} == document.metadata | (
                    {"n": None} if found.metadata.get("n", 0) is None else {}
                )
        assert docs.get("b7").metadata == {"n": -7}  # type: ignore[union-attr]
        docs.vacuum(2)
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["segments"] == []


def test_salvage_without_a_row_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with vego.open(tmp_path / "db", dimension=2, index="flat") as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=["a", "b", "c"], vectors=np.ones((3, 2)))
        docs.flush()
        docs.upsert(id="a", vector=[5, 5])
        docs.delete("b")
        docs.flush()
    (mask,) = (tmp_path / "db/collections/docs/deletes").iterdir()
    damage(mask, "flipped")
    assert main(["repair", str(tmp_path / "db"), "--collection", "docs", "--salvage"]) == 0
    assert "they are back" in capsys.readouterr().out
    found = content_at(tmp_path / "db")["docs"]
    assert {key: vector for key, (vector, _) in found.items()} == {"a": [5, 5], "b": [1, 1], "c": [1, 1]}


# -- command line ----------------------------------------------------------------------------------


def test_the_command_line(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(sound)]) == 0
    assert "--deep" in capsys.readouterr().out
    assert main(["verify", str(sound), str(sound.parent / "backup"), "--deep"]) == 0
    shown = capsys.readouterr().out
    assert "db: database, every byte is right" in shown
    assert "backup: backup, every byte is right" in shown
    assert "docs: 58 documents, 2 segments, 3 writes in the log, 61 rows in the graph, recall" in shown
    file = sound / names.data_path("docs", newest_of(sound).segments[0].file)
    assert main(["verify", str(sound), str(file), str(tmp_path / "none.lfmt"), "--json"]) == 2
    database, one, none = json.loads(capsys.readouterr().out)
    assert (database["ok"], database["error"], one["rows"]) == (True, None, 60)
    assert none["error"]
    assert main(["verify", str(tmp_path), "--json"]) == 2
    assert "not a Vego database" in json.loads(capsys.readouterr().out)[0]["error"]
