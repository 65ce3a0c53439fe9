"""Kinds of the HAR family besides `ols` on features: weighted least squares, and HARQ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from harness.models.linear import Linear, Moments
from harness.models.params import HarqParams, WlsParams
from harness.models.protocol import ModelError, Task, own_features
from harness.samples.features import parse_feature
from harness.types import F64


@dataclass(frozen=True)
class _Chosen(Linear):
    """A linear model that reads more columns than it has slopes; `chosen` have slopes."""

    chosen: tuple[str, ...] = field(default=())

    @property
    def regressors(self) -> tuple[str, ...]:
        """The features that have slopes, in the order of beta."""
        return self.chosen


@dataclass(frozen=True)
class Wls(_Chosen):
    """Weighted least squares: it minimises sum_t w_t (y_t - b x_t)^2.

    The errors of a volatility grow with its level; Patton & Sheppard (2015, Rev. Economics &
    Statistics 97) weight by one over a fitted variance. The residuals for the back-transformation
    from logs, and the filter's range and mean, are of unweighted rows.
    """

    weight: str = ""
    swept: ClassVar[bool] = False

    @classmethod
    def build(cls, params: WlsParams, task: Task) -> Self:
        """The features at the task's horizon, and the weight."""
        chosen, weight = (
            own_features(params.features, task),
            parse_feature(params.weight).at(task.horizon).text,
        )
        every = tuple(dict.fromkeys((*chosen, weight)))
        return cls(every, params.intercept, insanity=params.insanity, chosen=chosen, weight=weight)

    def _moments(self, z: F64) -> Moments:
        """Moments about the weighted means; weights are scaled to sum to the number of rows."""
        weight = z[self.features.index(self.weight)]
        wrong = np.flatnonzero(weight <= 0.0)
        if wrong.size:
            raise ModelError(
                f"weight {self.weight} is {weight[wrong[0]]:.6g} in {wrong.size:,} of "
                f"{weight.size:,} training rows, wanted above 0"
            )
        weight = weight / weight.max()  # a sum of unscaled weights could overflow
        weight /= weight.mean()
        # Differences from the first row make a constant column exactly zero, so it is detected.
        apart = z - z[:, :1]
        centre = apart @ weight / weight.size
        apart -= centre[:, None]
        gram = (apart * weight) @ apart.T
        return Moments(np.array([float(weight.size)]), (z[:, 0] + centre)[None], gram[None])


@dataclass(frozen=True)
class Harq(_Chosen):
    """HARQ: the daily slope falls with the measurement error of the day.

    y = b0 + (b1 + bQ (sqrt(RQ) - c)) day + b2 week + b3 month (Bollerslev, Patton & Quaedvlieg
    2016, J. Econometrics 192). beta is for c = 0, since forecasts do not depend on c; the reported
    b1 is for c = sqrt(mean RQ of the training rows), or for c = 0 without `centred`.
    """

    quarticity: str = ""
    centred: bool = True

    @classmethod
    def build(cls, params: HarqParams, task: Task) -> Self:
        """The features at the task's horizon, then the day times sqrt(RQ), then RQ."""
        (made,) = params.made
        product, error = (parse_feature(t).at(task.horizon).text for t in (made, params.quarticity))
        chosen = (*own_features(params.features, task), product)
        return cls(
            tuple(dict.fromkeys((*chosen, error))),
            params.intercept,
            insanity=params.insanity,
            chosen=chosen,
            quarticity=error,
            centred=params.centre == "root-mean",
        )

    def stated(self, beta: F64, means: F64, names: Sequence[str]) -> F64:
        """As for Linear, with the daily slope by `centred`."""
        if self.centred:
            beta = beta.copy()
            beta[:, 1] += beta[:, -1] * np.sqrt(means[:, names.index(self.quarticity)])
        return super().stated(beta, means, names)
