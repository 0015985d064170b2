"""The made-up table ("A") that formats are measured on, and which of its rows are asked for.

It has the shapes of a catalogue: a sorted key, times, prices of two decimals, categories, titles, counts with
nulls, a flag in runs, and Gaussian vectors (not normalised). All of it is seeded.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

SEED = 20261121
ROWS = 200_000
DIMENSION = 128
FIRST_ID = 10_000_000
Array = np.ndarray

CATEGORIES = (
    "Home & Kitchen", "Books", "Electronics", "Toys", "Garden", "Sports", "Beauty", "Office", "Grocery",
    "Automotive", "Music", "Pets",
)  # fmt: skip
MAKERS = (
    "Nordic", "Alpine", "Harbor", "Summit", "Willow", "Copper", "Meadow", "Falcon", "Granite", "Juniper", "Atlas",
    "Orchid", "Pioneer", "Crescent", "Sterling", "Maple", "Beacon", "Cobalt", "Ridge", "Lantern", "Prairie",
)  # fmt: skip
QUALITIES = (
    "Portable", "Adjustable", "Wireless", "Stainless", "Foldable", "Waterproof", "Classic", "Compact", "Heavy Duty",
    "Organic", "Vintage", "Rechargeable", "Insulated", "Lightweight", "Handmade", "Magnetic", "Premium", "Slim",
    "Reversible", "Quiet", "Ergonomic", "Washable",
)  # fmt: skip
MATERIALS = (
    "Steel", "Cotton", "Bamboo", "Leather", "Glass", "Oak", "Ceramic", "Wool", "Silicone", "Linen", "Aluminium",
    "Walnut", "Velvet", "Canvas", "Marble", "Rubber", "Titanium",
)  # fmt: skip
THINGS = (
    "Chair", "Lamp", "Kettle", "Backpack", "Keyboard", "Blanket", "Water Bottle", "Desk Organizer", "Speaker", "Knife",
    "Cutting Board", "Headphones", "Planter", "Yoga Mat", "Umbrella", "Notebook", "Watch Strap", "Coffee Grinder",
    "Puzzle", "Bookshelf", "Shower Curtain", "Pillow", "Mirror", "Toolbox", "Tent", "Phone Case", "Teapot", "Rug",
    "Dog Bed", "Charger", "Frying Pan", "Wallet",
)  # fmt: skip
ENDINGS = (
    "with Lid", "for Kids", "Blue", "Black", "White", "Dark Green", "Large", "Small", "Gift Set", "for Travel",
    "Pack of 2", "Pack of 3", "Pack of 6", "with Stand", "Grey", "Extra Long", "12 oz", "500 ml", "USB-C", "Red",
)  # fmt: skip


def catalogue(rows: int = ROWS, dimension: int = DIMENSION) -> pa.Table:
    """Table A."""
    random = np.random.default_rng(SEED)
    share = 1 / np.arange(1, len(CATEGORIES) + 1)
    picked = random.choice(len(CATEGORIES), rows, p=share / share.sum())
    steps = random.integers(1, 2_000_000, rows)
    counts = pa.array(random.integers(0, 1001, rows).astype(np.int32), mask=random.random(rows) < 0.1)
    runs = np.repeat(np.arange(rows), random.geometric(1 / 256, rows).clip(max=rows))[:rows]
    vectors = random.standard_normal((rows, dimension), dtype=np.float32)
    return pa.table(
        {
            "id": pa.array(FIRST_ID + np.arange(rows)),
            "ts": pa.array(1_760_000_000_000_000 + np.cumsum(steps)).cast(pa.timestamp("us")),
            "price": pa.array((random.integers(0, 100_001, rows) / 100).astype(np.float32)),
            "category": pa.array(np.array(CATEGORIES, object)[picked], pa.string()),
            "title": pa.array(titles(random, rows), pa.string()),
            "count": counts,
            "flag": pa.array(runs % 2 == 1),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dimension),
        }
    )


def titles(random: np.random.Generator, rows: int) -> list[str]:
    """Product titles of about 40 characters."""
    parts = [
        random.integers(0, len(words), rows).tolist()
        for words in (MAKERS, QUALITIES, MATERIALS, THINGS, ENDINGS)
    ]
    models = random.integers(10, 1000, rows).tolist()
    return [
        f"{MAKERS[a]} {QUALITIES[b]} {MATERIALS[c]} {THINGS[d]} {model}, {ENDINGS[e]}"
        if model % 3 == 0
        else f"{MAKERS[a]} {QUALITIES[b]} {MATERIALS[c]} {THINGS[d]}, {ENDINGS[e]}"
        for a, b, c, d, e, model in zip(*parts, models, strict=True)
    ]


def row_sets(rows: int, each: int, sets: int) -> list[Array]:
    """Random rows, ascending and without repeats, as all engines accept them."""
    random = np.random.default_rng(SEED + each)
    return [np.sort(random.choice(rows, min(each, rows), replace=False)) for _ in range(sets)]


def id_ranges(rows: int, keep: int, sets: int) -> list[tuple[int, int]]:
    """Half-open ranges of ids that keep ``keep`` rows each."""
    first = np.random.default_rng(SEED).integers(0, max(rows - keep, 1), sets)
    return [(FIRST_ID + int(a), FIRST_ID + int(a) + keep) for a in first]


def plain(table: pa.Table) -> pa.Table:
    """Without dictionaries and 64-bit offsets, and in one piece, so that every format gets the same."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_large_string(kind) or pa.types.is_null(kind):
            kind = pa.string()
        columns[name] = pa.concat_arrays(column.cast(kind).chunks) if len(column) else pa.array([], kind)
    return pa.table(columns)
