"""Many reads at once, and reads before they are asked for.

`read_many` turns the extents of many blocks into few requests. A `Prefetcher` watches which blocks of a column
are read, and tells the source what comes next when it sees them go by in order or with a constant stride.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from lance_fmt.errors import CorruptFileError, InvalidDataError
from lance_fmt.source import BytesSource, FileSource, MmapSource, ReadAt, read_array, read_exactly

Extent = tuple[int, int]  # offset, length

GAP = 64 * 1024
LOCAL_GAP = 8 * 1024  # a read of the page cache costs less than copying more than this
LARGEST = 8 << 20
_FILLED_DIRECTLY = 1 << 20  # from this size on, an array filled in place beats bytes made by the system call
_AHEAD = 8 << 20
_STRIDES = 2  # equal distances before the third is expected
_STREAMS = 64
_OLD = 512  # notes after which a column that was not read is forgotten
_WINDOWS = 64  # at most asked for at once


def read_many(
    source: ReadAt,
    extents: Sequence[Extent],
    *,
    gap: int | None = None,
    largest: int = LARGEST,
    what: str = "blocks",
) -> list[memoryview]:
    """The bytes of every extent (offset, length), in the order of `extents`.

    Extents may overlap and come in any order. Those at most `gap` bytes apart (by default 8 KiB in a local
    file, else 64 KiB) share a request of up to `largest` bytes; one extent is never split. A source with a
    `read_many` of its own (`UringSource`) gets all requests at once. Raises CorruptFileError where the
    source ends before an extent does, InvalidDataError for negative numbers.
    """
    if any(offset < 0 or length < 0 for offset, length in extents):
        raise InvalidDataError("offsets and lengths of extents are not negative")
    if len(extents) == 1 or isinstance(source, BytesSource | MmapSource):
        return [_read(source, offset, length, what) for offset, length in extents]
    if gap is None:
        gap = LOCAL_GAP if isinstance(source, FileSource) else GAP
    order = sorted(range(len(extents)), key=extents.__getitem__)
    requests, place = _merge([extents[i] for i in order], gap, largest)
    many = getattr(source, "read_many", None)
    answers = many(requests) if many else [_read(source, *request, what) for request in requests]
    for (offset, length), answer in zip(requests, answers, strict=True):
        if len(answer) != length:
            found = f"{length} bytes expected, {len(answer)} there"
            raise CorruptFileError(source.name, offset, f"{what}: {found}")
    out = [memoryview(b"")] * len(extents)
    for i, number in zip(order, place, strict=True):
        offset, length = extents[i]
        start = offset - requests[number][0]
        out[i] = answers[number][start : start + length]
    return out


def _read(source: ReadAt, offset: int, length: int, what: str) -> memoryview:
    if length >= _FILLED_DIRECTLY:
        return read_array(source, offset, length, what).data
    return read_exactly(source, offset, length, what)


def _merge(extents: list[Extent], gap: int, largest: int) -> tuple[list[Extent], list[int]]:
    """Requests that cover `extents` (rising), and the number of the one each extent is in."""
    requests: list[Extent] = []
    place = []
    start = end = 0
    for offset, length in extents:
        stop = max(end, offset + length)
        if requests and (stop == end or (offset - end <= gap and stop - start <= largest)):
            end = stop
            requests[-1] = start, end - start
        else:
            start, end = offset, offset + length
            requests.append((start, length))
        place.append(len(requests) - 1)
    return requests, place


@dataclass(slots=True)
class _Stream:
    """How one column has been read so far."""

    first: int
    last: int
    noted: int  # when, in notes
    stride: int = 0
    in_order: bool = False
    fits: int = 0  # reads in a row that continued the pattern
    edge: int = 0  # first block of the next window to ask for
    asked: deque[tuple[int, int]] = field(default_factory=deque)  # first block and bytes of windows to come


class Prefetcher:
    """Tells a source what will be read next; made for one open file, used by all its threads.

    Call `note` after (or just before) every read. From the second read of neighbouring blocks, or the third
    at a constant distance, it hands the extents of the following ones to the source's `will_need`: a hint to
    the system for files and maps, a fetch in the background for a `CachedSource`, nothing for sources
    without. Files and maps read in order are left to the system, which reads ahead by itself, and in
    longer pieces. At most `ahead` bytes are asked for that have not been read yet, shared by the columns
    that are being read. A wrong guess costs reads nobody uses, never an error.

    `issued` counts the bytes asked for, `useful` those of them that were read later.
    """

    def __init__(self, source: ReadAt, ahead: int = _AHEAD) -> None:
        self.issued = 0
        self.useful = 0
        self._ahead = ahead
        self._system_reads_ahead = isinstance(source, FileSource | MmapSource)
        self._hint: Callable[[int, int], None] | None = getattr(source, "will_need", None)
        self._streams: OrderedDict[Hashable, _Stream] = OrderedDict()
        self._pending = 0
        self._notes = 0
        self._lock = threading.RLock()

    def note(
        self, stream: Hashable, first: int, last: int, locate: Callable[[int, int], Sequence[Extent]]
    ) -> None:
        """Blocks `first..last` of `stream` (a column's name) are being read.

        `locate(first, last)` gives the extents of later blocks, none behind the end of the column; it is
        called only once a pattern is seen. Never raises: the read itself will say what is wrong.
        """
        if self._hint is None:
            return
        with self._lock:
            self._notes += 1
            known = self._streams.get(stream)
            if known is None:
                self._streams[stream] = _Stream(first, last, self._notes)
                self._forget_old()
                return
            self._streams.move_to_end(stream)
            known.noted = self._notes
            if (first, last) != (known.first, known.last):  # else one block read in several parts
                self._follow(known, first, last)
                try:
                    self._ask(known, locate)
                except Exception:
                    self._drop(known)

    def _forget_old(self) -> None:
        """Columns nobody reads any more must not hold bytes of the others."""
        while self._streams:
            oldest = next(iter(self._streams))
            if len(self._streams) <= _STREAMS and self._notes - self._streams[oldest].noted < _OLD:
                return
            self._drop(self._streams.pop(oldest))

    def _follow(self, stream: _Stream, first: int, last: int) -> None:
        """Bring the pattern up to date with a read of blocks `first..last`."""
        # Batches that end inside a block read it twice, and differ in width by one: they are in order too.
        in_order = stream.last <= first <= stream.last + 1
        stride = first - stream.first
        if in_order != stream.in_order or not (in_order or stride == stream.stride):
            self._drop(stream)
        following = last + 1 if in_order else first + stride
        ahead = stream.edge - following if stride >= 0 else following - stream.edge
        if not stream.fits or ahead < 0:
            stream.edge = following
        stream.fits += 1
        stream.in_order, stream.stride, stream.first, stream.last = in_order, stride, first, last
        while stream.asked and (stream.asked[0][0] <= last if stride >= 0 else stream.asked[0][0] >= first):
            size = stream.asked.popleft()[1]
            self._pending -= size
            self.useful += size

    def _drop(self, stream: _Stream) -> None:
        """Its pattern is broken: count nothing of it as still to come."""
        self._pending -= sum(size for _, size in stream.asked)
        stream.asked.clear()
        stream.fits = 0

    def _ask(self, stream: _Stream, locate: Callable[[int, int], Sequence[Extent]]) -> None:
        """Ask for the next windows, once half of those asked for have been read."""
        assert self._hint is not None
        width = stream.last - stream.first + 1
        step = width if stream.in_order else stream.stride
        limit = self._ahead // len(self._streams)
        held = sum(size for _, size in stream.asked)
        if not step or stream.fits < (1 if stream.in_order else _STRIDES) or 2 * held > limit:
            return
        if stream.in_order and self._system_reads_ahead:
            return
        coming: list[Extent] = []
        for _ in range(_WINDOWS):
            extents = locate(stream.edge, stream.edge + width - 1) if stream.edge >= 0 else []
            size = sum(length for _, length in extents)
            room = min(limit - held, self._ahead - self._pending)
            if not size or room <= 0 or (size > room and held):
                break
            extents = _cut(extents, room)
            size = min(size, room)
            coming.extend(extents)
            stream.asked.append((stream.edge, size))
            stream.edge += step
            held += size
            self._pending += size
        merged = _merge(sorted(coming), 0, LARGEST)[0]
        for extent in merged if stream.stride >= 0 else reversed(merged):
            self._hint(*extent)
            self.issued += extent[1]


def _cut(extents: Sequence[Extent], room: int) -> list[Extent]:
    """The first `room` bytes of `extents`."""
    parts = []
    for offset, length in extents:
        parts.append((offset, min(length, room)))
        room -= parts[-1][1]
    return [part for part in parts if part[1]]
