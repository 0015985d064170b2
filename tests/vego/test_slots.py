"""Slots against naive twins: the ids and where they are, what is live, vectors in several arrays of which some are
not checked yet, and the kernels that read them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import lance_fmt
from vego.errors import CorruptionError
from vego.index import HnswIndex, Metric, exact_search
from vego.table import ids as ids_module
from vego.table.ids import IdColumn, SlotMap, SlotTable, hashes_of
from vego.table.slots import Slots, SlotView
from vego.table.vectors import NOTHING_FROZEN, SETTLED, Chunk, Vectors, inverse_norms_of
from vego.vector_type import Element, VectorType

NAMES = [f"{'é' * (n % 3)}id{n}" for n in range(12)] + ["x", "\U0001f600", "a b"]
WIDTH = 3


def column(names: list[str]) -> IdColumn:
    values = ["before", *names]
    return IdColumn(
        len(names), lambda: lance_fmt.Column.from_pylist(values, lance_fmt.string()).slice(1, len(values))
    )


def array_of(values: Sequence[int]) -> NDArray[np.float32]:
    return np.array([[value + 1] * WIDTH for value in values], np.float32).reshape(-1, WIDTH)


class Model:
    """What slots are, in the plainest way."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.live: list[bool] = []
        self.values: list[int] = []  # what the vectors hold
        self.next = 0

    def put(self, names: list[str]) -> list[int]:
        """The slots that die."""
        replaced = [slot for slot in map(self.slot_of, names) if slot is not None]
        for slot in replaced:
            self.live[slot] = False
        self.names += names
        self.live += [True] * len(names)
        self.values += range(self.next, self.next + len(names))
        self.next += len(names)
        return replaced

    def slot_of(self, name: str) -> int | None:
        found = [slot for slot, other in enumerate(self.names) if other == name and self.live[slot]]
        return found[0] if found else None

    def check(self, view: SlotView) -> None:
        assert view.rows == len(self.names) == len(view.vectors) == len(view.ids)
        assert view.live.tolist() == self.live
        assert view.live_count == sum(self.live)
        every = np.arange(view.rows)
        assert view.ids.take(every) == self.names
        assert [view.is_live(slot) for slot in every] == self.live
        expected = array_of(self.values)
        assert np.array_equal(view.vectors.take(every[::-1]), expected[::-1])
        assert all(np.array_equal(view.vectors.row(slot), expected[slot]) for slot in every)
        norms = view.vectors.inverse_norms(every)
        assert norms.tobytes() == inverse_norms_of(expected).tobytes() if len(every) else not len(norms)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True)),
        st.tuples(st.just("segment"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=8, unique=True)),
        st.tuples(st.just("delete"), st.lists(st.sampled_from(NAMES), max_size=4, unique=True)),
        st.tuples(st.sampled_from(["sorted flush", "reordered", "hole"]), st.just([])),
        st.tuples(st.sampled_from(["flush", "reopen", "compact", "merge"]), st.just([])),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=300)
@given(STEPS, st.integers(1, 4), st.integers(0, 3))
def test_slots_are_what_a_list_of_rows_says(
    steps: list[tuple[str, list[str]]], recent: int, deaths: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids_module, "_LEAST_RECENT", recent)
        patch.setattr(ids_module, "_STEP", 2)
        patch.setattr("vego.table.live._MOST_DEATHS", deaths)
        run(steps)


class Life:
    """Slots and their model through the same steps, and readers that hold what there was before each."""

    def __init__(self) -> None:
        self.slots, self.model = Slots(VectorType(dimension=WIDTH)), Model()
        self.segments: list[tuple[list[Chunk], IdColumn]] = []
        self._seen: list[tuple[SlotView, list[str], list[bool]]] = []
        # Of slots that others took the place of.
        self._maps: list[tuple[Slots, SlotMap, dict[str, int | None]]] = []

    def step(self, step: str, names: list[str]) -> None:
        model, coming = self.model, range(self.model.next, self.model.next + len(names))
        match step:
            case "put":
                self.slots.append(names, array_of(coming))
                self.slots.kill(model.put(names))
            case "segment":
                self._flush()
                self.segments.append(content(names, coming))
                self.slots.append_written(names, *self.segments[-1])
                self.slots.kill(model.put(names))
            case "delete":
                found = [slot for slot in map(model.slot_of, names) if slot is not None]
                for slot in found:
                    model.live[slot] = False
                self.slots.kill(found)
            case "flush":
                self._flush()
            case "merge":  # one segment in place of all, slots stay
                self._flush()
                self.segments = [content(model.names, model.values)] if model.names else []
                self.slots = self.slots.rewritten(self.segments)
            case "compact" | "reordered":  # the same without the dead, or with every other slot first
                self._compact(every_other_first=step == "reordered")
            case "sorted flush" if self.slots.buffered()[0]:
                self._sorted_flush()
            case "hole" if self.segments:  # all rows of the first segment die, however many
                self._flush()
                gone = np.flatnonzero(model.live[: self.segments[0][1].rows])
                for slot in gone:
                    model.live[slot] = False
                self.slots.kill_many(gone)
            case "reopen":
                self._reopen()

    def check(self) -> None:
        for view, there, live in self._seen:  # what a reader holds does not change
            assert view.live.tolist() == live
            assert view.ids.take(range(view.rows)) == there
        slots, model = self.slots, self.model
        model.check(slots.view())
        assert {name: slots.slot_of.get(name) for name in NAMES} == {n: model.slot_of(n) for n in NAMES}
        for old, slot_of, there_then in self._maps:
            assert old is not slots and {name: slot_of.get(name) for name in NAMES} == there_then
        self._seen.append((slots.view(), list(model.names), list(model.live)))

    def _flush(self) -> None:
        names, vectors = self.slots.buffered()
        if names:
            self.segments.append((chunks(vectors.copy()), column(names)))
            assert self.slots.freeze([self.segments[-1]]) is self.slots

    def _compact(self, *, every_other_first: bool) -> None:
        self._flush()
        self._left_behind()
        order = np.flatnonzero(self.model.live)
        if every_other_first:
            order = np.concatenate([order[::2], order[1::2]])
        self._renumber(order.tolist())
        self.segments = [content(self.model.names, self.model.values)] if len(order) else []
        self.slots = self.slots.rewritten(self.segments, order)

    def _sorted_flush(self) -> None:
        """As two segments, each with every other row."""
        self._left_behind()
        model, count = self.model, len(self.slots.buffered()[0])
        first = len(model.names) - count
        order = np.concatenate([np.arange(0, count, 2), np.arange(1, count, 2)])
        self._renumber([*range(first), *(order + first).tolist()])
        cut = first + (count + 1) // 2
        both = [content(model.names[a:b], model.values[a:b]) for a, b in ((first, cut), (cut, None))]
        self.segments += both[: 1 + (count > 1)]
        self.slots = self.slots.freeze(both[: 1 + (count > 1)], order)

    def _reopen(self) -> None:
        self._flush()
        self.slots, at = Slots(VectorType(dimension=WIDTH)), 0
        for some, ids in self.segments:
            dead = ~np.array(self.model.live[at : at + ids.rows], np.bool_)
            self.slots.append_opened(some, ids, dead if dead.any() else None)
            at += ids.rows

    def _renumber(self, order: Sequence[int]) -> None:
        """The model with the slots `order`."""
        model = self.model
        model.names, model.values = [model.names[n] for n in order], [model.values[n] for n in order]
        model.live = [model.live[n] for n in order]

    def _left_behind(self) -> None:
        """Readers go on with the map of the slots there are now, and find what they did."""
        there = {name: self.model.slot_of(name) for name in NAMES}
        self._maps.append((self.slots, self.slots.slot_of, there))


def run(steps: list[tuple[str, list[str]]]) -> None:
    life = Life()
    for step, names in steps:
        life.step(step, names)
        life.check()


def content(names: Sequence[str], values: Sequence[int]) -> tuple[list[Chunk], IdColumn]:
    return chunks(array_of(values)), column(list(names))


def chunks(vectors: NDArray[np.float32], damaged: frozenset[int] = frozenset()) -> list[Chunk]:
    """The vectors as two mapped chunks of blocks of two rows, or fewer where they are few."""
    cut = len(vectors) // 4 * 2
    parts = [part for part in (vectors[:cut], vectors[cut:]) if len(part)]
    return [Chunk.mapped(part.copy(), 1, checker(damaged), with_norms=True) for part in parts]


def checker(damaged: frozenset[int]) -> Callable[[int, int], None]:
    def check(first: int, last: int) -> None:
        for block in range(first, last + 1):
            if block in damaged:
                raise CorruptionError("file", block, "damaged")

    return check


def test_slots_that_go_take_their_ids_along() -> None:
    slots = Slots(VectorType(dimension=1))
    names = [f"n{row}" for row in range(10)]
    slots.append_written(names, chunks(np.ones((10, 1), np.float32)), column(names))
    slots.kill([0, 3, 9])
    for made in (False, True):
        if made:
            assert slots.slot_of.get("n4") is not None  # the table of a map is made when it is first needed
        kept = slots.view().live
        left = [name for name, there in zip(names, kept, strict=True) if there]
        content = chunks(np.ones((7, 1), np.float32)), column(left)
        fewer = slots.rewritten([content], np.flatnonzero(kept))
        assert {name: fewer.slot_of.get(name) for name in names} == {
            name: left.index(name) if name in left else None for name in names
        }
        slots, names = fewer, left
        slots.kill([])


def test_ids_whose_hashes_are_equal_stay_apart() -> None:
    names = [f"n{row}" for row in range(200)]
    slots = Slots(VectorType(dimension=1))
    slots.append_opened(chunks(np.ones((200, 1), np.float32)), column(names))
    same = SlotTable(np.zeros(200, np.uint32), np.arange(200, dtype=np.uint32))
    assert same.twice(slots) is None
    wanted = hash("n77") & 0xFFFFFFFF
    all_alike = SlotTable(np.full(200, wanted, np.uint32), np.arange(200, dtype=np.uint32))
    assert all_alike.find("n77", slots) == 77
    slots.kill([77])
    assert all_alike.find("n77", slots) is None


def test_an_id_of_two_live_rows_is_damage() -> None:
    def opened(dead: list[bool] | None) -> Slots:
        slots = Slots(VectorType(dimension=1), place="db/c")
        for _ in range(2):
            slots.append_opened(chunks(np.ones((2, 1), np.float32)), column(["a", "b"]), None)
        if dead is not None:
            slots.kill(np.flatnonzero(dead).tolist())
        return slots

    with pytest.raises(CorruptionError, match="two rows: 'a'"):
        opened([False, True, False, False]).slot_of.get("b")
    assert opened([True, True, False, False]).slot_of.get("a") == 2
    slots = opened([True, True, False, False])
    assert slots.slot_of.get("a") == 2
    with pytest.raises(CorruptionError, match="two rows: 'b'"):  # one that comes after the map was made
        slots.append_opened(chunks(np.ones((1, 1), np.float32)), column(["b"]))


def test_a_table_has_every_slot() -> None:
    for count in (0, 1, 2, 3, 1000):
        names = [f"name {row}" for row in range(count)]
        slots = Slots(VectorType(dimension=1))
        if count:
            slots.append_opened(chunks(np.ones((count, 1), np.float32)), column(names))
        table = SlotTable(hashes_of(names), np.arange(count, dtype=np.uint32))
        assert [table.find(name, slots) for name in names] == list(range(count))
        assert table.find("other", slots) is None


@pytest.mark.parametrize("metric", list(Metric))
def test_kernels_see_the_same_in_one_array_and_in_many(metric: Metric) -> None:
    rng = np.random.default_rng(5)
    array = rng.standard_normal((700, 24)).astype(np.float32)
    norms = inverse_norms_of(array)
    queries = rng.standard_normal((9, 24)).astype(np.float32)
    dimension = 24
    if metric is Metric.HAMMING:
        array, queries = (rng.integers(0, 256, (rows, 24), np.uint8) for rows in (700, 9))
        dimension = 8 * 24
    index = HnswIndex(metric, dimension, m=4, ef_construction=30)
    index.extend(array, norms, 700, threads=1)
    rows = rng.permutation(700)[:150].astype(np.uint32)
    accept = np.zeros(700, np.bool_)
    accept[rows] = True

    def answers(of: Callable[[], Any]) -> list[NDArray[Any]]:
        """Each by vectors of its own, none of them settled yet."""
        with_norms = norms if metric is Metric.COSINE else None
        found = [
            exact_search(metric, of(), with_norms, queries, 10),
            exact_search(metric, of(), with_norms, queries, 10, start=100, stop=433),
            exact_search(metric, of(), with_norms, queries, 10, rows=rows),
            index.search_batch(of(), with_norms, queries, 10, 40, 20),
            index.search_batch(of(), with_norms, queries, 10, 40, 20, accept),
            index.scan_codes(of(), with_norms, queries[0], 10, 30, rows),
        ]
        return [part for pair in found for part in pair]

    expected = answers(lambda: array)
    for cuts in ([0, 700], [0, 1, 699, 700], [0, 64, 128, 500], [0]):
        for found, wanted in zip(
            answers(lambda cuts=cuts: cut(array, cuts, metric=metric)), expected, strict=True
        ):
            assert found.tobytes() == wanted.tobytes()
    other = HnswIndex(metric, dimension, m=4, ef_construction=30)
    other.extend(cut(array, [0, 300, 600], metric=metric), None, 700, threads=1)
    assert file_of(other) == file_of(index)


def file_of(index: HnswIndex) -> bytes:
    columns, metadata = index.to_columns()
    file = io.BytesIO()
    lance_fmt.write(file, columns, metadata=metadata)
    return file.getvalue()


def cut(
    array: NDArray[Any], cuts: list[int], damaged: frozenset[int] = frozenset(), metric: Metric = Metric.L2
) -> Vectors:
    """Mapped chunks that begin at `cuts`; what is behind the last is in memory."""
    parts = [
        Chunk.mapped(
            array[low:high].copy(), 3, checker(damaged if low == 0 else frozenset()), with_norms=True
        )
        for low, high in pairwise(cuts)
    ]
    tail = array[cuts[-1] :]
    element = Element.BIT if metric is Metric.HAMMING else Element.FLOAT32
    return Vectors(NOTHING_FROZEN.and_also(parts), tail, inverse_norms_of(tail), element)


def test_what_is_damaged_is_never_an_answer_and_the_rest_goes_on() -> None:
    rng = np.random.default_rng(6)
    array = rng.standard_normal((400, 8)).astype(np.float32)
    index = HnswIndex("cosine", 8, m=4, ef_construction=30)
    index.extend(array, inverse_norms_of(array), 400, threads=1)
    vectors = cut(array, [0, 400], frozenset([5]))  # rows 40 to 47
    for slot in (40, 47):
        with pytest.raises(CorruptionError):
            vectors.row(slot)
        with pytest.raises(CorruptionError):
            vectors.take(np.array([3, slot]))
    assert np.array_equal(vectors.row(39), array[39])
    assert np.array_equal(vectors.row(48), array[48])
    failed = 0
    for query in array:
        try:
            slots, _ = index.search(vectors, None, query, 5, 20, 10)
        except CorruptionError:
            failed += 1
        else:
            assert not ((slots >= 40) & (slots < 48)).any()
            wanted, _ = index.search(array, inverse_norms_of(array), query, 5, 20, 10)
            assert slots.tolist() == wanted.tolist()
    assert 8 <= failed < 400
    with pytest.raises(CorruptionError):
        exact_search(Metric.COSINE, vectors, None, array[:1], 5)
    with pytest.raises(CorruptionError):
        exact_search(Metric.COSINE, vectors, None, array[:1], 5, rows=np.array([1, 44], np.uint32))
    found, _ = exact_search(Metric.COSINE, vectors, None, array[:1], 5, start=48)
    assert (found >= 48).all()


@pytest.mark.parametrize("way", ["batch", "filtered", "accepted", "visited", "codes"])
def test_every_way_to_search_settles_what_it_reads(way: str) -> None:
    rng = np.random.default_rng(6)
    array = rng.standard_normal((600, 8)).astype(np.float32)
    norms = inverse_norms_of(array)
    index = HnswIndex("cosine", 8, m=4, ef_construction=30)
    index.extend(array, norms, 600, threads=1)
    accept = rng.random(600) < 0.9
    rows = np.flatnonzero(accept).astype(np.uint32)

    def asked(vectors: Any, norms: Any, query: Any) -> Any:
        if way == "batch":
            return index.search_batch(vectors, norms, query[None], 5, 20, 10)[0].tolist()
        if way == "filtered":
            return index.search(vectors, norms, query, 5, 10, 5, accept)[0].tolist()
        if way == "accepted":
            (slots, _), how, scored = index.search_accepted(vectors, norms, query, 5, 10, 5, accept)
            return slots.tolist(), how, scored
        if way == "visited":
            return index.visited(vectors, norms, query, 5, 20, 10)
        return index.scan_codes(vectors, norms, query, 5, 64, rows)[0].tolist()

    whole, broken = cut(array, [0, 200, 500]), cut(array, [0, 200, 500], frozenset([5]))  # rows 40 to 47
    failed = 0
    for query in array[::5]:
        wanted = asked(array, norms, query)
        assert asked(whole, None, query) == wanted
        try:
            assert asked(broken, None, query) == wanted
        except CorruptionError:
            failed += 1
    assert 2 <= failed < 120


@settings(deadline=None)
@given(st.lists(st.integers(0, 199), max_size=20), st.integers(0, 199), st.integers(0, 200), st.booleans())
@example([], 50, 120, True)
def test_many_ids_are_taken_together(others: list[int], start: int, stop: int, behind: bool) -> None:
    names = [f"{'é' * (n % 2)}n{n}" for n in range(200)]
    slots = Slots(VectorType(dimension=1))
    for low, high in ((0, 50), (50, 120)):
        slots.append_opened(chunks(np.ones((high - low, 1), np.float32)), column(names[low:high]))
    slots.append(names[120:], np.ones((80, 1), np.float32))
    wanted = [*range(start, stop), *others] if behind else [*others, *range(start, stop)]
    for given_slots in (wanted, wanted[::-1], np.array(wanted, np.int64)):
        assert slots.view().ids.take(given_slots) == [names[n] for n in given_slots]


def test_a_block_is_checked_once() -> None:
    seen: list[tuple[int, int]] = []
    array = np.ones((100, 2), np.float32)
    chunk = Chunk.mapped(array, 2, lambda first, last: seen.append((first, last)), with_norms=True)
    vectors = Vectors(NOTHING_FROZEN.and_also([chunk]), np.empty((0, 2), np.float32), np.empty(0, np.float32))
    for _ in range(2):
        vectors.row(9)
        vectors.take(np.array([8, 11, 0]))
    assert seen == [(2, 2), (0, 0)]
    for _ in range(2):
        vectors.settle_range(0, 100)
    blocks = [block for first, last in seen for block in range(first, last + 1)]
    assert sorted(blocks) == list(range(25))
    assert chunk.settled
    assert (chunk.states == SETTLED).all()


def test_pieces_are_all_rows_in_order() -> None:
    array = np.arange(200, dtype=np.float32).reshape(100, 2)
    for cuts in ([0], [0, 33, 66], [0, 100]):
        for start, stop in ((0, 100), (10, 90), (34, 35), (50, 50)):
            parts = list(cut(array, cuts).pieces(start, stop, 7))
            assert all(len(part) <= 7 for part in parts)
            assert np.array_equal(np.concatenate([array[:0], *parts]), array[start:stop])
