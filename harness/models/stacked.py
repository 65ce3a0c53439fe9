"""A model and LightGBM that corrects it, fitted on the first stage's out-of-sample residuals.

In-sample residuals of a first stage are smaller than its forecast errors. The second stage is
therefore fitted on later rows alone (protocol.Staged), and the same fitted first stage forecasts
the test rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

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
    """f(first) + LightGBM(features, f(first)), with trees fitted on the target minus f(first).

    Without a useful split the forecast is the first stage's plus its mean residual. All values are
    on the target's scale.
    """

    part: ClassVar[str] = "its first stage"
    features: tuple[str, ...]
    share: float
    first: Forecaster
    second: LightGbm
    ready: bool = False

    @classmethod
    def build(cls, params: StackedParams, task: Task) -> Self:
        """Both stages at the task's horizon, for its target scale."""
        first = make_model(params.first.kind, params.first, task)
        second = LightGbm.build(params.second, task)
        features = tuple(dict.fromkeys((*first.features, *second.features)))
        second = replace(second, features=(*second.features, FIRST))
        return cls(features, params.share, first, second)

    @property
    def look_back(self) -> int:
        """The first stage's."""
        return self.first.look_back

    @property
    def past(self) -> tuple[str, ...]:
        """The features that the first stage looks back on."""
        return self.first.features

    @property
    def context(self) -> tuple[str, ...]:
        """The features of the trees, at the forecast origin alone."""
        return self.second.features[:-1]

    @property
    def validates(self) -> bool:
        """Whether the trees stop early on the held-out rows of the whole fit."""
        return self.second.validates

    @property
    def first_validates(self) -> bool:
        """Whether the first stage stops early, on held-out rows of its own."""
        return self.first.validates

    def begun(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A copy with its first stage fitted on these rows."""
        seen = None if validation is None else (self._first(validation[0]), validation[1])
        first = self.first.fit(self._first(rows), y, validation=seen, seed=seed)
        return replace(self, first=first, ready=True)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A copy with its trees fitted on rows that the first stage has not seen.

        ModelError if the first stage is not fitted, or if the rows are too few for one split.
        """
        if not self.ready:
            raise ModelError("the first stage is not fitted: it needs earlier rows")
        seen = None
        if validation is not None:
            known, base = self._with_forecast(validation[0])
            seen = known, validation[1] - base
        known, base = self._with_forecast(rows)
        return replace(self, second=self.second.fit(known, y - base, validation=seen, seed=seed))

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,) on the target's scale."""
        known, base = self._with_forecast(rows)
        return base + self.second.predict(known)

    def of_part(self, rows: Rows) -> F64:
        """The first stage's forecasts (m,)."""
        return self.first.predict(self._first(rows))

    def _first(self, rows: Rows) -> Rows:
        return rows.columns(self.first.features)

    def _with_forecast(self, rows: Rows) -> tuple[Rows, F64]:
        """The trees' rows, with the first stage's forecasts (n,) as last column, and these."""
        base = self.first.predict(self._first(rows))
        if not np.isfinite(base).all():
            raise ModelError("a forecast of the first stage is not finite")
        own = rows.columns(self.second.features[:-1])
        X = np.column_stack((own.X, base))
        return Rows(X, self.second.features, rows.symbol, rows.formed_at), base

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        """The time of the first stage; the trees take little time compared with a net."""
        if isinstance(self.first, Trained):
            return self.first.estimate(n_rows, n_validation)
        return FitTime(0.0, 0.0, 0.0)

    def watched(self, progress: Callable[[str], None]) -> Self:
        """The same model, which reports its first stage to `progress`."""
        if not isinstance(self.first, Trained):
            return self
        return replace(self, first=self.first.watched(progress))

    @property
    def seeded(self) -> bool:
        """Whether either stage depends on the seed."""
        drawn = isinstance(self.first, Seeded) and self.first.seeded
        return drawn or self.second.seeded

    def made_by(self) -> dict[str, str]:
        """The library versions of both stages."""
        first = dict(self.first.made_by()) if isinstance(self.first, Kept) else {}
        return versions("lightgbm") | first

    def weights(self) -> dict[str, np.ndarray]:
        """The first stage's weights, if it has any; of the trees only forecasts are cached."""
        return dict(self.first.weights()) if isinstance(self.first, Kept) else {}

    @property
    def coefficients(self) -> Mapping[str, float]:
        """Each feature's share of the gain of the trees' splits, the first forecast included."""
        return self.second.coefficients

    @property
    def training(self) -> Training | None:
        """The first stage's training report if it has one, else the trees'; the size of both."""
        first, trees = self.first.training, self.second.training
        if first is None or trees is None:
            return trees
        late = (*(f"first.{key}" for key in first.cut_short), *trees.cut_short)
        return replace(first, parameters=first.parameters + trees.parameters, cut_short=late)
