"""Hypothesis profiles, and a garbage collector that leaves alone what the collected tests are made of.

`ci` repeats itself, so that a change is judged alone; `dev` and `thorough` look further.
"""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

QUIET = [HealthCheck.too_slow]
settings.register_profile("ci", max_examples=25, deadline=None, derandomize=True, suppress_health_check=QUIET)
settings.register_profile("dev", max_examples=40, deadline=None, suppress_health_check=QUIET, print_blob=True)
settings.register_profile(
    "thorough", max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """A million objects live as long as the session: each full collection would look at them all, a second long."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """At the end they are let go of as ever."""
    gc.unfreeze()
