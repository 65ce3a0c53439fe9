"""ARFIMA(1,d,0) of log volatility: long memory in two numbers and a mean, by filters.

x is ln sigma of each period between forecast origins, and (1 - phi B)(1 - B)^d (x - mu) = e.
d is Robinson's (1995) local Whittle estimate, phi is by least squares on the fractionally
differenced training series, mu its mean. Forecasts use the AR(infinity) form, truncated at `filter`
origins (Granger & Joyeux, 1980), step by step over the horizon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from harness.models.params import ArfimaParams
from harness.models.protocol import ModelError, Task, history_of, one_symbol
from harness.samples.features import parse_feature
from harness.types import F64, I64, Rows, Training

FEWEST = 100  # training rows: fewer leave under twenty frequencies to estimate d
BANDWIDTH = 0.65  # d is estimated from the lowest n^0.65 frequencies
_LEAST, _MOST = -0.49, 0.99  # bounds of d: invertible, and short of a random walk
_STATIONARY = 0.99  # |phi| at most
_STEPS = 50


@dataclass(frozen=True)
class Arfima:
    """ARFIMA(1,d,0) of one symbol's log volatility, corrected by the mean training residual."""

    features: tuple[str, ...]
    task: Task
    look_back: int
    params: Mapping[str, float] | None = None
    weights: F64 | None = None
    validates: ClassVar[bool] = False
    overfits: ClassVar[bool] = False

    @classmethod
    def build(cls, params: ArfimaParams, task: Task) -> Self:
        """On `log(sqrt(square(rv_1d)))` for daily forecast origins."""
        series = parse_feature(f"log(sqrt({task.variance}))").text
        return cls((series,), task, params.filter)

    def fit(
        self, rows: Rows, y: F64, *, validation: tuple[Rows, F64] | None = None, seed: int = 0
    ) -> Self:
        """A fitted copy; ModelError for under 100 rows, a constant series, several symbols."""
        one_symbol(rows)
        x = rows.columns(self.features).X[:, 0]
        if x.size < FEWEST:
            raise ModelError(f"{x.size} training rows, wanted {FEWEST} or more")
        if np.ptp(x) == 0.0:
            raise ModelError(f"{self.features[0]} is {x[0]:g} in all {x.size} training rows")
        mu, d = float(x.mean()), local_whittle(x)
        differenced = self._filtered(rows, difference_weights(d, self.look_back), mu)
        phi, scale = _autoregression(differenced, history_of(rows)[1]), self.task.scale
        params = {"mu": mu, "d": d, "phi": phi, "offset": scale.unmoved}
        weights = forecast_weights(d, phi, self.look_back, self.task.steps)
        model = replace(self, params=params, weights=weights)
        offset = scale.offset(y, model.predict(rows))
        return replace(model, params=params | {"offset": offset})

    def predict(self, rows: Rows) -> F64:
        """Forecasts (m,), each from the row's last `filter` forecast origins."""
        assert self.params is not None, "predict needs a fitted copy"
        assert self.weights is not None, "predict needs a fitted copy"
        if not rows.symbol.size:
            return np.empty(0)
        mu, scale = self.params["mu"], self.task.scale
        steps = [mu + self._filtered(rows, w, mu) for w in self.weights]
        variance = np.mean([np.exp(2.0 * f) for f in steps], axis=0)
        return scale.moved(scale.of_variance(variance), self.params["offset"])

    def _filtered(self, rows: Rows, weights: F64, mu: float) -> F64:
        """Weighted sums (m,) of x - mu at each row's last origins; weights begin with the newest.

        One dot product per row, so that a sum does not depend on the number of rows.
        """
        one_symbol(rows)
        history, at = history_of(rows)
        first, last = int(at.min()), int(at.max())
        x = history.values[history.names.index(self.features[0])]
        x = x[first - weights.size + 1 : last + 1] - mu
        return np.correlate(x, weights[::-1], "valid")[at - first]

    @property
    def coefficients(self) -> Mapping[str, float]:
        """mu and d of ln sigma, phi, and the offset of the forecasts."""
        return self.params or {}

    @property
    def training(self) -> Training | None:
        """Three fitted parameters: mu, d and phi."""
        return Training(3) if self.params else None


def local_whittle(x: F64) -> float:
    """The memory d of x (n,): it minimises R(d) of Robinson (1995), eq. 3.2, in [-0.49, 0.99].

    R(d) = ln(mean_j l_j^(2d) I(l_j)) - 2d mean_j ln l_j over the lowest n^0.65 frequencies. It is
    convex (a log of a sum of exponentials of d minus a line), so its slope has one root.
    """
    m = int(x.size**BANDWIDTH)
    periodogram = np.abs(np.fft.rfft(x - x.mean())[1 : m + 1]) ** 2
    log_frequency = np.log(2.0 * np.pi / x.size * np.arange(1, m + 1))
    centred = log_frequency - log_frequency.mean()
    low, high = _LEAST, _MOST
    for _ in range(_STEPS):
        d = 0.5 * (low + high)
        if np.dot(np.exp(2.0 * d * centred) * periodogram, centred) < 0.0:
            low = d
        else:
            high = d
    return 0.5 * (low + high)


def difference_weights(d: float, length: int) -> F64:
    """The first coefficients of (1 - B)^d (length,): 1, -d, …; Granger & Joyeux (1980)."""
    j = np.arange(1.0, length)
    return np.concatenate(([1.0], np.cumprod((j - 1.0 - d) / j)))


def forecast_weights(d: float, phi: float, length: int, steps: int) -> F64:
    """Weights (steps, length) of x - mu, newest first, in the forecast of each step ahead.

    One step ahead has the AR(infinity) coefficients a of (1 - phi B)(1 - B)^d; k steps ahead have
    a_(k + j) plus, through the forecasts between, a_i times the weights of k - i steps ahead.
    """
    filtered = difference_weights(d, length + steps)
    a = -filtered
    a[1:] += phi * filtered[:-1]
    weights = np.empty((steps, length))
    for k in range(steps):
        weights[k] = a[k + 1 : k + 1 + length]
        for i in range(1, k + 1):
            weights[k] += a[i] * weights[k - i]
    return weights


def _autoregression(u: F64, at: I64) -> float:
    """phi of u_t = phi u_(t-1) + e by least squares about the mean, over adjacent origins."""
    u = u - u.mean()
    next_to = np.diff(at) == 1
    before, after = u[:-1][next_to], u[1:][next_to]
    spread = np.dot(before, before)
    phi = float(np.dot(before, after) / spread) if spread > 0.0 else 0.0
    return min(max(phi, -_STATIONARY), _STATIONARY)
