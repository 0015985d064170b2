"""The versions of a collection that can still be opened, and how one is named: number, time or tag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vego import names
from vego.errors import CollectionNotFoundError, InvalidArgumentError, NotFoundError
from vego.store import Store
from vego.table.manifest import Manifest, Outline, load_latest, load_outline, load_version, versions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a collection: what was committed, when and why.

    documents: how many it holds. time: of the commit, in UTC; later versions have later times. tags: its names.
    """

    version: int
    time: datetime
    documents: int
    summary: str
    tags: tuple[str, ...]


def list_versions(store: Store, collection: str) -> list[Version]:
    """The versions that are kept, oldest first. Raises CorruptionError for a damaged manifest."""
    newest = newest_manifest(store, collection)
    named: dict[int, list[str]] = {}
    for tag, version in newest.tags.items():
        named.setdefault(version, []).append(tag)
    found = []
    for number in versions(store, collection):
        if number > newest.version:
            break
        try:
            outline = load_outline(store, collection, number)
        except NotFoundError:
            continue  # collected meanwhile
        tags = tuple(sorted(named.get(number, ())))
        found.append(Version(number, time_of(outline), outline.live_rows, outline.summary, tags))
    return found


def newest_manifest(store: Store, collection: str) -> Manifest:
    """The newest manifest. Raises CollectionNotFoundError, CorruptionError."""
    manifest = load_latest(store, collection)
    if manifest is None:
        raise CollectionNotFoundError(f"{store.name}: no collection {collection!r}")
    return manifest


def find_version(
    store: Store,
    collection: str,
    *,
    version: int | None = None,
    timestamp: datetime | str | None = None,
    tag: str | None = None,
) -> Manifest:
    """The manifest of the one version that is named; of a `timestamp`, the one that was the newest then.

    A timestamp without a time zone is UTC; text is ISO 8601. Raises InvalidArgumentError unless exactly one is
    given, NotFoundError naming what there is.
    """
    if sum(given is not None for given in (version, timestamp, tag)) != 1:
        raise InvalidArgumentError("name one version: by version=, timestamp= or tag=")
    if tag is not None:
        version = version_of_tag(newest_manifest(store, collection), collection, tag)
    if timestamp is not None:
        version = _at_time(store, collection, versions(store, collection), moment_of(timestamp))
    if type(version) is not int:
        raise InvalidArgumentError(f"version: an integer expected, found {version!r}")
    try:
        if 0 < version <= names.MAX_NUMBER:  # by its name: a list of thousands takes longer
            return load_version(store, collection, version)
    except NotFoundError:
        pass
    raise NotFoundError(
        f"collection {collection!r} has no version {version}; there are {_listed(versions(store, collection))}. The "
        "options retain_versions and retain_seconds, and tags, keep versions from being collected"
    )


def version_of_tag(newest: Manifest, collection: str, tag: str) -> int:
    """The version that a tag names; NotFoundError naming the tags that there are."""
    if not isinstance(tag, str) or tag not in newest.tags:
        listed = ", ".join(map(repr, sorted(newest.tags))) or "none"
        raise NotFoundError(f"collection {collection!r} has no tag {tag!r}; there are: {listed}")
    return newest.tags[tag]


def time_of(version: Manifest | Outline) -> datetime:
    """When a version was committed, in UTC; the last there is for a time that no calendar has."""
    return time_at(version.created_us)


def time_at(time_us: int) -> datetime:
    """A number of microseconds since 1970-01-01 as a moment in UTC; the last there is for what no calendar has."""
    return _EPOCH + timedelta(microseconds=min(time_us, _LAST_US))


def moment_of(timestamp: datetime | str) -> datetime:
    """A timestamp as given by a user; without a time zone it is UTC. Raises InvalidArgumentError."""
    try:
        found = datetime.fromisoformat(timestamp) if isinstance(timestamp, str) else timestamp
    except ValueError as error:
        raise InvalidArgumentError(f"timestamp {timestamp!r}: {error}; write 2026-11-21T15:30:00") from None
    if not isinstance(found, datetime):
        raise InvalidArgumentError(f"timestamp: a datetime or ISO 8601 text expected, found {timestamp!r}")
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def microseconds(moment: datetime) -> int:
    """A moment in microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def oldest_of_chain(there: Sequence[int]) -> int:
    """The first of those versions, oldest first, from which on none is missing up to the last."""
    first = there[-1]
    for version in reversed(there[:-1]):
        if version != first - 1:
            break
        first = version
    return first


def reachable_since(store: Store, collection: str) -> str:
    """Says from when on every moment can be gone back to, and what to set for more."""
    there = versions(store, collection)
    since = time_of(load_outline(store, collection, oldest_of_chain(there))).isoformat()
    return (
        f"every moment from {since} on can be reached. The options retain_seconds and retain_versions keep more of "
        "the past"
    )


def _at_time(store: Store, collection: str, there: Sequence[int], moment: datetime) -> int:
    """The newest version not after `moment`, by bisection: times grow with versions.

    NotFoundError where another was the newest then, but is not kept.
    """
    low, high = 0, len(there)
    while low < high:
        middle = (low + high) // 2
        if time_of(load_outline(store, collection, there[middle])) <= moment:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        known = reachable_since(store, collection) if there else "there is no version"
        raise NotFoundError(
            f"collection {collection!r} has no version as old as {moment.isoformat()}; {known}"
        )
    found = there[low - 1]
    if low < len(there) and there[low] != found + 1:
        time = time_of(load_outline(store, collection, found))
        if time < moment:
            raise NotFoundError(
                f"collection {collection!r}: version {found} of {time.isoformat()} was followed by others before "
                f"{moment.isoformat()} that are not kept; {reachable_since(store, collection)}"
            )
    return found


def _listed(there: Sequence[int]) -> str:
    if len(there) <= 20:
        return ", ".join(map(str, there)) or "none"
    return f"{len(there)} from {there[0]} to {there[-1]}"
