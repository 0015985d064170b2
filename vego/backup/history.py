"""What a backup with history takes along: every kept version, and the log that leads from each to the next.

Each backup into the same directory adds what is new. The log is written anew in sealed segments, numbered in the order
of their batches and never below those they were read from, so that the same rules hold there as in a database: the
newest version finds what follows it in the last segments, whose numbers have no gaps, and an earlier one finds its
batches in segments from its `first_wal` on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vego import names
from vego.errors import InvalidArgumentError, NotFoundError
from vego.store import Store
from vego.store.base import Files, ReadAt
from vego.table.manifest import Manifest, load_version, versions
from vego.table.versions import oldest_of_chain
from vego.wal import Batch, Log, read_history, read_wal, segment_numbers


@dataclass(frozen=True, slots=True)
class ArchivedLog:
    """How far the log of a collection is in a backup: the last segment there and the last batch in it; 0 for none."""

    number: int = 0
    last_lsn: int = 0

    @classmethod
    def of(cls, store: Store, collection: str, collection_id: str) -> ArchivedLog:
        """That of the backup in `store`. Raises CorruptionError."""
        number = max(segment_numbers(store, collection), default=0)
        if not number:
            return cls()
        batches = read_wal(store, collection, number, collection_id=collection_id).batches
        return cls(number, batches[-1].lsn if batches else 0)


class OpenLog:
    """The log segments of a collection from one on, open, so that they can be read when they have been collected."""

    def __init__(self, store: Store, collection: str, first: int) -> None:
        self.name = store.name
        self._readers: dict[str, ReadAt] = {}
        try:
            for number in segment_numbers(store, collection):
                if number >= first:
                    path = names.wal_path(collection, number)
                    self._readers[path] = store.open_reader(path)
        except BaseException:
            self.close()
            raise

    def list(self, path: str) -> list[str]:
        """Names of the segments."""
        return sorted(found.rpartition("/")[2] for found in self._readers if names.parent(found) == path)

    def read(self, path: str) -> bytes:
        """All bytes of one."""
        reader = self._readers[path]
        return reader.read_at(0, reader.size())

    def close(self) -> None:
        """Close them."""
        for reader in self._readers.values():
            reader.close()


def kept_manifests(store: Store, collection: str, newest: Manifest) -> list[Manifest]:
    """Every version that is kept, the newest first."""
    found = [newest]
    for version in reversed(versions(store, collection)):
        if version < newest.version:
            found.append(load_version(store, collection, version))
    return found


def first_of_chain(manifests: Sequence[Manifest]) -> Manifest:
    """Of manifests, the newest first, the oldest from which on none is missing."""
    oldest = oldest_of_chain([manifest.version for manifest in reversed(manifests)])
    return next(manifest for manifest in manifests if manifest.version == oldest)


def log_segments(
    store: Files, collection: str, manifests: Sequence[Manifest], log: Log, there: ArchivedLog
) -> Iterator[tuple[int, Sequence[Batch]]]:
    """What of the log is not `there` yet: number and batches of each segment to write, in order.

    `manifests`, the newest first, are those of the moment, and `log` is what followed the newest.
    """
    newest, number = manifests[0], there.number
    oldest = first_of_chain(manifests)
    after = max(oldest.flushed_lsn, there.last_lsn)
    for source, batches in read_history(
        store,
        collection,
        collection_id=newest.collection_id,
        first=oldest.first_wal,
        after_lsn=after,
        upto_lsn=newest.flushed_lsn,
    ):
        number = max(number + 1, source)
        after = batches[-1].lsn
        yield number, batches
    if there.last_lsn >= newest.flushed_lsn and there.number >= newest.first_wal:
        rest = [batch for batch in log.batches if batch.lsn > there.last_lsn]
        number += 1
    else:
        rest = list(log.batches)
        number = max(number + 1, log.next_number)
    if rest:
        yield number, rest


def check_same_history(store: Store, collection: str, manifests: Sequence[Manifest]) -> None:
    """That the versions of a collection in the backup of `store` are the same as those of the database, or older.

    Raises InvalidArgumentError.
    """
    there = set(versions(store, collection))
    newest = manifests[0]
    if not there:
        return
    same = max(there) <= newest.version
    for manifest in manifests:
        if same and manifest.version in there:
            try:
                found = load_version(store, collection, manifest.version)
            except NotFoundError:
                continue
            same = found.checksum == manifest.checksum
    if not same:
        raise InvalidArgumentError(
            f"{store.name}: the history of collection {collection!r} there is another one than that of the database "
            "(it was dropped and made again, repaired, or restored from a backup); give a new directory"
        )
