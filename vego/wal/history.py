"""The log of the past: batches that are in segments by now, but whose log segments are kept (`vego.table.garbage`)."""

from __future__ import annotations

from collections.abc import Iterator

from vego.errors import NotFoundError
from vego.store.base import Files
from vego.wal.log import segment_numbers
from vego.wal.reader import Batch, read_wal


def read_history(
    store: Files, collection: str, *, collection_id: str, first: int, after_lsn: int, upto_lsn: int
) -> Iterator[tuple[int, tuple[Batch, ...]]]:
    """The batches after `after_lsn` and up to `upto_lsn`, in order: log segment by log segment, with its number.

    No segment before `first` is looked at. It ends early where a batch is in none. A segment that was carried over
    repeats batches of others; those are the same, and each is given once. Raises CorruptionError for damage.
    """
    next_lsn = after_lsn + 1
    for number in segment_numbers(store, collection):
        if number < first or next_lsn > upto_lsn:
            continue
        try:
            contents = read_wal(store, collection, number, collection_id=collection_id)
        except NotFoundError:
            continue  # carried over by another process meanwhile, into a segment that is not in this list
        found = contents.batches
        if found and found[0].lsn <= next_lsn <= found[-1].lsn:
            start = next_lsn - found[0].lsn
            wanted = found[start : start + upto_lsn - next_lsn + 1]
            next_lsn += len(wanted)
            yield number, wanted
