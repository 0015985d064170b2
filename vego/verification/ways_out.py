"""What can be done about damage: for each finding a command that helps, after those that lose less."""

from __future__ import annotations

import shlex
from collections.abc import Set

from vego import names
from vego.table.manifest import Manifest, files_of
from vego.verification.opened import OpenCollection, Problem
from vego.verification.report import Finding

RESTORE = "`vego restore BACKUP NEW_DIR` makes a database of a backup"


class WaysOut:
    """The ways out for one collection; `spoilt` are the paths of its damaged files."""

    def __init__(self, opened: OpenCollection, spoilt: Set[str]) -> None:
        self._opened = opened
        self._spoilt = spoilt
        self._root = opened.store.name

    def of_manifest(self, version: int, found: Problem) -> Finding:
        """For a manifest that is damaged, or does not fit the others."""
        if version != self._opened.there[-1]:
            return self._finding(found, self._set_aside([version]))
        earlier = self._earlier_without(set())
        return self._finding(found, RESTORE if earlier is None else self._go_back(earlier))

    def of_file(self, found: Problem) -> Finding:
        """For a file that a manifest names, or the newest manifest's contents."""
        opened, path = self._opened, found.path
        newest = opened.newest
        users = [version for version, one in opened.manifests.items() if path in files_of(opened.name, one)]
        if newest is None or newest.version not in users:
            return self._finding(found, self._set_aside(users) if users and newest is not None else RESTORE)
        if newest.index is not None and path == names.index_path(opened.name, newest.index.file):
            command = self._repair("--drop-index")
            return self._finding(
                found, f"The rows are whole: {command} drops the index, which can be built again"
            )
        ways = []
        earlier = self._earlier_without({path})
        if earlier is not None:
            ways.append(self._go_back(earlier))
        if path.startswith(names.file_directories(opened.name)[:2]):
            ways.append(
                f"{self._repair('--salvage')} keeps the rows that can still be read, and says what was lost"
            )
        return self._finding(found, "; ".join([*ways, RESTORE]))

    def of_log(self, found: Problem) -> Finding:
        """For the write-ahead log."""
        return self._finding(
            found,
            f"{self._repair('--cut-log')} keeps what comes before the damage, and says what was lost; {RESTORE}",
        )

    def _finding(self, found: Problem, way_out: str) -> Finding:
        return Finding(f"{self._root}/{found.path}", found.offset, found.what, way_out)

    def _earlier_without(self, paths: Set[str]) -> Manifest | None:
        """The newest sound version before the newest that needs none of `paths`, nor any damaged file."""
        opened = self._opened
        for version in reversed(opened.there[:-1]):
            manifest = opened.manifests.get(version)
            if manifest is not None and not (self._spoilt | paths) & set(files_of(opened.name, manifest)):
                return manifest
        return None

    def _go_back(self, manifest: Manifest) -> str:
        command = self._repair(f"--to-version {manifest.version}")
        return f"{command} goes back to version {manifest.version}, without what came since"

    def _set_aside(self, versions: list[int]) -> str:
        options = " ".join(f"--set-aside {version}" for version in versions)
        return f"The newest version does not need it: {self._repair(options)} puts what does out of the way"

    def _repair(self, options: str) -> str:
        return f"`vego repair {shlex.quote(self._root)} --collection {self._opened.name} {options}`"
