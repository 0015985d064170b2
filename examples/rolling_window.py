"""Keeps the last three days of events: each day is a partition, and the oldest is dropped at once.

Run it with `python examples/rolling_window.py`.
"""

import datetime
import tempfile

import numpy as np

import vego

KEPT = 3
PER_DAY = 2_000
FIRST = datetime.date(2026, 11, 17)

rng = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as directory, vego.open(directory, dimension=16, metric="l2") as db:
    events = db.collection("events", partition_by="day")
    for number in range(6):
        day = (FIRST + datetime.timedelta(days=number)).isoformat()
        events.insert_batch(
            vectors=rng.normal(size=(PER_DAY, 16)),
            metadata={"day": [day] * PER_DAY, "level": rng.integers(0, 5, PER_DAY)},
        )
        for old in events.partitions()[:-KEPT]:
            print(f"{day}: {events.drop_partition(old.value):,} events of {old.value} dropped")
    print(f"{len(events):,} events of {', '.join(str(one.value) for one in events.partitions())}")
    query = rng.normal(size=16)
    hits = events.search(query, k=3, filter=f"day == '{day}' and level >= 3")
    print(f"found {len(hits)}, all of {hits[0].metadata['day']}")
    print(str(events.explain(query, filter=f"day == '{day}'")).splitlines()[-1].strip())
