"""The block cache: against a naive model, from many threads, and its counters."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.cache import BlockCache, CacheStats


class NaiveCache:
    """LRU as one writes it first: a list, oldest first. An entry moves once between two insertions."""

    def __init__(self, budget: int, relaxed: bool = True) -> None:
        self.budget, self.relaxed = budget, relaxed
        self.entries: list[tuple[int, object, int]] = []
        self.touched: set[int] = set()
        self.hits = self.misses = self.evictions = 0

    def get(self, key: int) -> object:
        for i, entry in enumerate(self.entries):
            if entry[0] == key:
                self.hits += 1
                if not (self.relaxed and key in self.touched):
                    self.entries.append(self.entries.pop(i))
                self.touched.add(key)
                return entry[1]
        self.misses += 1
        return None

    def put(self, key: int, value: object, cost: int) -> None:
        self.touched.clear()
        self.entries = [entry for entry in self.entries if entry[0] != key]
        if cost > self.budget:
            return
        while self.used + cost > self.budget:
            self.entries.pop(0)
            self.evictions += 1
        self.entries.append((key, value, cost))

    def grow(self, key: int, cost: int) -> None:
        for known, value, old in self.entries:
            if known == key and old != cost:
                return self.put(key, value, cost)
            if known == key:  # nothing to insert: it only becomes the youngest
                self.entries.append(self.entries.pop(self.entries.index((key, value, cost))))
                return None
        return None

    def drop(self, first: int, last: int) -> None:
        self.touched.clear()
        self.entries = [entry for entry in self.entries if not first <= entry[0] < last]

    @property
    def used(self) -> int:
        return sum(cost for _, _, cost in self.entries)


KEYS = st.integers(0, 12)
COSTS = st.integers(1, 110)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("put"), KEYS, st.integers(), COSTS),
        st.tuples(st.just("grow"), KEYS, COSTS),
        st.tuples(st.just("drop"), KEYS, KEYS),
    ),
    max_size=120,
)


@given(STEPS)
def test_it_does_what_the_naive_cache_does(steps: list[tuple[str, ...]]) -> None:
    cache, naive = BlockCache(100), NaiveCache(100)
    for name, *arguments in steps:
        assert getattr(cache, name)(*arguments) == getattr(naive, name)(*arguments)
        assert (cache.used, len(cache)) == (naive.used, len(naive.entries))
        assert cache.used <= 100
    assert cache.stats() == CacheStats(
        naive.hits, naive.misses, naive.evictions, len(naive.entries), naive.used, 100
    )


@given(STEPS)
def test_without_repeated_touches_the_order_is_exact(steps: list[tuple[str, ...]]) -> None:
    cache, exact, touched = BlockCache(100), NaiveCache(100, relaxed=False), set()
    for name, *arguments in steps:
        if name == "get" and arguments[0] in touched:
            continue
        touched = touched | {arguments[0]} if name == "get" else set()
        assert getattr(cache, name)(*arguments) == getattr(exact, name)(*arguments)


def test_what_was_touched_since_an_insertion_outlives_what_was_not() -> None:
    cache = BlockCache(40)
    for key in range(4):
        cache.put(key, key, 10)
    for key in (2, 0, 2, 2):
        cache.get(key)
    cache.put(4, 4, 20)
    assert [cache.get(key) for key in range(5)] == [0, None, 2, None, 4]


def test_an_entry_that_grows_pushes_others_out_but_not_itself() -> None:
    cache = BlockCache(100)
    for key in range(3):
        cache.put(key, str(key), 30)
    cache.grow(0, 80)
    assert [cache.get(key) for key in range(3)] == ["0", None, None]
    assert (cache.used, cache.evictions) == (80, 2)
    cache.grow(7, 10)
    assert (cache.used, len(cache)) == (80, 1)
    cache.grow(0, 101)
    assert (cache.get(0), cache.used, len(cache)) == (None, 0, 0)


@pytest.mark.parametrize("known", [False, True])
def test_an_entry_larger_than_the_budget_is_not_kept(known: bool) -> None:
    cache = BlockCache(100)
    cache.put(1, "one", 60)
    if known:
        cache.put(2, "old", 40)
    cache.put(2, "large", 101)
    assert (cache.get(1), cache.get(2), cache.used) == ("one", None, 60)


def test_what_is_dropped_is_gone() -> None:
    cache = BlockCache(100)
    for key in range(4):
        cache.put(key, key + 1, 10)
    for key in range(4):
        cache.get(key)
    cache.drop(1, 3)
    assert [cache.get(key) for key in range(4)] == [1, None, None, 4]
    assert (cache.used, len(cache), cache.evictions) == (20, 2, 0)


def test_what_one_file_has_is_forgotten_alone() -> None:
    cache, files = BlockCache(1000), [BlockCache.new_keys() for _ in range(3)]
    for number in range(20):
        for keys in files:
            cache.put(keys + number, number, 10 + number)
    kept = {keys: [number for number in range(20) if cache.get(keys + number) is not None] for keys in files}
    assert cache.evictions > 0
    cache.forget(files[1])
    kept[files[1]] = []
    for keys in files:
        assert [number for number in range(20) if cache.get(keys + number) is not None] == kept[keys]
    assert cache.used == sum(10 + number for numbers in kept.values() for number in numbers)


def test_files_have_no_key_in_common() -> None:
    firsts = sorted(BlockCache.new_keys() for _ in range(100))
    assert all(second - first >= 1 << 64 for first, second in pairwise(firsts))


def test_many_threads() -> None:
    cache = BlockCache(5000)
    failures: list[BaseException] = []
    gets = 4000

    def work(seed: int) -> None:
        try:
            state = seed
            for i in range(gets):
                state = (state * 1103515245 + 12345) & 0x7FFFFFFF
                key = (state >> 8) % 97
                entry = cache.get(key)
                assert entry is None or entry == ("entry", key)
                if entry is None:
                    cache.put(key, ("entry", key), 100 + key)
                elif i % 16 == 0:
                    cache.grow(key, 100 + key + i % 50)
                if i % 500 == 0:
                    cache.drop(key, key + 5)
                assert cache.used <= 5000
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    stats = cache.stats()
    assert stats.hits + stats.misses == 8 * gets
    assert stats.evictions > 0
    cache.drop(0, 1000)
    assert (cache.used, len(cache), cache.get(5)) == (0, 0, None)
