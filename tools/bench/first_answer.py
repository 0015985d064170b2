"""A new process, from its first line to its first answer: import the engine, open the database, search once.

Run as ``python -m vego_tools.bench.first_answer ENGINE DATABASE_FOLDER QUERY.npy``; prints the seconds as JSON.
"""

from time import perf_counter

START = perf_counter()

if __name__ == "__main__":
    import json
    import os
    import sys
    from pathlib import Path

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import numpy as np

    from vego_tools.bench.engines.base import load_engine

    name, folder, query = sys.argv[1:]
    engine = load_engine(name, 1)
    imported = perf_counter()
    engine.open(Path(folder))
    ids, _ = engine.search(np.load(query), 10, None)
    answered = perf_counter()
    result = {"import_s": imported - START, "total_s": answered - START, "results": len(ids)}
    print(json.dumps(result), file=answers, flush=True)
    os._exit(0)  # what an engine does on its way out is not part of the answer
