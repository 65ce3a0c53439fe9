"""Least squares of the logarithm of a target in levels: HAR in logs beside HAR in levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from harness.models.linear import Linear
from harness.models.params import LogOlsParams
from harness.models.protocol import Task, own_features
from harness.samples.target_scale import TargetScale
from harness.types import F64, Rows


@dataclass(frozen=True)
class LogOls:
    """m = factor exp(b0 + sum_j b_j x_j) for a measure m, fitted on ln m.

    The factor is 1 (`naive`) or the training mean of exp(e), e the residuals of ln m (`smearing`:
    Duan 1983, JASA 78, eq. 2.1), which forecasts the mean of m. For a sigma, `variance` takes the
    root of the mean exp(2 e), so that the squared forecast is of the mean of m^2. For a log target
    it is plain least squares, back-transformed by target.back.
    """

    linear: Linear
    scale: TargetScale
    back: str
    factor: float = 1.0
    look_back: ClassVar[int] = 0
    validates: ClassVar[bool] = False
    overfits: ClassVar[bool] = False
    training: ClassVar[None] = None

    @classmethod
    def build(cls, params: LogOlsParams, task: Task) -> Self:
        """The features at the task's horizon, in the order of the hypothesis."""
        linear = Linear(own_features(params.features, task), intercept=params.intercept)
        return cls(linear, task.scale, params.back)

    @property
    def features(self) -> tuple[str, ...]:
        """The features that it reads."""
        return self.linear.features

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """Least squares on these rows; ModelError for a constant or collinear feature."""
        log_measure = y if self.scale.is_log else replace(self.scale, scale="log").target(y)
        linear = self.linear.fit(rows, log_measure)
        if self.scale.is_log or self.back == "naive":
            return replace(self, linear=linear)
        residuals = log_measure - linear.predict(rows)
        power = 2.0 * self.scale.per_log_sigma if self.back == "variance" else 1.0
        factor = float(np.mean(np.exp(power * residuals))) ** (1.0 / power)
        return replace(self, linear=linear, factor=factor)

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,) of the target."""
        log_measure = self.linear.predict(rows)
        return log_measure if self.scale.is_log else self.factor * np.exp(log_measure)

    @property
    def coefficients(self) -> Mapping[str, float]:
        """The coefficients of the regression of ln m."""
        return self.linear.coefficients
