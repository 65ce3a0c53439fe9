"""The target's scale, and the back-transformation of forecasts to a volatility and a variance.

A measure m is a sigma or a variance per bar; the target is m itself (`level`) or ln m (`log`).
The expectation of sigma^2 is not the square of exp of the expected ln sigma, so a log forecast
needs a declared back-transformation (`target.back`), with e the model's residuals on ln
sigma:

* `naive`: variance = exp(2 f), sigma = exp(f): the median of a log-normal, biased low as a mean.
* `lognormal`: variance = exp(2 f + 2 m + 2 s^2), sigma = exp(f + m + s^2 / 2), m and s^2 the mean
  and variance (divisor n) of e.
* `smearing` (Duan 1983, JASA 78, eq. 2.1): variance = exp(2 f) mean(exp(2 e)), sigma = exp(f)
  mean(exp(e)).

f is the forecast of ln sigma. Each method is a shift per window and model, stored with the fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.types import F64

_ROUNDING = 1e-12  # of ln sigma, whose floor may be computed as half the logarithm of its square


@dataclass(frozen=True)
class TargetScale:
    """`scale` is `log` or `level`; `unit` is that of the measure: `sigma` or `variance`."""

    scale: str
    unit: str
    back: str
    floor: float

    @property
    def is_log(self) -> bool:
        """Whether the target is a logarithm."""
        return self.scale == "log"

    @property
    def per_log_sigma(self) -> float:
        """ln sigma per unit of a log target: 1 for a sigma, 1/2 for a variance."""
        return 0.5 if self.unit == "variance" else 1.0

    @property
    def shifted(self) -> bool:
        """Whether forecasts are shifted by what residuals say."""
        return self.is_log and self.back in ("lognormal", "smearing")

    def target(self, measure: F64) -> F64:
        """The target from the measure; under a logarithm sigma is at least `floor`."""
        if not self.is_log:
            return measure
        least = self.floor**2 if self.unit == "variance" else self.floor
        return np.log(np.maximum(measure, least))

    def shifts(self, mean: F64, variance: F64) -> tuple[F64, F64]:
        """(var_shift, sigma_shift) of naive or lognormal from the residuals' moments."""
        if self.back != "lognormal":
            return 0.0 * mean, 0.0 * mean
        c = self.per_log_sigma
        return 2.0 * c * mean + 2.0 * c * c * variance, c * mean + 0.5 * c * c * variance

    def smearing_shifts(self, residuals: F64) -> tuple[float, float]:
        """(var_shift, sigma_shift) of Duan's smearing from the residuals (n,)."""
        e = self.per_log_sigma * residuals
        return float(np.log(np.mean(np.exp(2.0 * e)))), float(np.log(np.mean(np.exp(e))))

    def log_sigma(self, y: F64) -> F64:
        """Ln sigma of values on the target's scale (n,), floored."""
        if self.is_log:
            return y if self.unit == "sigma" else 0.5 * y
        level = np.log(np.maximum(y, self.floor**2 if self.unit == "variance" else self.floor))
        return level if self.unit == "sigma" else 0.5 * level

    def variance(self, y: F64, shift: F64 | float = 0.0) -> F64:
        """Variance per bar of values on the target's scale (n,), at least floor^2."""
        least = self.floor**2
        if self.is_log:
            return _exp(2.0 * self.log_sigma(y) + shift, least)
        if self.unit == "variance":
            return np.maximum(y, least)
        return np.square(np.maximum(y, self.floor))

    def of_log_variance(self, log_variance: F64) -> F64:
        """Ln variance per bar (n,) on the target's scale, without floor or shift."""
        log_measure = log_variance if self.unit == "variance" else 0.5 * log_variance
        return log_measure if self.is_log else np.exp(log_measure)

    def sigma(self, y: F64, shift: F64 | float = 0.0) -> F64:
        """Sigma per bar of values on the target's scale (n,), at least floor."""
        if self.is_log:
            return _exp(self.log_sigma(y) + shift, self.floor)
        return np.sqrt(self.variance(y))

    def at_floor(self, log_sigma: F64) -> NDArray[np.bool_]:
        """Whether ln sigma (n,) is at the floor, where no price moved."""
        return log_sigma <= math.log(self.floor) + _ROUNDING

    def of_variance(self, variance: F64) -> F64:
        """A variance per bar (n,) on the target's scale."""
        return self.target(variance if self.unit == "variance" else np.sqrt(variance))

    @property
    def unmoved(self) -> float:
        """The offset that does not change forecasts."""
        return 0.0 if self.is_log else 1.0

    def offset(self, y: F64, forecast: F64) -> float:
        """The offset from forecasts (n,) to the level of y: mean(y - f) in logs, else a factor."""
        return float(np.mean(y - forecast) if self.is_log else np.mean(y) / np.mean(forecast))

    def moved(self, forecast: F64, offset: float) -> F64:
        """Forecasts (n,) moved by such an offset."""
        return forecast + offset if self.is_log else forecast * offset

    def floored(self, y: F64) -> int:
        """The number of forecasts in levels under the floor (a negative variance, say)."""
        if self.is_log:
            return 0
        return int(np.sum(y < (self.floor**2 if self.unit == "variance" else self.floor)))


def _exp(x: F64, least: float) -> F64:
    """The larger of exp(x) and `least`, written over x."""
    np.exp(x, out=x)
    return np.maximum(x, least, out=x)
