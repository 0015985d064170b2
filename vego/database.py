"""A database: one directory, one writer at a time, any number of collections."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from vego import display, names
from vego.collection import Collection
from vego.errors import (
    ClosedError,
    CollectionNotFoundError,
    CommitConflictError,
    CommitUncertainError,
    DatabaseLockedError,
    InvalidArgumentError,
    NotFoundError,
    ReadOnlyError,
    StorageError,
)
from vego.index import Metric, check_options
from vego.index.indexed_rows import IndexedRows
from vego.maintenance import Maintenance
from vego.options import CollectionOptions, Durability, check_dimension, check_durability
from vego.progress import progress_of
from vego.store import LocalStore, Store
from vego.table.agreement import committed
from vego.table.commit import create_collection
from vego.table.manifest import versions
from vego.table.marker import create_marker, load_marker
from vego.table.opening import open_files
from vego.table.replay import without_collector
from vego.vector_type import Element, VectorType

if TYPE_CHECKING:
    from types import TracebackType

    from vego.backup import BackupReport


def open(
    path: str | Path,
    *,
    dimension: int | None = None,
    metric: str = "cosine",
    read_only: bool = False,
    create: bool = True,
    durability: str = "sync",
    interval_ms: int | None = None,
    background: bool = True,
    shared: bool = False,
    **options: Any,
) -> Database:
    """Open the database in the directory `path`, creating it where there is nothing yet.

    dimension, metric ("cosine", "l2", "ip", "l1", "hamming") and the options of `vego.options.CollectionOptions` are
    defaults for the collections created later. read_only: no lock is taken and nothing is written; what another
    process writes afterwards shows after `refresh()`. durability: "sync" (a call returns when its data is on the
    disk), "interval"
    (when the operating system has it; a thread puts it on the disk within `interval_ms` milliseconds, 100 unless
    given, so a power cut costs no more than that) or "none" (when the operating system has it: survives a killed
    process, not a power cut). background: extend graphs and
    merge segments in a thread; with False the call that makes it necessary does so. shared: other processes may
    write to the database as well, each with shared=True. Every call is a commit then, so batches pay; it works on
    the newest version, is tried again where another process was faster, and an id exists once all the same. What
    others write shows after a write of one's own or `refresh()`.

    Raises NotADatabaseError, DatabaseLockedError (naming the process that writes), NewerVersionError,
    ReadOnlyError, StorageError, CorruptionError, UnknownOptionError.
    """
    defaults = CollectionOptions.of(options)
    if dimension is not None:
        check_dimension(dimension)
    lasting = check_durability(durability, interval_ms)
    store = LocalStore(Path(path).expanduser(), read_only=read_only)
    try:
        if not load_marker(store, missing_ok=create and not read_only):
            create_marker(store)
        if not read_only and store.exists(names.BACKUP):
            raise ReadOnlyError(
                f"{store.name}: this is a backup, and writing to it would spoil it; open it with read_only=True, or "
                f"restore it to another directory: `vego restore {store.name} NEW_DIR`"
            )
        if shared:
            _share(store)
        elif not read_only:
            store.lock(names.LOCK)
        return Database(
            store,
            dimension,
            Metric.parse(metric),
            defaults,
            durability=lasting,
            background=background,
            shared=shared,
        )
    except BaseException:
        store.close()
        raise


Open = open


class Database:
    """An open database; a context manager. Made by `vego.open`."""

    def __init__(
        self,
        store: Store,
        dimension: int | None,
        metric: Metric,
        options: CollectionOptions,
        *,
        durability: Durability,
        background: bool,
        shared: bool,
    ) -> None:
        self._store = store
        self._dimension = dimension
        self._metric = metric
        self._options = options
        self._durability = durability
        self._shared = shared
        self._lock = RLock()
        self._open: dict[str, Collection] = {}
        self._closed = False
        self._maintenance = Maintenance(background=background)
        # A script that just ends has its WAL sealed like one that calls close().
        reference = weakref.ref(self)
        self._at_exit = lambda: _close_quietly(reference)
        atexit.register(self._at_exit)
        if not self.read_only:
            self._store.settle(names.COLLECTIONS)
            self._sweep()

    @property
    def path(self) -> str:
        """The directory."""
        return self._store.name

    @property
    def read_only(self) -> bool:
        """True where nothing can be written."""
        return self._store.read_only

    def collection(
        self,
        name: str,
        *,
        dimension: int | None = None,
        metric: str | None = None,
        create: bool = True,
        **options: Any,
    ) -> Collection:
        """The collection of that name; created where there is none (unless `create=False`).

        A dimension that is given nowhere is taken from the first insert. Raises CollectionNotFoundError,
        InvalidArgumentError where the collection exists with another dimension, metric or option.
        """
        self._check_open()
        names.check_collection(name)
        with self._lock:
            found = self._open.get(name)
            if found is None:
                found = self._load(name, dimension, metric, create, options)
                self._open[name] = found
            self._check_same(found, dimension, metric, options)
            return found

    def collections(self) -> list[str]:
        """Names of the collections, sorted."""
        self._check_open()
        with self._lock:
            stored = {name for name in self._stored() if versions(self._store, name)}
            return sorted(stored | {name for name, one in self._open.items() if one.dimension is not None})

    def branch(
        self,
        source: str,
        name: str,
        *,
        version: int | None = None,
        timestamp: datetime | str | None = None,
        tag: str | None = None,
    ) -> Collection:
        """A new collection `name` that begins as what the collection `source` is, or was: a version, time or tag.

        The two share the files that both need, as hard links, so this takes neither time nor room to speak of; from
        then on they have nothing to do with each other. Options are those of `source`. Raises
        CollectionNotFoundError, InvalidArgumentError where there is a collection `name`, and the errors of
        `Collection.at`.
        """
        names.check_collection(name)
        with self._lock:
            found = self.collection(source, create=False)
            if self._open.get(name) is not None or name in self.collections():
                raise InvalidArgumentError(
                    f"collection {name!r} exists already; give another name, or drop it first"
                )
            found._branch(name, version, timestamp, tag)
            with committed(f"collection {name!r}"):
                return self.collection(name, create=False)

    def drop(self, name: str) -> None:
        """Delete a collection and its files; raises CollectionNotFoundError."""
        self._check_open()
        if self.read_only:
            raise ReadOnlyError(f"cannot drop {name!r}: {self.path} was opened with read_only=True")
        with self._lock:
            if name not in self.collections():
                raise CollectionNotFoundError(self._no_collection(name))
            collection = self._open.pop(name, None)
            if collection is not None:
                collection._close()
            doomed = names.dropped_path(self._store.new_id())
            try:
                self._store.rename(names.collection_path(name), doomed)
                self._store.sync_dir(names.COLLECTIONS)
            except (StorageError, ReadOnlyError) as error:
                if self._store.exists(names.collection_path(name)):
                    raise
                raise CommitUncertainError(
                    f"collection {name!r} is dropped, but it is not known whether that outlives a power failure: "
                    f"{error}; open the database again to find out"
                ) from error
            with suppress(
                StorageError, ReadOnlyError
            ):  # it is dropped; the next opening removes what is left of it
                self._store.remove_tree(doomed)

    def refresh(self) -> None:
        """Where the database is open for reading, or shared: see what others have written since."""
        self._check_open()
        with self._lock:
            if self._shared:
                for collection in self._open.values():
                    collection._change(lambda _: None)
            elif self.read_only:
                for name, collection in self._open.items():
                    rows = self._rows(name)
                    if rows is None:
                        raise CollectionNotFoundError(f"{self._no_collection(name)}; {name!r} was dropped")
                    collection._replace_rows(rows)

    def stats(self) -> dict[str, Any]:
        """The stats of every collection."""
        return {
            "path": self.path,
            "collections": [self.collection(name).stats() for name in self.collections()],
        }

    def backup(
        self,
        path: str | Path,
        *,
        base: str | Path | None = None,
        link: bool = False,
        history: bool = False,
        progress: bool | Callable[[int, int], None] = False,
    ) -> BackupReport:
        """Copy the whole database to the new or empty directory `path`, while others go on writing.

        Every write acknowledged before the call is in it, and each collection is as of one moment: its newest version,
        the tagged ones, and what is in the log. Every byte is read back and checked. Nothing is written to this
        database.

        base: an earlier backup of this database on the same file system; files that it has are linked, not copied.
        history: take along every kept version and the log between them, so that `vego.restore(path, ..., until=)`
        reaches any moment from the oldest on. `path` may be an earlier backup of this database then; only what is new
        is added to it, and what is there stays.
        link: link the database's own files, too. That takes no room and no time, but such a backup shares the
        medium: what damages a file damages it in both. progress: True for a bar on stderr, or a function of (bytes
        done, bytes in all).

        Raises CorruptionError where the database is damaged, InvalidArgumentError (the directory is not empty, or
        `base` or what is in `path` is of another database, or has another history), NotADatabaseError (`base` is no
        backup), StorageError (disk full). There is no backup then, and what was written of it is removed.
        """
        from vego.backup import Moment, moment_of, take_backup

        self._check_open()
        marker = load_marker(self._store)
        assert marker is not None
        source = LocalStore(self.path, read_only=True)  # as a reader: where it is shared, others commit, too
        moments: list[Moment] = []
        created_us = source.now_us()
        try:
            with self._lock:
                for name in self._stored():
                    collection = self._open.get(name)
                    with nullcontext() if collection is None else collection._lock:
                        moment = moment_of(source, name, history=history)
                    if moment is not None:
                        moments.append(moment)
            with progress_of(progress, "backing up") as report:
                return take_backup(
                    source, marker, moments, path, base=base, link=link, history=history,
                    created_us=created_us, progress=report,
                )  # fmt: skip
        finally:
            for moment in moments:
                moment.close()
            source.close()

    def wait_for_maintenance(self) -> None:
        """Return once everything is done that follows writes in the background: graphs extended, segments merged.

        Nothing needs this to be right or safe. What went wrong is in `stats()` as `maintenance_error`.
        """
        self._check_open()
        self._maintenance.wait()

    def close(self) -> None:
        """Close every collection and release the lock. Acknowledged writes are safe without this."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            atexit.unregister(self._at_exit)
            try:
                self._maintenance.close()
                for collection in self._open.values():
                    collection._close()
            finally:
                self._store.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, name: object) -> bool:
        return name in self.collections()

    def __repr__(self) -> str:
        if self._closed:
            return f"<vego.Database {self.path!r}, closed>"
        mode = ", read-only" if self.read_only else ""
        names = self.collections()
        return f"<vego.Database {self.path!r}{mode}: {display.listed(names, len(names)) or 'no collections yet'}>"

    def _repr_html_(self) -> str:
        return display.database_html(self, closed=self._closed)

    # -- inside ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the database {self.path} is closed; open it again with vego.open")

    def _stored(self) -> list[str]:
        try:
            return [name for name in self._store.list(names.COLLECTIONS) if names.is_collection(name)]
        except NotFoundError:
            return []

    def _sweep(self) -> None:
        """Finish the drops that a crash cut short."""
        with suppress(NotFoundError):
            for name in self._store.list(names.COLLECTIONS):
                if names.is_dropped(name):
                    self._store.remove_tree(f"{names.COLLECTIONS}/{name}")

    def _no_collection(self, name: str) -> str:
        return f"no collection {name!r} in {self.path}; there are: {', '.join(self.collections()) or 'none'}"

    def _load(
        self, name: str, dimension: int | None, metric: str | None, create: bool, options: dict[str, Any]
    ) -> Collection:
        rows = self._rows(name)
        if rows is not None:
            return self._make(name, rows, Metric.parse(rows.rows.manifest.metric), rows.rows.options)
        if self.read_only or not create:
            raise CollectionNotFoundError(self._no_collection(name))
        kind = self._metric if metric is None else Metric.parse(metric)
        given = self._options.to_json() | options
        # Bits and hamming come together: either says both.
        if kind is Metric.HAMMING:
            given.setdefault("dtype", Element.BIT.value)
        chosen = CollectionOptions.of(given)
        if metric is None and chosen.dtype == Element.BIT.value:
            kind = Metric.HAMMING
        check_options(chosen, kind)
        width = dimension if dimension is not None else self._dimension
        if width is not None:
            VectorType(Element(chosen.dtype), width).checked()
        first = None if width is None else self._create(name, width, kind, chosen)
        return self._make(name, first, kind, chosen)

    def _make(
        self, name: str, rows: IndexedRows | None, metric: Metric, options: CollectionOptions
    ) -> Collection:
        return Collection(
            name,
            metric,
            options,
            rows,
            lambda width, lock: self._create(name, check_dimension(width), metric, options, lock),
            self._store.new_id,
            read_only=self.read_only,
        )

    def _create(
        self,
        name: str,
        dimension: int,
        metric: Metric,
        options: CollectionOptions,
        lock: RLock | None = None,
    ) -> IndexedRows:
        try:
            create_collection(
                self._store, name, dimension=dimension, metric=metric.value, options=options.to_json()
            )
        except CommitConflictError:
            if not self._shared:
                raise  # else another process was faster, and it is the same collection
        with committed(f"collection {name!r}"):
            rows = self._rows(name, lock)
        assert rows is not None
        return rows

    def _rows(self, name: str, lock: RLock | None = None) -> IndexedRows | None:
        with without_collector():
            files = open_files(self._store, name)
            if files is None:
                return None
            try:
                return IndexedRows(
                    self._store,
                    name,
                    files,
                    durability=self._durability,
                    shared=self._shared,
                    lock=lock,
                    maintenance=self._maintenance,
                )
            except BaseException:
                files.close()
                raise

    def _check_same(
        self, found: Collection, dimension: int | None, metric: str | None, options: dict[str, Any]
    ) -> None:
        where = f"collection {found.name!r} exists with"
        if dimension is not None and found.dimension not in (None, dimension):
            raise InvalidArgumentError(f"{where} dimension {found.dimension}, not {dimension}")
        if metric is not None and Metric.parse(metric) != found.metric:
            raise InvalidArgumentError(f"{where} metric {found.metric.value!r}, not {metric!r}")
        if options:
            CollectionOptions.of(options)
            for key, value in options.items():
                kept = getattr(found.options, key)
                if kept != value:
                    raise InvalidArgumentError(f"{where} {key}={kept!r}, not {value!r}")


def _share(store: Store) -> None:
    """Take the lock that several writers hold together, after what is in logs has been committed.

    Only a writer that is alone may write a log. The first that comes to share a database it left flushes it, alone.
    """
    for attempt in range(50):
        try:
            alone = store.lock(names.LOCK)
        except DatabaseLockedError:
            pass
        else:
            _flush_all(store)
            alone.release()
        try:
            store.lock(names.LOCK, shared=True)
        except DatabaseLockedError:
            if attempt == 49:
                raise
            store.sleep(0.02)
        else:
            return


def _flush_all(store: Store) -> None:
    store.settle(names.COLLECTIONS)
    with suppress(NotFoundError):
        for name in store.list(names.COLLECTIONS):
            files = open_files(store, name) if names.is_collection(name) else None
            if files is not None:
                rows = IndexedRows(store, name, files)
                try:
                    rows.flush()
                finally:
                    rows.close()


def _close_quietly(reference: weakref.ref[Database]) -> None:
    database = reference()
    if database is not None:
        database.close()
