"""The loss of each row, and each row's influence on the pooled figure of a metric.

To first order, a pooled figure is a constant plus the mean of the rows' influence values. Tests
and intervals for any metric are built on them (harness/inference).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.types import F64, I64

_LN_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Tail:
    """VaR and ES forecasts (n,) at a level: log returns over the horizon, usually negative."""

    level: float
    var: F64
    es: F64

    @property
    def read(self) -> tuple[F64, F64]:
        """The forecasts of VaR and ES."""
        return self.var, self.es

    def over(self, rows: I64) -> Tail:
        """Those of these rows."""
        return Tail(self.level, self.var[rows], self.es[rows])


@dataclass(frozen=True)
class Values:
    """One series, outcome or forecast, n rows: on the target's scale, ln sigma, sigma, variance.

    `pooled` and `within` are average ranks over all rows and over the rows of the same window, NaN
    where ranks were not asked for; `last` is the outcome of the previous horizon, on the target's
    scale; `moved` is sigma, NaN where it is at the floor. Where a verdict is on VaR or ES, an
    outcome has `returns`, the log return over the horizon, NaN in rows that risk metrics leave out,
    and a forecast has a `tail`.
    """

    y: F64
    last: F64
    log_sigma: F64
    sigma: F64
    moved: F64
    variance: F64
    pooled: F64
    within: F64
    returns: F64 | None = None
    tail: Tail | None = None


TailLoss = Callable[[F64, float, F64, F64], F64]  # of returns, the level, VaR and ES
Loss = Callable[[Values, Values], F64]


def squared_log(o: Values, f: Values) -> F64:
    """The squared error of ln sigma."""
    return np.square(o.log_sigma - f.log_sigma)


def squared_deviation(o: Values) -> F64:
    """The squared deviation of ln sigma from its mean."""
    return np.square(o.log_sigma - o.log_sigma.mean())


def absolute_log(o: Values, f: Values) -> F64:
    """The absolute error of ln sigma."""
    return np.abs(o.log_sigma - f.log_sigma)


def squared_sigma(o: Values, f: Values) -> F64:
    """The squared error of sigma."""
    return np.square(o.sigma - f.sigma)


def absolute_sigma(o: Values, f: Values) -> F64:
    """The absolute error of sigma."""
    return np.abs(o.sigma - f.sigma)


def squared_variance(o: Values, f: Values) -> F64:
    """The squared error of the variance."""
    return np.square(o.variance - f.variance)


def qlike(o: Values, f: Values) -> F64:
    """x - ln x - 1, where x is the realised variance over its forecast."""
    x = o.variance / f.variance
    out = np.log(x)
    np.subtract(x, out, out=out)
    out -= 1.0
    return out


def _wrong_way(o: Values, f: Values) -> F64:
    wrong = (np.sign(f.y - o.last) != np.sign(o.y - o.last)).astype(np.float64)
    wrong[np.isnan(o.last)] = np.nan
    return wrong


def direction_loss(o: Values, f: Values) -> F64:
    """1 where forecast and outcome lie on different sides of the last outcome, else 0."""
    wrong = _wrong_way(o, f)
    known = np.isfinite(wrong)
    # A row without a last value gets the average loss, so it has no influence.
    return np.where(known, wrong, wrong[known].mean()) if known.any() else np.zeros(wrong.size)


def direction_influence(o: Values, f: Values) -> F64:
    """Influence on the share of rows on the right side."""
    wrong = _wrong_way(o, f)
    known = np.isfinite(wrong)
    if not known.any():
        return np.full(wrong.size, np.nan)
    return np.where(known, wrong[known].mean() - wrong, 0.0) / known.mean()


def missed_share(o: Values, f: Values) -> F64:
    """Absolute error as a share of sigma; NaN where no price moved."""
    return np.abs(o.sigma - f.sigma) / o.moved


def over_known(loss: Loss) -> Loss:
    """The mean of a loss plus each row's influence on it; a row with loss NaN has no influence.

    A test averages over all rows, the figure over fewer. So the deviations of the counted rows are
    scaled up: mean and standard error of this loss are those of the figure.
    """

    def filled(o: Values, f: Values) -> F64:
        values = loss(o, f)
        known = np.isfinite(values)
        if not known.any():
            return np.zeros(values.size)
        return values[known].mean() + _known_influence(values)

    return filled


def influence_of_known(loss: Loss) -> Loss:
    """Influence on the mean of a loss over the rows where it is not NaN."""
    return lambda o, f: _known_influence(loss(o, f))


def _known_influence(values: F64) -> F64:
    known = np.isfinite(values)
    if not known.any():
        return np.full(values.size, np.nan)
    return np.where(known, values - values[known].mean(), 0.0) / known.mean()


def tail_loss(loss: TailLoss) -> Loss:
    """A loss of VaR and ES forecasts on returns (n,), NaN in rows that are left out.

    It is infinite where the forecast is.
    """

    def of_rows(o: Values, f: Values) -> F64:
        assert o.returns is not None, "an outcome has returns where the verdict is on VaR or ES"
        assert f.tail is not None, "so has a forecast its tail"
        with np.errstate(invalid="ignore"):
            values = loss(o.returns, f.tail.level, f.tail.var, f.tail.es)
        return np.where(np.isfinite(values) | np.isnan(o.returns), values, np.inf)

    return of_rows


def nll(o: Values, f: Values) -> F64:
    """Minus the log density of a normal return: forecast variance, realised squared return."""
    return 0.5 * (_LN_2PI + np.log(f.variance) + o.variance / f.variance)


def mean_influence(loss: Loss) -> Loss:
    """Influence on the mean of a loss."""

    def influence(o: Values, f: Values) -> F64:
        values = loss(o, f)
        return values - values.mean()

    return influence


# The influence on an undefined figure, of a constant series for example, is NaN with no warning.
_UNDEFINED = np.errstate(divide="ignore", invalid="ignore")


@_UNDEFINED
def r2_influence(o: Values, f: Values) -> F64:
    """Influence on 1 - the mean squared error over the variance of ln sigma."""
    errors = squared_log(o, f)
    spread = squared_deviation(o)
    return (spread * (errors.mean() / spread.mean()) - errors) / spread.mean()


@_UNDEFINED
def rmse_influence(o: Values, f: Values) -> F64:
    """Influence on the root mean squared error of sigma."""
    errors = squared_sigma(o, f)
    return (errors - errors.mean()) / (2.0 * np.sqrt(errors.mean()))


def pearson(a: F64, b: F64) -> float:
    """Pearson's correlation of a and b (n,); NaN where either is constant."""
    return float(np.corrcoef(a, b)[0, 1])


@_UNDEFINED
def _pearson_influence(a: F64, b: F64) -> F64:
    za, zb = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    r = np.mean(za * zb)
    return za * zb - r * (np.square(za) + np.square(zb)) / 2.0


def corr_influence(o: Values, f: Values) -> F64:
    """Influence on Pearson's correlation of sigma."""
    return _pearson_influence(o.sigma, f.sigma)


@_UNDEFINED
def spearman_influence(o: Values, f: Values) -> F64:
    """Influence on the rank correlation: a row also moves the ranks of all rows above it.

    With u, v the centred ranks in (-1/2, 1/2) and m(u, v) = u v + E[v 1(x above)] + E[u 1(y above)]
    (Croux & Dehon 2010, Statistical Methods & Applications 19, section 2), the correlation
    E[u v] / sqrt(E[u^2] E[v^2]) moves by m(u, v) / sqrt(E[u^2] E[v^2]) less half of it times
    m(u, u) / E[u^2] + m(v, v) / E[v^2], centred; without ties the last two are constant.
    """
    n = o.pooled.size
    u, v = (o.pooled - 0.5) / n - 0.5, (f.pooled - 0.5) / n - 0.5
    x, y = (np.unique(s.pooled, return_inverse=True)[1] for s in (o, f))
    uu, vv = np.mean(u * u), np.mean(v * v)
    total = (u * v + _mean_above(x, v) + _mean_above(y, u)) / np.sqrt(uu * vv)
    own = (u * u + 2.0 * _mean_above(x, u)) / uu + (v * v + 2.0 * _mean_above(y, v)) / vv
    total -= 0.5 * np.mean(u * v) / np.sqrt(uu * vv) * own
    return total - total.mean()


def _mean_above(place: I64, values: F64) -> F64:
    """(1/n) times the sum of `values` over the rows above each row; ties count half."""
    sums = np.bincount(place, weights=values)
    return (sums.sum() - np.cumsum(sums) + 0.5 * sums)[place] / values.size
