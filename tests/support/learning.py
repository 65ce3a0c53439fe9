"""What every learned kind has to learn: the table of worlds and bounds, and how it is measured.

A new kind joins by its line in LEARNERS. `just bench learning` measures the whole table;
tests/models/test_learning.py a short form of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.learning_worlds import HAR, OWN, SCALE, WORLDS, Learned, learned
from support.worlds import make_task

from harness.models.protocol import make_model
from harness.models.table import KINDS
from harness.walk.fold_fit import FoldResult, Settings, fit_fold

SIZES = (2_000, 8_000)  # rows before the test, of each symbol
_CPU = {"device": "cpu"}


@dataclass(frozen=True)
class Learner:
    """A kind of model with its parameters, at their defaults where none are given, and its bounds.

    `bounds`: the largest MSE over that of the optimum, by world, at each of SIZES. `sees`: `past`
    for a net over sequences of x and the world's features, `row` for a model of HAR's features and
    those, `returns` for one of returns, `both` for a hybrid.
    """

    kind: str
    sees: str
    bounds: Mapping[str, tuple[float, float]]
    params: Mapping[str, Any] = field(default_factory=dict)

    def given(self, world: str) -> dict[str, Any]:
        """The parameters as a hypothesis would state them."""
        told = WORLDS[world].told
        past, row = [OWN, *told], [*HAR, *told]
        features: dict[str, Any] = {
            "past": {"features": past},
            "row": {"features": row},
            "both": {"features": past, "har": row},
            "first": {"features": row, "first": {"features": past, **_CPU}},
            "returns": {},
        }[self.sees]
        params = dict(self.params)
        if "first" in params:
            features["first"] = {**features.get("first", {}), **params.pop("first")}
        return {**features, **params}


def fitted(learner: Learner, world: str, seen: Learned, *, seed: int) -> FoldResult:
    """The learner's fit and forecasts of the world's test rows, as the walk makes them."""
    params = KINDS[learner.kind].params(**learner.given(world))
    task = make_task("1d", every="1d", steps=1, bars=1, scale=SCALE)
    model = make_model(learner.kind, params, task)
    return fit_fold(learner.kind, model, seen.samples, Settings(0, SCALE, seed=seed), seen.fold)


def over_optimum(learner: Learner, world: str, n: int, seed: int) -> float:
    """The MSE of ln sigma over the optimum's, on the test rows of a world of this seed."""
    seen = learned(world, n, seed)
    return seen.over_optimum(fitted(learner, world, seen, seed=seed).yhat)


# Where HAR is right no model must win: the bound is how much it may lose. Elsewhere it must win:
# the comment of a world's bound is HAR's figure at both sizes.
LEARNERS: Mapping[str, Learner] = {
    "har": Learner(
        "ols",
        "row",
        {"ar1": (1.02, 1.01), "har": (1.02, 1.01), "noise": (1.02, 1.01)},
    ),
}
