"""Values of every kind of stream, for the tests of encodings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from lance_fmt import InvalidDataError
from lance_fmt.constants import StreamId
from lance_fmt.encodings import Encoding
from lance_fmt.encodings.protocol import KINDS, STRINGS, Kind, Recipe, Sample, Strings, Values
from lance_fmt.encodings.select import LevelChooser

_N = 8192 + 3
EVERY_KIND = [*KINDS.values(), STRINGS]


def strings(values: list[bytes]) -> Strings:
    """Byte strings of a list."""
    return Strings(
        np.frombuffer(b"".join(values), np.uint8),
        np.concatenate([[0], np.cumsum([len(v) for v in values])]).astype(np.int64),
    )


def stream_values(values: Values) -> list[Any]:
    """Values that compare as their bits do."""
    if isinstance(values, Strings):
        raw, bounds = values.data.tobytes(), values.offsets.tolist()
        return [raw[a:b] for a, b in pairwise(bounds)]
    found: list[Any] = values.view(f"u{values.itemsize}").tolist()
    return found


def first_of(values: Values, count: int) -> Values:
    """The first few."""
    if not isinstance(values, Strings):
        return values[:count]
    offsets = values.offsets[: count + 1]
    return Strings(values.data[: int(offsets[-1])], offsets)


def _rng() -> np.random.Generator:
    return np.random.default_rng(29)


def _number_shapes(kind: Kind) -> dict[str, Any]:
    dtype, rng = kind.dtype, _rng()
    if kind.is_bool:
        return {"runs": np.arange(_N) // 300 % 2 == 0, "random": rng.random(_N) < 0.5}
    bits = rng.integers(0, 256, _N * dtype.itemsize, np.uint8).view(dtype)
    shapes = {
        "sorted": np.sort(rng.integers(0, 127, _N)).astype(dtype),
        "random bits": bits,
        "runs": (np.arange(_N) // 100 % 100).astype(dtype),
        "few": rng.integers(0, 5, 1000).astype(dtype),
        "counting": (np.arange(1000) % 120).astype(dtype),
    }
    if kind.is_integer:
        ends = np.iinfo(dtype)
        shapes["extremes"] = np.array([ends.min, ends.max, 0, ends.min, ends.max] * 9, dtype)
        shapes["high"] = np.array([ends.max - i % 5 for i in range(1000)], dtype)
        return shapes
    shapes["decimals"] = (rng.integers(0, 3000, _N) / 100).astype(dtype)
    odd = [float("nan"), -0.0, 0.0, float("inf"), -float("inf"), 1.5, float(np.finfo(dtype).max)]
    shapes["special"] = np.array(odd * 50 + [-float("nan")], dtype)
    signalling = np.array([1], f"u{dtype.itemsize}") | np.array([np.inf], dtype).view(f"u{dtype.itemsize}")
    shapes["signalling NaN"] = np.concatenate([signalling.view(dtype), shapes["special"]])
    shapes["decimals and specials"] = np.where(np.arange(_N) % 97 == 0, dtype.type("nan"), shapes["decimals"])
    return shapes


def _string_shapes() -> dict[str, Any]:
    rng = _rng()
    words = [f"category number {i}".encode() for i in range(40)]
    found = {
        "empty strings": [b""] * 20 + [b"a"],
        "repeated": [words[i] for i in rng.integers(0, 40, _N).tolist()],
        "Unicode": [f"żółw {i} 🐢 日本".encode() for i in range(1000)],
        "random bytes": [rng.bytes(n) for n in rng.integers(0, 30, 1000).tolist()],
        "every byte": [bytes(range(256))] * 3 + [bytes([255] * 40), b"\0"],
        "long": [b"the quick brown fox " * 500, b"", b"x" * 20_000],
        "sorted": [b"https://example.org/item/%07d" % i for i in range(1000)],
    }
    return {name: strings(values) for name, values in found.items()}


def shapes(kind: Kind) -> dict[str, Values]:
    """Values of a kind, one value and two among them."""
    found: dict[str, Values] = _string_shapes() if kind.is_strings else _number_shapes(kind)
    if not kind.is_strings:
        # Large where sizes matter: the others as long as a row of packed words and a bit.
        found = {n: v if n in ("sorted", "random bits", "random") else v[:1027] for n, v in found.items()}
    one = strings([b"one"]) if kind.is_strings else np.ones(1, kind.dtype)
    two = strings([b"", b"two"]) if kind.is_strings else np.array([1, 0], kind.dtype)
    same = strings([b"same"] * 50) if kind.is_strings else np.ones(50, kind.dtype)
    return {"one": one, "two": two, "all the same": same, **found}


def recipes(
    encoding: Encoding, blocks: list[Values], kind: Kind, levels: tuple[str, ...] = ("small",)
) -> Iterator[Recipe]:
    """What the encoding plans, and what it writes when it must."""
    for level in levels:
        chooser = LevelChooser(level, frozenset({encoding.id}))  # type: ignore[arg-type]
        sample = Sample(blocks, blocks)
        planned = encoding.plan(sample, kind, chooser)
        if planned is not None:
            yield planned
        try:
            yield encoding.fixed(sample, kind, chooser)
        except InvalidDataError:
            assert encoding.id is StreamId.CONSTANT


def depth_of(recipe: Recipe) -> int:
    """How many encodings are nested."""
    return 1 + max(map(depth_of, recipe.children), default=0)
