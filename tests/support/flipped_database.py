"""A small database with every kind of file, all that it answers, and what it answers with a bit flipped.

On a simulated disk: a database that was closed, a backup of it, and one whose process died (`UNCLEAN`), so that the
end of its log is no more than what a crash may have torn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import vego
from tests.support.contents import Content, content_at, content_of
from tests.support.simulated_system import SimulatedSystem, Tree
from vego import names
from vego.store import LocalStore
from vego.table.manifest import files_of, load_version, versions

DB, BACKUP, UNCLEAN, RESTORED = "/disk/db", "/disk/backup", "/disk/unclean", "/disk/restored"
REFUSALS = (vego.CorruptionError, vego.NewerVersionError, vego.NotADatabaseError)
REFUSED = "refused"
OPTIONS: dict[str, Any] = {
    "index": "hnsw",
    "m": 4,
    "ef_construction": 8,
    "background": False,
    "retain_versions": 3,
}
VERSIONS = (1, 2, 3, 4, 5, 6)
_GRID = [np.array(point, np.float32) for point in ([0, 0, 0, 0], [3, 1, 2, 0])]

Answers = dict[str, Any]  # by question; REFUSED where it was refused


@dataclass(frozen=True, slots=True)
class Subject:
    """The disk, what a reader is told there, and what each database holds; of UNCLEAN also without its last write."""

    tree: Tree
    answers: dict[str, Answers]
    contents: dict[str, Content]
    last_lost: Answers
    content_without_last: Content

    @property
    def files(self) -> dict[str, int]:
        """Inode of every file but the locks, by path."""
        return {
            path: inode
            for path, inode in self.tree.walk()
            if inode in self.tree.contents and not path.endswith("/LOCK")
        }


@cache
def subject() -> Subject:
    """Always the same one."""
    system = SimulatedSystem(seed="flips")
    with system.installed():
        _write(DB)
        with vego.open(DB, read_only=True) as db:
            db.backup(BACKUP)
        _write(UNCLEAN, unclean=True)
        before_last, content = answers_of(UNCLEAN), content_at(Path(UNCLEAN))
        with vego.open(UNCLEAN, **OPTIONS) as db:
            db.collection("c").insert(id="last", vector=[9, 9, 9, 9], metadata={"n": 99})
            tree = system.tree()
        with SimulatedSystem(tree, "answers").installed():
            places = (DB, BACKUP, UNCLEAN)
            answers = {place: answers_of(place) for place in places}
            contents = {place: content_at(Path(place)) for place in places}
    return Subject(tree, answers, contents, before_last, content)


def _write(path: str, *, unclean: bool = False) -> None:
    """Segments, deletes, a graph, several versions, a tag, and a log with something in it."""
    with vego.open(path, dimension=4, metric="l2", flush_bytes=1 << 20, **OPTIONS) as db:
        docs = db.collection("c")
        for n in range(6):
            docs.insert(
                id=f"a{n}", vector=[n, 1, 0, n], metadata={"n": n, "text": f"text {n}", "many": [n, 1]}
            )
        docs.build_index()
        docs.tag("first")
        docs.delete("a1")
        docs.upsert(id="a2", vector=[2, 2, 2, 2], metadata={"n": -2, "odd": {"deep": [1, None]}})
        docs.flush()
        docs.insert(id="b0", vector=[5, 5, 5, 5], metadata={"n": 50})
        docs.delete("a3")
        if not unclean:
            other = db.collection("empty", dimension=2, metric="cosine")
            assert len(other) == 0


def answers_of(path: str, file: str = "") -> Answers:
    """Every question to a database that is only read; with `file`, only those whose answer needs that file.

    Of several versions that need it only the newest is asked: they read it the same way.
    """
    found: Answers = {}
    collection = file.partition("/collections/")[2].partition("/")[0]
    try:
        with vego.open(path, read_only=True, create=False) as db:
            _ask(found, "collections", db.collections)
            there = found["collections"]
            for name in there if there != REFUSED else ["c"]:
                if collection in ("", name):
                    _ask_collection(found, name, db, versions_with(path, file)[-1:] if file else None)
    except REFUSALS:
        found["open"] = REFUSED
    return found


def restored_answers(backup: str) -> Answers:
    """The same of a database restored from a backup."""
    try:
        vego.restore(backup, RESTORED)
    except REFUSALS:
        return {"restore": REFUSED}
    return answers_of(RESTORED)


def written_answers(path: str) -> Answers:
    """What a process finds that opens the database for writing and so recovers it."""
    found: Answers = {}
    try:
        with vego.open(path, create=False, **OPTIONS) as db:
            _ask(found, "content", lambda: content_of(db))
    except REFUSALS:
        found["open"] = REFUSED
    return found


def _ask(found: Answers, question: str, answer: Callable[[], Any]) -> None:
    found[question] = REFUSED
    with suppress(*REFUSALS):
        found[question] = answer()


@cache
def versions_with(path: str, file: str) -> tuple[int, ...]:
    """The versions of the sound database that need a file."""
    tree = subject().tree
    with SimulatedSystem(tree, "versions").installed():
        store = LocalStore(path, read_only=True)
        relative = file.removeprefix(f"{path}/")
        return tuple(
            version
            for version in versions(store, "c")
            if relative
            in {names.manifest_path("c", version), *files_of("c", load_version(store, "c", version))}
        )


def _ask_collection(found: Answers, name: str, db: vego.Database, numbers: Sequence[int] | None) -> None:
    """`numbers`: of the versions that are asked; None: all."""
    try:
        docs = db.collection(name)
    except REFUSALS:
        found[f"{name}: open"] = REFUSED
        return
    _ask(found, f"{name}: options", lambda: (len(docs), docs.dimension, docs.metric, docs.tags()))
    _ask(
        found,
        f"{name}: versions",
        lambda: [(v.version, v.time, v.documents, v.tags, v.summary) for v in docs.versions()],
    )
    _ask_documents(found, name, docs)
    if name == "c":
        for version in VERSIONS if numbers is None else numbers:
            if version != docs.stats()["version"]:
                with suppress(vego.NotFoundError, *REFUSALS):
                    _ask_documents(found, f"{name}@{version}", docs.at(version))


def _ask_documents(found: Answers, name: str, docs: vego.Collection) -> None:
    """Documents by id, exact and approximate search, with and without filters, and as a table."""
    for key in ("a0", "a1", "a2", "a3", "a4", "a5", "b0", "last"):
        _ask(found, f"{name}: get {key}", lambda key=key: _document(docs.get(key)))
    if docs.dimension != 4:
        return
    keep = vego.field("n") >= 2
    for number, query in enumerate(_GRID):
        for exact in (True, False):
            _ask(
                found,
                f"{name}: search {number}, exact {exact}",
                lambda q=query, e=exact: _hits(docs.search(q, k=20, exact=e)),
            )
    _ask(found, f"{name}: filter", lambda: _hits(docs.search(_GRID[0], k=20, filter=keep)))
    _ask(found, f"{name}: table", lambda: list(docs.to_table(["id", "n"])["id"].to_pylist()))


def _document(document: vego.Document | None) -> Any:
    if document is None:
        return None
    return np.asarray(document.vector).tolist(), document.metadata


def _hits(hits: Any) -> list[tuple[float, str]]:
    return sorted((hit.distance, hit.id, repr(hit.metadata)) for hit in hits)
