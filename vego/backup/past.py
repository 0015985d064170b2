"""Collections of a backup as of a moment: which files they need, and the version that makes them what they were."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from vego import names
from vego.backup.record import BackupRecord
from vego.errors import NotFoundError
from vego.store import Store
from vego.table.commit import AdvanceWal, commit
from vego.table.manifest import Manifest, files_of, load_version, versions
from vego.table.point_in_time import contents_of, open_moment
from vego.table.rowstore import RowStore
from vego.table.versions import find_version, microseconds, moment_of, time_at, time_of


@dataclass(frozen=True, slots=True)
class PastState:
    """A collection at `until`: the version that was the newest then, and those that had a tag."""

    collection: str
    until: datetime
    manifests: tuple[Manifest, ...]

    @property
    def paths(self) -> set[str]:
        """Files of the backup that are copied as they are; the log is not among them."""
        manifests = {names.manifest_path(self.collection, manifest.version) for manifest in self.manifests}
        return manifests.union(*(files_of(self.collection, manifest) for manifest in self.manifests))

    def write(self, source: Store, target: Store) -> int:
        """Commit in `target`, where the copied files are, what the log of `source` adds; the newest version."""
        version = self.manifests[0]
        files = open_moment(source, self.collection, self.until)
        lsn = files.log.next_lsn - 1
        rows = RowStore(source, self.collection, files)
        try:
            if lsn == version.flushed_lsn:
                return version.version
            contents = contents_of(target, self.collection, rows)
            wal = AdvanceWal(flushed_lsn=lsn, first_wal=version.first_wal)
            summary = f"restore {self.until.isoformat()}"
            return commit(target, self.collection, version, [contents, wal], summary=summary).version
        finally:
            rows.close()


def states_at(source: Store, record: BackupRecord, until: datetime | str) -> list[PastState]:
    """Every collection of the backup in `source` that was there at a moment.

    Raises NotFoundError naming what can be reached, where the backup does not have that moment.
    """
    moment = moment_of(until)
    if microseconds(moment) > record.created_us:
        taken = time_at(record.created_us).isoformat()
        raise NotFoundError(
            f"{source.name}: the backup was taken at {taken}, and knows nothing of what was written until "
            f"{moment.isoformat()}; give an earlier time, or none for all that is in it"
        )
    found = []
    for name in record.collections:
        there = versions(source, name)
        if there[0] == 1 and time_of(load_version(source, name, 1)) > moment:
            continue  # created later
        newest = find_version(source, name, timestamp=moment)
        tagged = []
        for version in sorted(set(newest.tags.values()) - {newest.version}):
            with suppress(NotFoundError):
                tagged.append(load_version(source, name, version))
        found.append(PastState(name, moment, (newest, *tagged)))
    return found
