"""Baselines without parameters to fit: persistence, moving average, exponential average.

Each is one expression over the target's own measure, so each is a linear forecast with the
coefficient 1; its training residuals still give the way back from logs.
"""

from __future__ import annotations

from typing import Self

from harness.features import parse_feature
from harness.models.linear import Linear
from harness.models.protocol import Task
from harness.models.table import EwmaParams, MovingAverageParams, PersistenceParams


def _one(cls: type[Linear], expression: str) -> Linear:
    return cls((parse_feature(expression).text,), intercept=False, fixed=(1.0,))


class Persistence(Linear):
    """The target's own measure over the last horizon."""

    @classmethod
    def build(cls, params: PersistenceParams, task: Task) -> Self:
        """`log(rv_4h)` for a log target."""
        return _one(cls, task.own)


class MovingAverage(Linear):
    """Mean of the target's measure over the last `window` horizons, which do not overlap."""

    @classmethod
    def build(cls, params: MovingAverageParams, task: Task) -> Self:
        """`mean(log(rv_4h), window, step)`, step decisions apart."""
        return _one(cls, f"mean({task.own}, {params.window}, {task.step})")


class Ewma(Linear):
    """Exponentially weighted mean over horizons that do not overlap (RiskMetrics 1996, 5.2)."""

    @classmethod
    def build(cls, params: EwmaParams, task: Task) -> Self:
        """`ewma(log(rv_4h), decay, step)`, step decisions apart."""
        return _one(cls, f"ewma({task.own}, {params.decay!r}, {task.step})")
