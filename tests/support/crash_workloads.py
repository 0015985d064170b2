"""What is done to a database before the power goes.

A `Workload` is a script of verbs of a `Session`; `tests.support.crash_explorer` looks at every state in which it may
leave the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import vego
from tests.support.crash_session import (
    DAMAGED,
    NAMES,
    NOTHING,
    PARTITION,
    PATH,
    WITH_PAST,
    Content,
    Run,
    Session,
)
from tests.support.simulated_system import ProcessKilled, Tree

RANDOM = "anything"  # the workload that follows from its seed


@dataclass(frozen=True, slots=True)
class Workload:
    """A script; `prepare` is done before, and all it wrote is durable. `damage` names what is damaged then."""

    name: str
    perform: Callable[[Session], None]
    prepare: Callable[[Session], None] | None = None
    damage: str = ""  # the newest file of this directory of the collection "c"
    options: dict[str, int] = field(default_factory=dict)

    def prepared(self, seed: object) -> tuple[Tree, frozenset[Content]]:
        """The disk on which it begins, and what may be found there."""
        if self.prepare is None:
            return Tree(), frozenset([NOTHING])
        session = Session(Tree(), f"prepare {seed}", frozenset([NOTHING]), **self.options)
        with session.installed():
            self.prepare(session)
            tree = session.system.tree()
        legal = frozenset([session.content])
        return (damaged(tree, self.damage), legal | {DAMAGED}) if self.damage else (tree, legal)

    def run(self, seed: object, kill_at: int | None = None, fail_at: int | None = None) -> Run:
        """Perform it on a new machine.

        With `kill_at` the process dies there, with `fail_at` the next sync of a file fails and the process stops at the
        first error; another process goes on.
        """
        tree, legal = self.prepared(seed)
        session = Session(tree, seed, legal, **self.options)
        session.system.kill_at, session.system.fail_at = kill_at, fail_at
        with session.installed():
            try:
                self.perform(session)
            except (ProcessKilled, vego.StorageError):
                if kill_at is None and fail_at is None:
                    raise
                session.kill()
                session.open(damage_is_legal=bool(self.damage))
                session.write_again()
        return session.run()


def damaged(tree: Tree, directory: str) -> Tree:
    """`tree` with a bit flipped in the newest file of a directory of the collection "c"."""
    names = tree.names[tree.inode_of(f"{PATH}/collections/c/{directory}")]
    inode = max(names.values())
    data = bytearray(tree.contents[inode])
    data[len(data) // 2] ^= 4
    return Tree(tree.names, tree.contents | {inode: bytes(data)})


def _few(session: Session) -> None:
    session.open()
    session.create("c")
    session.put("c", "k0", "k1", "k2")
    session.put("c", "k3")
    session.close()


def _create(session: Session) -> None:
    session.open()
    session.create("c")
    session.put("c", "k0")
    session.put("c", "k1", "k2")


def _log(session: Session) -> None:
    session.open()
    session.put("c", "k4")
    session.put("c", "k5", "k6")
    session.put("c", "k0")
    session.delete("c", "k1")
    session.delete("c", "k2", "k4")
    session.put("c", "k1", "k6")
    session.put("c", *NAMES[:5])
    session.put("c", *NAMES[5:])  # over a sector's end, behind its header


def _flush(session: Session) -> None:
    session.open()
    session.put("c", "k4")
    session.flush("c")
    session.put("c", "k0")
    session.delete("c", "k1", "k4")
    session.flush("c")
    session.put("c", "k1", "k2")
    session.close()


def _segments(session: Session) -> None:
    session.open()
    session.put("c", *NAMES[2:8])
    session.put("c", "k3")
    session.put("c", *NAMES[:7])
    session.delete("c", "k0")
    session.flush("c")
    session.close()


def _index(session: Session) -> None:
    session.open()
    session.build_index("c")
    session.put("c", "k4", "k0")
    session.build_index("c")
    session.put("c", "k5")
    session.close()


def _disk_index(session: Session) -> None:
    session.open()
    session.create("d", index="disk")
    session.put("d", *NAMES[:5])
    session.build_index("d")
    session.put("d", "k5", "k0")
    session.delete("d", "k1")
    session.build_index("d")
    session.compact("d")
    session.close()


def _two(session: Session) -> None:
    session.open()
    for collection in ("a", "b"):
        session.create(collection)
        session.put(collection, "k0", "k1")
        session.flush(collection)
        session.put(collection, "k2")
    session.close()


def _drop(session: Session) -> None:
    session.open()
    session.drop("a")
    session.create("a")
    session.put("a", "k3")
    session.drop("b")
    session.drop("a")


def _restarts(session: Session) -> None:
    session.open()
    session.put("c", "k4")
    session.close()
    for number in range(5, 8):
        session.open()
        session.put("c", f"k{number}", "k0")
        session.kill()
    session.open()
    session.flush("c")
    session.put("c", "k1")
    session.kill()
    session.open()
    session.delete("c", "k2")


def _segments_with_deletes(session: Session) -> None:
    """Three segments with dead rows in each, and a graph over them."""
    session.open()
    session.create("c")
    session.put("c", "k0", "k1", "k2", "k3")
    session.flush("c")
    session.put("c", "k1", "k4", "k5")
    session.flush("c")
    session.put("c", "k6", "k2", "k7")
    session.delete("c", "k4")
    session.build_index("c")
    session.close()


def _compact(session: Session) -> None:
    session.open()
    session.compact("c", lambda: session.delete("c", "k0", "k6"))
    session.put("c", "k9", "k0")
    session.compact("c", lambda: session.put("c", "k5"))


def _tag(session: Session) -> None:
    session.open()
    session.tag("c", "first")
    session.put("c", "k4", "k0")
    session.tag("c", "second")
    session.delete("c", "k1")
    session.tag("c", "first")
    session.untag("c", "second")
    session.close()


def _restore(session: Session) -> None:
    session.open()
    session.tag("c", "then")
    session.put("c", "k4", "k0")
    session.restore("c", "then")
    session.put("c", "k8")
    session.close()


def _vacuum(session: Session) -> None:
    session.open()
    session.tag("c", "then")
    session.compact("c")
    session.put("c", "k8")
    session.vacuum("c")
    session.untag("c", "then")


def _parts(session: Session) -> None:
    """Segments of two partitions, a graph over them, and a buffer with more."""
    session.open()
    session.create("c", partition_by=PARTITION)
    session.put("c", *NAMES[:6], parts=("a", "b"))
    session.build_index("c")
    session.put("c", "k6", "k7", parts=("b", 1))
    session.close()


def _partitions(session: Session) -> None:
    session.open()
    session.drop_partition("c", "b", "k1", "k3", "k5", "k6")
    session.put("c", *NAMES[:6], parts=("x", "y"))


def _partitions_moved(session: Session) -> None:
    """Slots change places: a flush sorts the buffer, a compaction merges what does not lie together."""
    session.open()
    session.put("c", "k0", "k8", "k1", parts=("b", "a"))
    session.flush("c")
    session.compact("c", lambda: session.drop_partition("c", "a", "k2", "k4", "k8"))
    session.close()


def _versions(session: Session) -> None:
    _few(session)
    session.open()
    session.flush("c")
    session.put("c", "k0", "k4")
    session.build_index("c")
    session.put("c", "k5")
    session.delete("c", "k1")
    session.close()


def _branch(session: Session) -> None:
    session.open()
    session.put("c", "k4")
    session.branch("c", "d")
    session.put("d", "k5", "k0")
    session.delete("c", "k1")
    session.compact("d")
    session.drop("c")


def _past(session: Session) -> None:
    """Every moment since the beginning can be gone back to."""
    session.open()
    session.create(WITH_PAST)
    session.put(WITH_PAST, "k0", "k1")
    session.put(WITH_PAST, "k0")
    session.flush(WITH_PAST)
    session.delete(WITH_PAST, "k1")
    session.kill()
    session.open()
    session.put(WITH_PAST, "k2")
    session.put(WITH_PAST, *NAMES[2:9])
    session.put(WITH_PAST, "k1")
    session.compact(WITH_PAST)
    session.put(WITH_PAST, "k4")
    session.close()
    session.open()
    session.delete(WITH_PAST, "k2", "k4")
    session.flush(WITH_PAST)


def _repair(session: Session) -> None:
    (after,) = session.legal - {DAMAGED}
    session.repair(after)
    session.open()
    session.put("c", "k6")


def _anything(session: Session) -> None:
    """Verbs as the seed has it."""
    rng = session.random
    session.open()
    for _ in range(rng.randint(4, 9)):
        existing = sorted(session.collections)
        collection = rng.choice(["c", "c", "c", "d"])
        if collection not in existing:
            session.create(collection)
            continue
        names = rng.sample(NAMES, rng.choice([1, 1, 2, 3, 4, 7]))
        match rng.choices(
            ["put", "delete", "flush", "index", "drop", "close", "kill"], [40, 12, 12, 5, 3, 8, 10]
        ):
            case ["put"]:
                session.put(collection, *names)
            case ["delete"]:
                session.delete(collection, *names)
            case ["flush"]:
                session.flush(collection)
            case ["index"]:
                session.build_index(collection)
            case ["drop"]:
                session.drop(collection)
            case ["close"]:
                session.close()
                session.open()
            case _:
                session.kill()
                session.open()


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("create", _create),
        Workload("log", _log, _few),
        Workload("flush", _flush, _few),
        Workload("segments", _segments, _few),
        Workload("index", _index, _few),
        Workload("disk index", _disk_index),
        Workload("drop", _drop, _two),
        Workload("restarts", _restarts, _few),
        Workload("compact", _compact, _segments_with_deletes),
        Workload("tag", _tag, _few),
        Workload("restore", _restore, _few),
        Workload("vacuum", _vacuum, _segments_with_deletes),
        Workload("branch", _branch, _few),
        Workload("past", _past, options={"retain_versions": 1_000}),
        Workload("partitions", _partitions, _parts),
        Workload("partitions moved", _partitions_moved, _parts),
        Workload("repair manifest", _repair, _versions, "manifests"),
        Workload("repair index", _repair, _versions, "index"),
        Workload(RANDOM, _anything, options={"flush_bytes": 1_000}),
    )
}
