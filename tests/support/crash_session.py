"""Verbs on a database of which the power may go at any moment, and what must be there afterwards.

A `Session` performs verbs in a `SimulatedSystem` and notes from which operation on which contents are promised.
"""

from __future__ import annotations

import atexit
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import vego
from lance_fmt import crc32c
from tests.support.simulated_system import Operation, SimulatedSystem, Tree
from vego.index import indexed_rows
from vego.names import manifest_path
from vego.repair import drop_index, set_aside_versions_after
from vego.store import LocalStore
from vego.table import rowstore
from vego.table.manifest import Manifest, files_of, load_version, versions
from vego.table.versions import time_at
from vego.wal import salvage_wal, segment_numbers

PATH = "/disk/db"
NAMES = [f"k{number}" for number in range(10)]
AFTER = "written after recovery"
PARTITION = "part"
REWRITING: Any = indexed_rows  # what it imports is not its to give away, but that is where it is replaced

Content = tuple[tuple[str, tuple[tuple[str, int], ...]], ...] | str
NOTHING = "no database"
WITH_PAST = "past"  # the collection of which every moment is looked at
PAST = "@past"
DAMAGED = "damaged"  # legal only where a workload damaged something, until the repair returned


class WrongError(Exception):
    """A database said something that it must not say."""


@dataclass(slots=True)
class Run:
    """What a session did: where it began, its log, and from which operation on which contents are legal."""

    start: Tree
    log: list[Operation]
    moments: list[tuple[int, frozenset[Content]]]

    def legal(self, moment: int) -> frozenset[Content]:
        """What may be found if the power goes before operation `moment`."""
        return next(contents for position, contents in reversed(self.moments) if position <= moment)


class Session:
    """Verbs on the database of a simulated system; `legal` is what its tree may hold, None if that is not known."""

    def __init__(self, tree: Tree, seed: object, legal: frozenset[Content] | None, **options: int) -> None:
        self.system = SimulatedSystem(tree, seed)
        self.random = random.Random(f"session {seed}")
        self._start = tree
        self._options: dict[str, Any] = {
            "index": "hnsw",
            "m": 4,
            "ef_construction": 8,
            "background": False,
        } | options
        self._database: vego.Database | None = None
        self._serial = 0
        self._moments: list[tuple[int, frozenset[Content]]] = [] if legal is None else [(0, legal)]
        self._before: frozenset[Content] | None = None  # what was legal before the step under way

    def run(self) -> Run:
        """What was done so far."""
        return Run(self._start, self.system.log, self._moments)

    @property
    def legal(self) -> frozenset[Content]:
        """What the database may hold."""
        return self._moments[-1][1]

    @property
    def content(self) -> Content:
        """What the database holds."""
        (content,) = self.legal
        return content

    @property
    def collections(self) -> dict[str, dict[str, int]]:
        """Serial numbers of the documents of each collection."""
        content = self.content
        assert not isinstance(content, str)
        return {name: dict(documents) for name, documents in content}

    def open(self, *, damage_is_legal: bool = False) -> Content:
        """Open the database, creating it where there is none, and check and return what was found.

        With `damage_is_legal`, what an error says is done first, and DAMAGED returned.
        """
        if self._moments:
            self._moments.append(
                (len(self.system.log), self.legal | ({()} if NOTHING in self.legal else set()))
            )
        try:
            found, after = self._look()
        except vego.CorruptionError as error:
            if not damage_is_legal:
                raise
            self._close_quietly()
            repair_as_told(error)
            found, after = DAMAGED, self._look()[1]
        if not self._moments:
            self._moments.append((0, frozenset([found, after])))
        if not self.legal >= {found, *([after] if found == DAMAGED else [])}:
            raise WrongError(f"found {found} and then {after}, legal were {sorted(map(str, self.legal))}")
        self._moments.append((len(self.system.log), frozenset([after])))
        return found

    def _look(self) -> tuple[Content, Content]:
        """What there is, and what there is after a database was created where there was none."""
        try:
            self._database = vego.open(PATH, create=False, **self._options)
        except vego.NotADatabaseError:
            self._database = vego.open(PATH, **self._options)
            return NOTHING, contents(self._database)
        found = contents(self._database)
        return found, found

    def repair(self, after: Content) -> None:
        """Do what the error says."""
        try:
            self._look()
        except vego.CorruptionError as error:
            self._close_quietly()
            with self.step(after):
                repair_as_told(error)

    @contextmanager
    def step(self, after: Content) -> Iterator[None]:
        """Until this ends, both are legal: what was there before, and `after`; then only that."""
        self._before = self.legal
        self._moments.append((len(self.system.log), self.legal | {after}))
        yield
        self._before = None
        self._moments.append((len(self.system.log), frozenset([after])))

    def refused(self) -> bool:
        """The step under way failed with an error that says that nothing was changed; whether there was one."""
        before, self._before = self._before, None
        if before is not None:
            self._moments.append((len(self.system.log), before))
        return before is not None

    @contextmanager
    def step_of_any(self) -> Iterator[None]:
        """A step that changes nothing, though there may be others inside that do."""
        yield
        self._moments.append((len(self.system.log), frozenset([self.content])))

    def frozen(self, documents: dict[str, dict[str, int]]) -> Content:
        """`documents` as a content; what a collection with a past was before this is in its past."""
        for name in [name for name in documents if name.endswith(PAST)]:
            states = documents[name]
            now = fingerprint(documents[name.removesuffix(PAST)])
            if list(states.values())[-1:] != [now]:
                documents = documents | {name: states | {f"{len(states):03d}": now}}
        return tuple((name, tuple(sorted(found.items()))) for name, found in sorted(documents.items()))

    def create(self, collection: str, **options: Any) -> None:
        """Create a collection."""
        past: dict[str, dict[str, int]] = {f"{collection}{PAST}": {}} if collection == WITH_PAST else {}
        with self.step(self.frozen(self.collections | {collection: {}} | past)):
            self._before = None  # it may be there although the call failed: asking again is harmless
            self._db.collection(collection, dimension=4, metric="l2", **options)

    def put(self, collection: str, *names: str, batch: bool = False, parts: tuple[Any, ...] = ()) -> None:
        """Insert or replace documents, all at once; in these partitions in turn."""
        self._serial += 1
        serial = self._serial
        documents = self.collections
        known = documents[collection].keys()
        documents[collection] = documents[collection] | dict.fromkeys(names, serial)
        docs = self._db.collection(collection)
        vector = np.full(4, serial, np.float32)
        metadata = {"serial": [serial] * len(names)}
        if parts:
            metadata[PARTITION] = [parts[number % len(parts)] for number in range(len(names))]
        with self.step(self.frozen(documents)):
            if len(names) == 1 and not batch:
                verb = docs.upsert if names[0] in known else docs.insert
                verb(id=names[0], vector=vector, metadata={key: one[0] for key, one in metadata.items()})
            else:
                many = docs.insert_batch if known.isdisjoint(names) else docs.upsert_batch
                many(
                    ids=names,
                    vectors=np.tile(vector, (len(names), 1)),
                    metadata=metadata,
                )

    def delete(self, collection: str, *names: str) -> None:
        """Delete documents, all at once."""
        documents = self.collections
        documents[collection] = {name: n for name, n in documents[collection].items() if name not in names}
        with self.step(self.frozen(documents)):
            self._db.collection(collection).delete_batch(names)

    def drop_partition(self, collection: str, part: Any, *names: str) -> None:
        """Drop a partition, in which `names` are."""
        documents = self.collections
        documents[collection] = {name: n for name, n in documents[collection].items() if name not in names}
        with self.step(self.frozen(documents)):
            self._db.collection(collection).drop_partition(part)

    def flush(self, collection: str) -> None:
        """Turn the write buffer into a segment."""
        with self.step(self.content):
            self._db.collection(collection).flush()

    def build_index(self, collection: str) -> None:
        """Build and save the graph."""
        with self.step(self.content):
            self._db.collection(collection).build_index()

    def compact(self, collection: str, meanwhile: Callable[[], None] | None = None) -> None:
        """Compact fully; while segments are rewritten, `meanwhile` is done."""
        right = REWRITING.rewrite

        def rewrite(*arguments: Any) -> Any:
            if meanwhile is not None:
                meanwhile()
            return right(*arguments)

        REWRITING.rewrite = rewrite
        try:
            with self.step_of_any():
                self._db.collection(collection).compact(full=True)
        finally:
            REWRITING.rewrite = right

    def tag(self, collection: str, name: str) -> None:
        """Name what is there now."""
        documents = self.collections
        with self.step(self.frozen(documents | {f"{collection}@{name}": documents[collection]})):
            self._db.collection(collection).tag(name)

    def untag(self, collection: str, name: str) -> None:
        """Take a tag away."""
        documents = self.collections
        del documents[f"{collection}@{name}"]
        with self.step(self.frozen(documents)):
            self._db.collection(collection).untag(name)

    def restore(self, collection: str, name: str) -> None:
        """Go back to what a tag names."""
        documents = self.collections
        with self.step(self.frozen(documents | {collection: documents[f"{collection}@{name}"]})):
            self._db.collection(collection).restore(tag=name)

    def branch(self, collection: str, name: str) -> None:
        """Make another collection of what one is."""
        documents = self.collections
        with self.step(self.frozen(documents | {name: documents[collection]})):
            self._db.branch(collection, name)

    def vacuum(self, collection: str) -> None:
        """Let go of every version that can be."""
        with self.step(self.content):
            self._db.collection(collection).vacuum(2)

    def drop(self, collection: str) -> None:
        """Delete a collection."""
        documents = self.collections
        del documents[collection]
        with self.step(self.frozen(documents)):
            self._db.drop(collection)

    def write_again(self) -> None:
        """One more document in every collection, in a new one where there is none."""
        if not self.collections:
            self.create("new")
        for collection in self.collections:
            if "@" not in collection:
                self.put(collection, AFTER)

    def close(self) -> None:
        """Close the database."""
        with self.step(self.content):
            self._db.close()
        self._database = None

    def _close_quietly(self) -> None:
        """Close what was opened in vain."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def kill(self) -> None:
        """The process dies; what it wrote stays in the cache of the system."""
        self.system.restart_process()
        database, self._database = self._database, None
        if database is not None:
            atexit.unregister(database._at_exit)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the database see the simulated system, and be content with few rows where it counts them."""
        small = [(rowstore, "DIRECT_ROWS", 6), (rowstore, "LEAST_SHARE", 3)]
        before = [getattr(module, name) for module, name, _ in small]
        for module, name, value in small:
            setattr(module, name, value)
        try:
            with self.system.installed():
                yield
        finally:
            for (module, name, _), value in zip(small, before, strict=True):
                setattr(module, name, value)
            self.kill()

    @property
    def poisoned(self) -> bool:
        """Whether the database refuses to write, or is not open."""
        return self._database is None or self._database._store.poisoned is not None

    @property
    def _db(self) -> vego.Database:
        assert self._database is not None
        return self._database


def contents(database: vego.Database) -> Content:
    """What a database holds, after checking that it agrees with itself."""
    found = []
    views = [(name, database.collection(name)) for name in database.collections()]
    for name, docs in list(views):
        assert_versions_have_their_files(name)
        views += [(f"{name}@{tag}", docs.at(tag=tag)) for tag in docs.tags()]
    for name, docs in views:
        documents = {}
        for key in (*NAMES, AFTER):
            document = docs.get(key)
            if document is not None:
                documents[key] = serial = document.metadata["serial"]
                if np.asarray(document.vector).tolist() != [serial] * 4:
                    raise WrongError(
                        f"{name} {key}: vector {document.vector} of another document than {serial}"
                    )
        if len(docs) != len(documents):
            raise WrongError(
                f"{name}: {len(docs)} documents, of which {sorted(documents)} were written by anyone"
            )
        hits = {hit.id for hit in docs.search(np.zeros(4), k=20)}
        if hits != documents.keys():
            raise WrongError(f"{name}: search finds {sorted(hits)}, get {sorted(documents)}")
        found.append((name, tuple(sorted(documents.items()))))
        if name == WITH_PAST:
            found.append((f"{name}{PAST}", past_of(docs)))
    return tuple(sorted(found))


def fingerprint(documents: Mapping[str, int]) -> int:
    """A number that tells contents of a collection apart."""
    return crc32c(repr(sorted(documents.items())).encode())


def past_of(docs: vego.Collection) -> tuple[tuple[str, int], ...]:
    """What a collection was at every moment that its versions and its log know of, each state numbered."""
    store = LocalStore(PATH, read_only=True)
    listed = versions(store, docs.name)
    collection_id = load_version(store, docs.name, listed[-1]).collection_id
    times = {load_version(store, docs.name, version).created_us for version in listed}
    for number in segment_numbers(store, docs.name):
        times |= {
            batch.time_us for batch in salvage_wal(store, docs.name, number, collection_id=collection_id)
        }
    states: list[int] = []
    for time_us in sorted(times):
        then = docs.at(timestamp=time_at(time_us))
        documents = [document for key in (*NAMES, AFTER) if (document := then.get(key)) is not None]
        state = fingerprint({document.id: document.metadata["serial"] for document in documents})
        if states[-1:] != [state]:
            states.append(state)
    return tuple((f"{number:03d}", state) for number, state in enumerate(states))


def assert_versions_have_their_files(collection: str) -> None:
    """Every version that is listed can be opened."""
    store = LocalStore(PATH, read_only=True)
    for version in versions(store, collection):
        with suppress(vego.CorruptionError):  # a workload damaged it
            for path in _files_named(collection, store.read(manifest_path(collection, version))):
                if not store.exists(path):
                    raise WrongError(f"version {version} of {collection} lacks {path}")


@lru_cache(maxsize=1000)
def _files_named(collection: str, manifest: bytes) -> list[str]:
    """Kept, because a manifest comes again in thousands of states."""
    return files_of(collection, Manifest.from_bytes(manifest, "a manifest"))


def repair_as_told(error: vego.CorruptionError) -> None:
    """Do what the message says."""
    command = re.search(r"vego repair (\S+) --collection (\S+) --(?:to-version (\d+)|drop-index)", str(error))
    if command is None:
        raise error
    path, collection, version = command.groups()
    if version is None:
        drop_index(path, collection)
    else:
        set_aside_versions_after(path, collection, int(version))
