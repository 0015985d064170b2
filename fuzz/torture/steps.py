"""The state machine of `tests/vego/test_collection_stateful.py`: every verb in any order, against a model.

A unit is `SEED`, some examples of some steps each; a failing one is made small before it is reported.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterator

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from fuzz.torture.harness import Bad, Outcome
from tests.vego.test_collection_stateful import CollectionMachine

_EXAMPLES = 8
_STEPS = 50


class Steps:
    """Counts steps; after each one the database is compared with the model."""

    name = "steps"
    counts = "steps of the state machine"
    size = 20_000

    def __init__(self, examples: int = _EXAMPLES, steps: int = _STEPS, *, shrink: bool = True) -> None:
        self._settings = settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
            print_blob=False,
        )

    def missing(self) -> str | None:
        return None

    def units(self, seed: int, size: int) -> Iterator[str]:  # noqa: ARG002 - how many steps a unit has is not known
        yield from map(str, itertools.count())

    def run(self, seed: int, unit: str) -> Outcome:
        class Counted(CollectionMachine):
            steps = 0

            @invariant()
            def counts(self) -> None:
                Counted.steps += 1

        hypothesis.seed(f"{seed} {unit}")(Counted)
        try:
            run_state_machine_as_test(Counted, settings=self._settings)
        except Exception as error:
            words = "".join(traceback.format_exception(error))  # its notes say which steps led there
            return Outcome(Counted.steps, (Bad(unit, words),))
        return Outcome(Counted.steps)
