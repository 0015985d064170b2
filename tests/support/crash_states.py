"""What a power cut may leave behind: every legal state of a disk, from the log of a `SimulatedSystem`.

The model. A file is durable as of its last sync, a name as of the last sync of its directory. Of what was done since,

* names: any subset survives (the weakest reading of POSIX); any prefix, as of an ordered journal, is one of these;
* contents: each sector of 512 bytes is as it was after any of the changes to it, a sector never written is zeros, and
  the length is any that the file has had, or one at which the last growing write was torn. So there are sectors old and
  new in any mixture, lengths without data and data without lengths;
* a failed sync makes nothing durable, and no later one of that file does (the system took its pages for clean). Of a
  directory a later one does: names go through the journal, and a file system that could not write that stops.

A state is named by a `Crash`. Where there are more than `limit`, half of them lose nothing but the end of the names
(prefixes, as of an ordered journal, with whatever contents), and the others are a seeded sample of representative ones
(one loss, one survivor, each with every content of one file) and of random ones. States before a sync include those of
every earlier moment since the last, so only the moments before syncs, and those at which something is promised, need
be looked at (`moments_of_interest`).
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.support.simulated_system import (
    Enter,
    FailedSync,
    Leave,
    Move,
    Naming,
    Operation,
    Resize,
    Sync,
    Tree,
    Write,
    changed,
)

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Content:
    """What a file may hold: its bytes, and in words how they came about."""

    data: bytes
    words: str


@dataclass(frozen=True, slots=True)
class Crash:
    """One state: which of the pending names survived, by position, and which content each pending file has."""

    names: tuple[int, ...]
    files: tuple[tuple[int, int], ...]  # inode, number of its content


class Disk:
    """A disk that follows a log: what is durable, and what is pending.

    Files with a name in `settled` are durable at once, so that their states do not multiply those of all others.
    """

    def __init__(self, tree: Tree, settled: Sequence[str] = ()) -> None:
        self._durable = Tree({inode: dict(names) for inode, names in tree.names.items()}, dict(tree.contents))
        self._pending_names: list[Naming] = []
        self._versions: dict[int, list[bytes]] = {}  # of files with pending changes, durable one first
        self._contents: dict[int, list[Content]] = {}
        self._paths = {inode: path for path, inode in tree.walk()}
        self._failed: set[int] = set()  # files with a sync that failed
        self._settled_names = settled
        self._settled = {inode for path, inode in tree.walk() if path.rpartition("/")[2] in settled}

    def apply(self, operation: Operation) -> None:
        """Follow the log by one operation."""
        match operation:
            case Sync(inode):
                if inode not in self._failed:
                    self._sync(inode)
            case FailedSync(inode):
                if inode not in self._durable.names:
                    self._failed.add(inode)
            case Write(inode, _, _) | Resize(inode, _) if inode in self._settled:
                self._durable.contents[inode] = bytes(changed(self._durable.contents[inode], operation))
            case Write(inode, _, _) | Resize(inode, _):
                versions = self._versions.setdefault(inode, [self._durable.contents[inode]])
                versions.append(bytes(changed(versions[-1], operation)))
                self._contents.pop(inode, None)
            case Enter(directory, name, inode, is_directory):
                self._paths[inode] = f"{self._paths.get(directory, '')}/{name}"
                if is_directory:
                    self._durable.names.setdefault(inode, {})
                else:
                    self._durable.contents.setdefault(inode, b"")
                if name in self._settled_names:
                    self._settled.add(inode)
                    _rename(self._durable.names, operation)
                else:
                    self._pending_names.append(operation)
            case _:
                self._pending_names.append(operation)

    def _sync(self, inode: int) -> None:
        if inode in self._versions:
            self._durable.contents[inode] = self._versions.pop(inode)[-1]
            self._contents.pop(inode, None)
        waiting = []
        for naming in self._pending_names:
            # A move becomes durable with either directory: no file system takes it apart.
            if inode in (
                naming.directory,
                getattr(naming, "new_directory", inode if inode == naming.directory else 0),
            ):
                _rename(self._durable.names, naming)
            else:
                waiting.append(naming)
        self._pending_names = waiting

    # -- states ----------------------------------------------------------------------------------

    def crashes(self, limit: int, rng: random.Random) -> list[Crash]:
        """At most `limit` states, all of them where there are no more."""
        count = len(self._pending_names)
        everything = tuple(range(count))
        if 1 << count <= limit:
            kept: Iterable[tuple[int, ...]] = _subsets(everything)
            complete = True
        else:
            kept, complete = _representative(everything), False
        found: dict[Crash, None] = {}
        rest: list[tuple[tuple[int, ...], list[int]]] = []
        for names in kept:
            pending = self._pending_files(names)
            rest.append((names, pending))
            total = 1
            for inode in pending:
                total *= len(self.contents(inode))
            mixtures = self._all_mixtures(pending) if total <= limit else self._some_mixtures(pending)
            complete &= total <= limit
            found.update(dict.fromkeys(Crash(names, files) for files in mixtures))
        if not complete:
            for _ in range(limit):
                names = tuple(number for number in everything if rng.random() < rng.choice((0.3, 0.5, 0.8)))
                files = tuple(
                    (inode, rng.randrange(len(self.contents(inode)))) for inode in self._pending_files(names)
                )
                found[Crash(names, files)] = None
        if len(found) <= limit:
            return list(found)
        first = [crash for crash in found if crash.names == everything[: len(crash.names)]][: limit // 2]
        others = [crash for crash in found if crash not in set(first)]
        return first + rng.sample(others, limit - len(first))

    def _pending_files(self, names: Sequence[int]) -> list[int]:
        if not self._versions:
            return []
        reachable = {inode for _, inode in self._named(names).walk()}
        return sorted(inode for inode in self._versions if inode in reachable)

    def _all_mixtures(self, pending: list[int]) -> Iterator[tuple[tuple[int, int], ...]]:
        for numbers in itertools.product(*(range(len(self.contents(inode))) for inode in pending)):
            yield tuple(zip(pending, numbers, strict=True))

    def _some_mixtures(self, pending: list[int]) -> Iterator[tuple[tuple[int, int], ...]]:
        """All old, all new, and each content of one file while the others are old or new."""
        for others in (0, 1):
            base = {inode: min(others, len(self.contents(inode)) - 1) for inode in pending}
            yield tuple(base.items())
            for inode in pending:
                for number in range(len(self.contents(inode))):
                    yield tuple((base | {inode: number}).items())

    def contents(self, inode: int) -> list[Content]:
        """What a file with pending changes may hold: the old first, then the new."""
        if inode not in self._contents:
            self._contents[inode] = contents_of(self._versions[inode])
        return self._contents[inode]

    def _named(self, names: Sequence[int]) -> Tree:
        entries = {inode: dict(found) for inode, found in self._durable.names.items()}
        for number in names:
            _rename(entries, self._pending_names[number])
        return Tree(entries, self._durable.contents)

    def after(self, crash: Crash) -> Tree:
        """The disk after the power came back."""
        tree = self._named(crash.names)
        contents = {inode: self.contents(inode)[number].data for inode, number in crash.files}
        return Tree(tree.names, self._durable.contents | contents)

    # -- words -----------------------------------------------------------------------------------

    def describe(self, crash: Crash) -> str:
        """What was lost in this state, and what of the rest is not simply there."""
        lost = [naming for number, naming in enumerate(self._pending_names) if number not in crash.names]
        words = [f"lost: {self.words(naming)}" for naming in lost]
        for inode, number in crash.files:
            words.append(f"{self._paths.get(inode, inode)}: {self.contents(inode)[number].words}")
        return "; ".join(words) or "everything written is there"

    def words(self, operation: Operation) -> str:
        """One operation, with paths."""
        match operation:
            case Enter(directory, name, _, is_directory):
                return f"{'directory' if is_directory else 'name'} {self._place(directory)}/{name}"
            case Leave(directory, name):
                return f"removal of {self._place(directory)}/{name}"
            case Move(directory, name, new_directory, new_name, _):
                return f"move of {self._place(directory)}/{name} to {self._place(new_directory)}/{new_name}"
            case Write(inode, offset, data):
                return f"write of {len(data)} bytes at {offset} of {self._place(inode)}"
            case Resize(inode, size):
                return f"cut of {self._place(inode)} to {size} bytes"
            case Sync(inode):
                return f"sync of {self._place(inode) or '/'}"
            case FailedSync(inode):
                return f"failed sync of {self._place(inode)}"

    def _place(self, inode: int) -> str:
        return self._paths.get(inode, "")


def contents_of(versions: Sequence[bytes], limit: int = 64) -> list[Content]:
    """What a file may hold whose durable bytes are the first version and whose changes made the others.

    The first and the last version come first. All mixtures of sectors and lengths where there are at most `limit`;
    else no sector, one, all but one, and the sectors before each torn length.
    """
    old, new = versions[0], versions[-1]
    longest = max(map(len, versions))
    sectors = [_distinct(versions, start) for start in range(0, longest, SECTOR)]
    lengths = _lengths(versions)
    newest = tuple(len(choices) - 1 for choices in sectors)
    mixtures: Iterable[tuple[int, ...]]
    total = len(lengths)
    for choices in sectors:
        total *= len(choices)
    if total <= limit:
        mixtures = itertools.product(*(range(len(choices)) for choices in sectors))
    else:
        oldest = (0,) * len(sectors)
        one = [(*oldest[:i], newest[i], *oldest[i + 1 :]) for i in range(len(sectors))]
        others = [(*newest[:i], 0, *newest[i + 1 :]) for i in range(len(sectors))]
        mixtures = [oldest, newest, *one, *others]
    found = {old: "as before", new: "whole"}
    for mixture in mixtures:
        data = b"".join(choices[number] for choices, number in zip(sectors, mixture, strict=True))
        for length in lengths:
            if total > limit and length not in (len(old), len(new)) and mixture != newest:
                continue
            stale = [str(i) for i, (was, last) in enumerate(zip(mixture, newest, strict=True)) if was != last]
            words = f"{length} of {len(new)} bytes" + (f", sectors {' '.join(stale)} old" if stale else "")
            found.setdefault(data[:length], words)
    return [Content(data, words) for data, words in found.items()]


def _distinct(versions: Sequence[bytes], start: int) -> list[bytes]:
    pieces = (version[start : start + SECTOR].ljust(SECTOR, b"\0") for version in versions)
    return list(dict.fromkeys(pieces))


def _lengths(versions: Sequence[bytes]) -> list[int]:
    """Every length the file had; and for the last growth, sector ends and some bytes inside a sector."""
    lengths = {len(version) for version in versions}
    for before, after in itertools.pairwise(map(len, versions)):
        if after > before:
            lengths |= {before + 1, (before + after) // 2, after - 1}
            lengths |= set(range(before - before % SECTOR + SECTOR, after, SECTOR))
    return sorted(lengths)


def _subsets(numbers: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.chain.from_iterable(
        itertools.combinations(numbers, size) for size in range(len(numbers), -1, -1)
    )


def _representative(numbers: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Prefixes, all but one, only one."""
    for length in range(len(numbers), -1, -1):
        yield numbers[:length]
    for number in numbers:
        yield tuple(other for other in numbers if other != number)
        yield (number,)


def _rename(names: dict[int, dict[str, int]], naming: Naming) -> None:
    """Let a directory operation take effect; one whose ground is missing has none."""
    match naming:
        case Enter(directory, name, inode, _):
            names[directory][name] = inode
        case Leave(directory, name):
            names[directory].pop(name, None)
        case Move(directory, name, new_directory, new_name, inode):
            if names[directory].get(name) == inode:
                del names[directory][name]
            names[new_directory][new_name] = inode


def moments_of_interest(log: Sequence[Operation], promises: Iterable[int]) -> list[int]:
    """Numbers of operations before which the power may go and no earlier moment has states that are not among these."""
    syncs = {number for number, operation in enumerate(log) if isinstance(operation, Sync | FailedSync)}
    edges = {moment for position in promises for moment in (position - 1, position)}
    return sorted(moment for moment in syncs | edges | {len(log)} if 0 <= moment <= len(log))


def spelled(tree: Tree, log: Iterable[Operation]) -> list[str]:
    """Every operation of a log in words."""
    disk = Disk(tree)
    words = []
    for operation in log:
        disk.apply(operation)
        words.append(disk.words(operation))
    return words


class Fingerprints:
    """Hashes of trees: equal for the same paths with the same bytes."""

    def __init__(self) -> None:
        self._digests: dict[bytes, bytes] = {}

    def of(self, tree: Tree) -> bytes:
        """16 bytes."""
        total = hashlib.blake2b(digest_size=16)
        for path, inode in tree.walk():
            total.update(path.encode() + b"\0")
            total.update(self._digest(tree.contents[inode]) if inode in tree.contents else b"/")
        return total.digest()

    def _digest(self, data: bytes) -> bytes:
        found = self._digests.get(data)
        if found is None:
            found = hashlib.blake2b(data, digest_size=16).digest()
            if len(self._digests) > 50_000:
                self._digests.clear()
            self._digests[data] = found
        return found
