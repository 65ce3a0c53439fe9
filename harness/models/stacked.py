"""A model and LightGBM that corrects it: fitted on what the first missed, out of its sample.

A first stage knows its training rows better than any later one, so what it misses there is no
sample of what it will miss. The second stage therefore learns from later rows alone
(models/staged.py), and the same fitted first stage forecasts the test rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from harness.models.lightgbm_trees import LightGbm
from harness.models.params import StackedParams
from harness.models.protocol import (
    Forecaster,
    Kept,
    ModelError,
    Seeded,
    Task,
    Trained,
    make_model,
    versions,
)
from harness.types import F64, FitTime, Rows, Training

FIRST = "the first stage's forecast"


@dataclass(frozen=True)
class Stacked:
    """f(first) + LightGBM(features, f(first)), the trees fitted on the target less f(first).

    So both outputs make the forecast, and where the trees find nothing it is the first stage's,
    moved by the mean of what that missed. All on the target's scale.
    """

    features: tuple[str, ...]
    share: float
    first: Forecaster
    second: LightGbm
    ready: bool = False

    @classmethod
    def build(cls, params: StackedParams, task: Task) -> Self:
        """Both stages at the task's horizon, for its target's scale."""
        first = make_model(params.first.kind, params.first, task)
        second = LightGbm.build(params.second, task)
        features = tuple(dict.fromkeys((*first.features, *second.features)))
        second = replace(second, features=(*second.features, FIRST))
        return cls(features, params.share, first, second)

    @property
    def look_back(self) -> int:
        """As far as the first stage's."""
        return self.first.look_back

    @property
    def past(self) -> tuple[str, ...]:
        """What the first stage reads, and looks back over."""
        return self.first.features

    @property
    def context(self) -> tuple[str, ...]:
        """What the trees read, at the decision alone."""
        return self.second.features[:-1]

    @property
    def validates(self) -> bool:
        """Whether the trees stop early on the rows held out for the whole fit."""
        return self.second.validates

    @property
    def first_validates(self) -> bool:
        """Whether the first stage stops early, on rows held out of its own."""
        return self.first.validates

    def begun(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """With the first stage fitted on these rows."""
        seen = None if validation is None else (self._first(validation[0]), validation[1])
        first = self.first.fit(self._first(rows), y, validation=seen, seed=seed)
        return replace(self, first=first, ready=True)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """With the trees fitted on rows that the first stage has not seen.

        ModelError where the first stage is not fitted, or the rows are too few for one split.
        """
        if not self.ready:
            raise ModelError("its first stage has to be fitted before, on earlier rows")
        seen = None
        if validation is not None:
            known, base = self._told(validation[0])
            seen = known, validation[1] - base
        known, base = self._told(rows)
        return replace(self, second=self.second.fit(known, y - base, validation=seen, seed=seed))

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,) on the target's scale."""
        known, base = self._told(rows)
        return base + self.second.predict(known)

    def _first(self, rows: Rows) -> Rows:
        return rows.columns(self.first.features)

    def _told(self, rows: Rows) -> tuple[Rows, F64]:
        """What the trees see of the rows, the first stage's forecasts (n,) as their last column."""
        base = self.first.predict(self._first(rows))
        if not np.isfinite(base).all():
            raise ModelError("a forecast of its first stage is not finite")
        own = rows.columns(self.second.features[:-1])
        X = np.column_stack((own.X, base))
        return Rows(X, self.second.features, rows.symbol, rows.formed_at), base

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        """That of a first stage with so many rows; the trees take little beside a net."""
        if isinstance(self.first, Trained):
            return self.first.estimate(n_rows, n_validation)
        return FitTime(0.0, 0.0, 0.0)

    def watched(self, progress: Callable[[str], None]) -> Self:
        """The same model, telling `progress` of its first stage."""
        if not isinstance(self.first, Trained):
            return self
        return replace(self, first=self.first.watched(progress))

    @property
    def seeded(self) -> bool:
        """Whether either stage draws."""
        drawn = isinstance(self.first, Seeded) and self.first.seeded
        return drawn or self.second.seeded

    def made_by(self) -> dict[str, str]:
        """What fits both stages."""
        first = dict(self.first.made_by()) if isinstance(self.first, Kept) else {}
        return versions("lightgbm") | first

    def weights(self) -> dict[str, np.ndarray]:
        """The first stage's, where it keeps any; of the trees their forecasts are kept."""
        return dict(self.first.weights()) if isinstance(self.first, Kept) else {}

    @property
    def coefficients(self) -> Mapping[str, float]:
        """Each feature's share of the gain of the trees' splits, the forecast's among them."""
        return self.second.coefficients

    @property
    def training(self) -> Training | None:
        """How the first stage was trained where it tells, else the trees; the size of both."""
        first, trees = self.first.training, self.second.training
        if first is None or trees is None:
            return trees
        return replace(first, parameters=first.parameters + trees.parameters)
