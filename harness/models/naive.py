"""Baselines without parameters to fit: persistence, moving average, exponential average.

Each is one expression of the target's own measure, and so a linear forecast with coefficient 1; its
training residuals still give the back-transformation from logs. Averages are of variances per bar
over the periods between forecast origins, so they mean the same at every horizon: with daily
origins `window = 22` is the last 22 days. The log of an average lies above the average log, so an
average is corrected by its mean training residual, its one fitted number.
"""

from __future__ import annotations

from typing import Self, TypeVar

from harness.models.linear import Linear
from harness.models.params import EwmaParams, MovingAverageParams, PersistenceParams
from harness.models.protocol import Task
from harness.samples.features import parse_feature

_Model = TypeVar("_Model", bound=Linear)


def _one(cls: type[_Model], expression: str, *, unbiased: bool) -> _Model:
    return cls((parse_feature(expression).text,), intercept=unbiased, fixed=(1.0,))


class Persistence(Linear):
    """The target's own measure over the last horizon."""

    @classmethod
    def build(cls, params: PersistenceParams, task: Task) -> Self:
        """`log(rv_4h)` for a log target."""
        return _one(cls, task.own, unbiased=False)


class MovingAverage(Linear):
    """Mean variance per bar of the last `window` periods between origins, on the target's scale."""

    @classmethod
    def build(cls, params: MovingAverageParams, task: Task) -> Self:
        """`log(sqrt(mean(square(rv_1h), window)))` for a log target and hourly origins."""
        average = f"mean({task.variance}, {params.window})"
        return _one(cls, task.back.format(average), unbiased=True)


class Ewma(Linear):
    """Exponentially weighted variance per bar (RiskMetrics 1996, section 5.2)."""

    @classmethod
    def build(cls, params: EwmaParams, task: Task) -> Self:
        """`log(sqrt(ewma(square(rv_1h), decay, 1)))` for a log target and hourly origins."""
        average = f"ewma({task.variance}, {params.decay!r}, 1)"
        return _one(cls, task.back.format(average), unbiased=params.rescale)
