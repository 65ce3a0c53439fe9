"""The one protocol of every model, and how a kind becomes an instance for a horizon."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from harness.models.table import KINDS, Params
from harness.types import F64, Rows


@dataclass(frozen=True)
class Task:
    """What a model is asked to forecast, in feature expressions known at the decision.

    `horizon` is its name; `own` the target's measure over the last horizon, on the target's
    scale: `log(rv_4h)`; `variance` its square over the time since the last decision, per bar:
    `square(rv_1h)`; `back` puts an expression of a variance on the target's scale:
    `log(sqrt({}))`.
    """

    horizon: str
    own: str
    variance: str
    back: str


class Forecaster(Protocol):
    """A model of one target. `features` are the expressions it wants as columns of its rows."""

    features: tuple[str, ...]

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A fitted copy; ModelError when rows (n, p) and targets y (n,) do not allow one.

        The model itself stays as it was: the next fold starts from it.
        """
        ...

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,) of the target, on its declared scale."""
        ...

    @property
    def coefficients(self) -> Mapping[str, float]:
        """What the fitted model states of itself for the card, by name."""
        ...


class ModelError(Exception):
    """A model that could not be fitted on these rows, in words; the walk names the window."""


def make_model(kind: str, params: Params, task: Task) -> Forecaster:
    """An unfitted model of this kind for this task; its library is imported here and not before."""
    module, _, name = KINDS[kind].target.partition(":")
    model: Any = getattr(importlib.import_module(module), name)
    return model.build(params, task)
