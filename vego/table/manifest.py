"""One version of a collection: which files make it up, and from where on the log adds to them.

A manifest is immutable and its file is its only truth: `to_bytes` is canonical, so equal manifests are equal
bytes, and `checksum` (CRC32C of all of them) is what the next version names as its parent. Everything that
comes from a file is validated; what does not hold is a CorruptionError, whatever the bytes.

file   = magic format_version flags body_length body_crc header_crc | body body   = canonical JSON (sorted
keys, no spaces), UTF-8
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, NoReturn, TypeVar

from lance_fmt import CorruptFileError, crc32c
from vego import names
from vego.errors import CorruptionError, InvalidArgumentError, NotFoundError
from vego.options import DTYPES, MAX_DIMENSION
from vego.store import Store
from vego.table.envelope import HEADER_SIZE, opened, parsed, sealed
from vego.table.partition import Partition
from vego.vector_type import Element, VectorType

FORMAT_VERSION = 4  # 2: tags; 3: partitions; 4: metrics and types of vectors that versions before do not know
MAGIC = b"VMAN"

_Entry = TypeVar("_Entry")

_MAX_TEXT = 4096
_MAX_COUNT = 2**63 - 1
_MAX_CRC = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletesEntry:
    """The file that names the `count` deleted rows of a segment."""

    file: str
    count: int
    length: int
    crc: int

    def __post_init__(self) -> None:
        _require(isinstance(self.file, str) and names.is_deletes_file(self.file), "deletes file", self.file)
        _integer("deletes count", self.count, 1)
        _integer("deletes length", self.length)
        _integer("deletes crc", self.crc, high=_MAX_CRC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """A file of `rows` rows; `crc` is its footer's. `partition` is that of all its rows where there are any.

    `dropped` says that the partition was dropped: there is no file, no row is alive, and the slots are still there.
    """

    file: str
    rows: int
    length: int
    crc: int
    deletes: DeletesEntry | None = None
    partition: Partition | None = None
    dropped: bool = False

    def __post_init__(self) -> None:
        _require(isinstance(self.file, str) and names.is_segment_file(self.file), "segment file", self.file)
        _integer("segment rows", self.rows, 1)
        _integer("segment length", self.length)
        _integer("segment crc", self.crc, high=_MAX_CRC)
        if self.deletes is not None and self.deletes.count > self.rows:
            _refuse("deletes count", f"at most {self.rows} rows", self.deletes.count)
        if type(self.dropped) is not bool:
            _refuse("segment dropped", "true or nothing", self.dropped)
        if self.dropped and (self.partition is None or self.deletes is not None or self.length or self.crc):
            _refuse("segment dropped", "a partition, no length, crc or deletes", self)

    @property
    def dead(self) -> int:
        """Rows that are deleted."""
        if self.dropped:
            return self.rows
        return 0 if self.deletes is None else self.deletes.count

    def without_rows(self) -> SegmentEntry:
        """The entry after its partition was dropped."""
        return replace(self, length=0, crc=0, deletes=None, dropped=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """An index over the first `rows` slots."""

    file: str
    rows: int
    length: int
    crc: int
    kind: str

    def __post_init__(self) -> None:
        _require(isinstance(self.file, str) and names.is_segment_file(self.file), "index file", self.file)
        _integer("index rows", self.rows, 1)
        _integer("index length", self.length)
        _integer("index crc", self.crc, high=_MAX_CRC)
        _text("index kind", self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The version before; `crc` is the CRC32C of its whole file."""

    version: int
    crc: int

    def __post_init__(self) -> None:
        _integer("parent version", self.version, 1)
        _integer("parent crc", self.crc, high=_MAX_CRC)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One version of a collection. Slots are given out in the order of `segments`.

    Operations up to `flushed_lsn` are in the segments; later ones are in log segments from number `first_wal`
    on. `options` is a JSON object, `tags` names versions; neither must be changed. Raises InvalidArgumentError for
    what cannot be.
    """

    version: int
    collection_id: str
    commit_id: str
    created_us: int
    dimension: int
    metric: str
    options: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[SegmentEntry, ...] = ()
    index: IndexEntry | None = None
    flushed_lsn: int = 0
    first_wal: int = 1
    parent: Parent | None = None
    writer: str = ""
    summary: str = ""
    tags: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _integer("version", self.version, 1)
        _id("collection_id", self.collection_id)
        _id("commit_id", self.commit_id)
        _integer("created_us", self.created_us)
        _integer("dimension", self.dimension, 1, MAX_DIMENSION)
        _text("metric", self.metric)
        if not isinstance(self.options, Mapping):
            _refuse("options", "a JSON object", self.options)
        if self.options.get("dtype", "float32") not in DTYPES:
            _refuse("options dtype", f"one of {', '.join(DTYPES)}", self.options["dtype"])
        self.vectors.checked()
        _integer("flushed_lsn", self.flushed_lsn)
        _integer("first_wal", self.first_wal, 1)
        _text("writer", self.writer, empty=True)
        _text("summary", self.summary, empty=True)
        if not isinstance(self.tags, Mapping):
            _refuse("tags", "a JSON object", self.tags)
        for name, version in self.tags.items():
            names.check_tag(name)
            _integer(f"tag {name!r}", version, 1, self.version)
        partitioned = self.partition_by is not None
        for entry in self.segments:
            if (entry.partition is not None) != partitioned:
                expected = f"that of every segment as partition_by={self.partition_by!r} has it"
                _refuse("partition", expected, entry)
        files = [entry.file for entry in self.segments] + ([self.index.file] if self.index else [])
        if len(set(files)) != len(files):
            _refuse("files", "each only once", files)
        if self.index is not None and self.index.rows > self.rows:
            _refuse("index rows", f"at most the {self.rows} rows of the segments", self.index.rows)
        if self.parent is not None and self.parent.version != self.version - 1:
            _refuse("parent version", str(self.version - 1), self.parent.version)

    @property
    def rows(self) -> int:
        """Rows of all segments, deleted ones included."""
        return sum(entry.rows for entry in self.segments)

    @property
    def live_rows(self) -> int:
        """Rows of all segments that are not deleted."""
        return self.rows - sum(entry.dead for entry in self.segments)

    @property
    def format_version(self) -> int:
        """The oldest format version that can say this."""
        if self.metric not in ("l2", "cosine", "ip") or self.vectors.element is not Element.FLOAT32:
            return 4
        if self.partition_by is not None:
            return 3
        return 2 if self.tags else 1

    @cached_property
    def vectors(self) -> VectorType:
        """What the vectors are made of."""
        return VectorType(Element(self.options.get("dtype", "float32")), self.dimension)

    @property
    def partition_by(self) -> str | None:
        """The metadata key that the collection is partitioned by; None where it is not."""
        key: str | None = self.options.get("partition_by")
        return key

    @cached_property
    def checksum(self) -> int:
        """CRC32C of the file."""
        return crc32c(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The file; InvalidArgumentError for options that are not JSON."""
        body = _plain(self) | {"options": dict(self.options), "tags": dict(self.tags)}
        if not self.tags:
            del body["tags"]
        for entry in body["segments"]:
            if entry["partition"] is None:
                del entry["partition"]
            if not entry["dropped"]:
                del entry["dropped"]
        return sealed(MAGIC, self.format_version, body)

    @classmethod
    def from_bytes(cls, data: bytes, path: str, way_out: str = "") -> Manifest:
        """Inverse of `to_bytes`; CorruptionError or NewerVersionError for anything else."""
        try:
            body = opened(data, path, MAGIC, FORMAT_VERSION, "manifest")
        except CorruptFileError as error:
            raise CorruptionError(error.path, error.offset, error.what, way_out) from None
        try:
            manifest = _from_json(body)
            canonical = manifest.to_bytes() == data
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            what = f"the contents make no sense, though their checksum is right: {error}"
            raise CorruptionError(path, HEADER_SIZE, what, way_out) from None
        if not canonical:
            raise CorruptionError(path, HEADER_SIZE, "not in canonical form", way_out)
        return manifest


def versions(store: Store, collection: str) -> list[int]:
    """Versions that have a manifest, oldest first; none if the collection does not exist."""
    try:
        files = store.list(names.manifest_directory(collection))
    except NotFoundError:
        return []
    return [version for file in files if (version := names.parse_manifest(file)) is not None]


def newest_version(store: Store, collection: str) -> int:
    """The newest version that has a manifest, 0 if there is none; faster than `versions` where there are many."""
    try:
        files = store.list(names.manifest_directory(collection))
    except NotFoundError:
        return 0
    return next(
        (version for file in reversed(files) if (version := names.parse_manifest(file)) is not None), 0
    )


def load_version(store: Store, collection: str, version: int) -> Manifest:
    """The manifest of one version. Raises NotFoundError, CorruptionError, NewerVersionError."""
    path = names.manifest_path(collection, version)
    full = f"{store.name}/{path}"
    way_out = _way_out(store, collection, version)
    manifest = Manifest.from_bytes(store.read(path), full, way_out)
    if manifest.version != version:
        raise CorruptionError(
            full, HEADER_SIZE, f"this is the manifest of version {manifest.version}", way_out
        )
    return manifest


@dataclass(frozen=True, slots=True)
class Outline:
    """What a list of versions says of one: its number, when it was made, its live rows, and why."""

    version: int
    created_us: int
    live_rows: int
    summary: str


def load_outline(store: Store, collection: str, version: int) -> Outline:
    """The outline of one version, after its checksums but without what else `load_version` checks.

    Raises NotFoundError, CorruptionError, NewerVersionError.
    """
    path = names.manifest_path(collection, version)
    full, way_out = f"{store.name}/{path}", _way_out(store, collection, version)
    try:
        fields = parsed(opened(store.read(path), full, MAGIC, FORMAT_VERSION, "manifest"))
        rows = sum(e["rows"] - (e["deletes"] or {"count": 0})["count"] for e in fields["segments"])
        outline = Outline(fields["version"], fields["created_us"], rows, fields["summary"])
        _integer("version", outline.version, version, version)
        _integer("created_us", outline.created_us)
        _integer("live rows", rows)
        _text("summary", outline.summary, empty=True)
    except CorruptFileError as error:
        raise CorruptionError(error.path, error.offset, error.what, way_out) from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        what = f"the contents make no sense, though their checksum is right: {error}"
        raise CorruptionError(full, HEADER_SIZE, what, way_out) from None
    return outline


def load_latest(store: Store, collection: str) -> Manifest | None:
    """The newest manifest, checked against the one before it where that is still there.

    None if the collection does not exist. A newest manifest that fails its checks is damage, never the
    remains of a crash (see `LocalStore.put_if_absent`): CorruptionError names the command that goes back by
    one version.
    """
    while True:
        version = newest_version(store, collection)
        if not version:
            return None
        try:
            return _load_checked(store, collection, version)
        except NotFoundError:
            if newest_version(store, collection) == version:
                raise  # else another process has committed since, and collected what was the newest


class NamedFile(NamedTuple):
    """A file as a manifest names it: path, bytes, footer CRC, rows."""

    path: str
    length: int
    crc: int
    rows: int


def named_files(collection: str, manifest: Manifest) -> Iterator[NamedFile]:
    """Every file that a manifest names."""
    for entry in manifest.segments:
        if entry.dropped:
            continue
        yield NamedFile(names.data_path(collection, entry.file), entry.length, entry.crc, entry.rows)
        if (deletes := entry.deletes) is not None:
            path = names.deletes_path(collection, deletes.file)
            yield NamedFile(path, deletes.length, deletes.crc, deletes.count)
    if (index := manifest.index) is not None:
        yield NamedFile(names.index_path(collection, index.file), index.length, index.crc, index.rows)


def files_of(collection: str, manifest: Manifest) -> list[str]:
    """Paths of the files that a manifest names."""
    return [file.path for file in named_files(collection, manifest)]


def _load_checked(store: Store, collection: str, version: int) -> Manifest:
    """A manifest, and that it descends from the one before it where that is still there."""
    manifest = load_version(store, collection, version)
    parent = manifest.parent
    if parent is None:
        return manifest
    try:
        before = store.read(names.manifest_path(collection, parent.version))
    except NotFoundError:
        return manifest
    if crc32c(before) != parent.crc:
        path = f"{store.name}/{names.manifest_path(collection, parent.version)}"
        what = f"version {version} was made from another version {parent.version} than the one found"
        command = f"vego repair {store.name} --collection {collection} --to-version {version}"
        raise CorruptionError(path, 0, what, f"`{command}` keeps the newer of the two")
    return manifest


def _way_out(store: Store, collection: str, version: int) -> str:
    if version == 1:
        return "Restore the collection from a backup"
    command = f"vego repair {store.name} --collection {collection} --to-version {version - 1}"
    return f"`{command}` opens the version before it"


def _plain(value: Any) -> Any:
    """What JSON can say of an entry and those inside it; unlike `asdict` it copies nothing else."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return value


def _from_json(body: bytes) -> Manifest:
    fields = parsed(body)
    fields["segments"] = tuple(
        SegmentEntry(
            **entry
            | {
                "deletes": _optional(DeletesEntry, entry["deletes"]),
                "partition": _optional(Partition, entry.get("partition")),
            }
        )
        for entry in fields["segments"]
    )
    fields["index"] = _optional(IndexEntry, fields["index"])
    fields["parent"] = _optional(Parent, fields["parent"])
    return Manifest(**fields)


def _optional(kind: Callable[..., _Entry], fields: dict[str, Any] | None) -> _Entry | None:
    return None if fields is None else kind(**fields)


def _refuse(what: str, expected: str, found: object) -> NoReturn:
    raise InvalidArgumentError(f"manifest: {what}: {expected} expected, found {str(found)[:200]!r}")


def _require(holds: bool, what: str, found: object) -> None:
    if not holds:
        _refuse(what, "32 hexadecimal digits and the extension", found)


def _integer(what: str, value: object, low: int = 0, high: int = _MAX_COUNT) -> None:
    if type(value) is not int or not low <= value <= high:
        _refuse(what, f"an integer from {low} to {high}", value)


def _id(what: str, value: object) -> None:
    if not isinstance(value, str) or not names.is_id(value):
        _refuse(what, "32 hexadecimal digits", value)


def _text(what: str, value: object, *, empty: bool = False) -> None:
    if not isinstance(value, str) or len(value) > _MAX_TEXT or not (value or empty):
        _refuse(what, f"text of at most {_MAX_TEXT} characters", value)
