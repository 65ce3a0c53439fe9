"""Every learned kind learns: the short form of `just bench learning` (support/learning.py)."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from support.learning import LEARNERS, fitted, over_optimum
from support.learning_worlds import SHOCK, WORLDS, learned

from harness.models.table import KINDS

TORCH = importlib.util.find_spec("torch") is not None


def here(name: str) -> object:
    """The name as a parameter, nets marked as in need of torch."""
    need = not TORCH and LEARNERS[name].needs_torch
    return pytest.param(name, marks=pytest.mark.skipif(need, reason="torch is not installed"))


@pytest.mark.parametrize("name", [here(name) for name in LEARNERS])
def test_a_kind_comes_near_the_optimum(name):
    learner = LEARNERS[name]
    short = learner.short
    found = over_optimum(learner, short.world, short.n, 0, short.params)
    assert 0.97 < found <= short.bound


def test_every_kind_that_trains_is_in_the_table():
    learned_kinds = {name for name, kind in KINDS.items() if kind.library is not None}
    assert learned_kinds <= {learner.kind for learner in LEARNERS.values()}


@pytest.mark.parametrize("name", list(WORLDS))
def test_what_a_world_calls_its_optimum_leaves_the_shocks_alone(name):
    seen = learned(name, 2_000, 1)
    error = seen.truth - seen.optimum
    tolerance = 4.0 * SHOCK / np.sqrt(error.size)
    if name != "long-regime":  # there the level of the day is unknown too
        assert error.std() == pytest.approx(SHOCK, abs=tolerance)
    assert abs(error.mean()) < tolerance
    # Nothing known at the origin tells the error: neither the optimum nor x.
    at = seen.samples.last[seen.fold.test]
    for known in (seen.optimum, at) if np.ptp(seen.optimum) else (at,):
        assert abs(np.corrcoef(known, error)[0, 1]) < 4.0 / np.sqrt(error.size)


def test_no_forecast_of_a_world_sees_its_test_rows():
    """Targets of test rows can be anything: forecasts keep their bytes."""
    seen = learned("ar1", 500, 3)
    before = fitted(LEARNERS["lightgbm"], "ar1", seen, seed=3).yhat
    seen.samples.y[seen.fold.test] = 0.0
    assert fitted(LEARNERS["lightgbm"], "ar1", seen, seed=3).yhat.tobytes() == before.tobytes()
