"""Kinds of the HAR family that `ols` on features is not: weighted fits, and HARQ."""

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
    """A linear model that wants more columns than it has slopes; these are `chosen`."""

    chosen: tuple[str, ...] = field(default=())

    @property
    def regressors(self) -> tuple[str, ...]:
        """The features that have slopes, in the order of beta."""
        return self.chosen


@dataclass(frozen=True)
class Wls(_Chosen):
    """Weighted least squares: sum_t w_t (y_t - b x_t)^2 is least.

    The errors of a volatility grow with its level; Patton & Sheppard (2015, Rev. Economics &
    Statistics 97) weight by one over a fitted variance. The residuals that the way back from
    logs is made of, and the filter's range and mean, are of the rows unweighted.
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
        """About the weighted means; weights are scaled to sum to the number of rows."""
        weight = z[self.features.index(self.weight)]
        wrong = np.flatnonzero(weight <= 0.0)
        if wrong.size:
            raise ModelError(
                f"weight {self.weight} is {weight[wrong[0]]:.6g} in {wrong.size:,} of "
                f"{weight.size:,} training rows, wanted above 0"
            )
        weight = weight / weight.max()  # a sum of them as they are could overflow
        weight /= weight.mean()
        # From the first row on, so that a constant column is exactly zero and found out.
        apart = z - z[:, :1]
        centre = apart @ weight / weight.size
        apart -= centre[:, None]
        gram = (apart * weight) @ apart.T
        return Moments(np.array([float(weight.size)]), (z[:, 0] + centre)[None], gram[None])


@dataclass(frozen=True)
class Harq(_Chosen):
    """HARQ: the slope of the day falls with the error it was measured with.

    y = b0 + (b1 + bQ (sqrt(RQ) - c)) day + b2 week + b3 month (Bollerslev, Patton & Quaedvlieg
    2016, J. Econometrics 192). beta is of c = 0, since forecasts do not depend on c; what is
    stated of b1 is of c = sqrt(mean RQ of the training rows), or of c = 0 without `centred`.
    """

    quarticity: str = ""
    centred: bool = True

    @classmethod
    def build(cls, params: HarqParams, task: Task) -> Self:
        """The features at the task's horizon, then the day's product with sqrt(RQ), then RQ."""
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
        """As for Linear, with the day's slope by the declared centring."""
        if self.centred:
            beta = beta.copy()
            beta[:, 1] += beta[:, -1] * np.sqrt(means[:, names.index(self.quarticity)])
        return super().stated(beta, means, names)
