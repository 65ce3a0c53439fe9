"""The scores: what each is, per-row losses, and every score pooled and per window.

A metric's influence values say how much each row moves the pooled figure: the figure is, to
first order, the mean of its influence values plus a constant. Tests and intervals for any metric
are built on them (inference.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.kernels import ranks as rank_loops
from harness.kernels import scores as score_loops
from harness.scale import TargetScale
from harness.types import F64, I32, I64, Forecasts


@dataclass(frozen=True)
class Values:
    """One series, outcome or forecast, n rows: on the target's scale, ln sigma, sigma, variance.

    `pooled` and `within` are its average ranks over all rows and over its window's, NaN where none
    were asked for; `last` is the outcome of the horizon before, on the target's scale.
    """

    y: F64
    last: F64
    log_sigma: F64
    sigma: F64
    variance: F64
    pooled: F64
    within: F64


@dataclass(frozen=True)
class Metric:
    """A figure over rows of outcome and forecast; `higher` says which way is better.

    `loss(outcome, forecast)` (n,) is the per-row loss that a Diebold-Mariano test compares, None
    where there is none; `influence(outcome, forecast)` (n,) has mean zero.
    """

    name: str
    higher: bool
    unit: str
    definition: str
    loss: Callable[[Values, Values], F64] | None
    influence: Callable[[Values, Values], F64]


def _squared_log(o: Values, f: Values) -> F64:
    return np.square(o.log_sigma - f.log_sigma)


def _absolute_log(o: Values, f: Values) -> F64:
    return np.abs(o.log_sigma - f.log_sigma)


def _squared_sigma(o: Values, f: Values) -> F64:
    return np.square(o.sigma - f.sigma)


def _absolute_sigma(o: Values, f: Values) -> F64:
    return np.abs(o.sigma - f.sigma)


def _squared_variance(o: Values, f: Values) -> F64:
    return np.square(o.variance - f.variance)


def _qlike(o: Values, f: Values) -> F64:
    x = o.variance / f.variance
    out = np.log(x)
    np.subtract(x, out, out=out)
    out -= 1.0
    return out


def _wrong_way(o: Values, f: Values) -> F64:
    wrong = (np.sign(f.y - o.last) != np.sign(o.y - o.last)).astype(np.float64)
    wrong[np.isnan(o.last)] = np.nan
    return wrong


def _direction_loss(o: Values, f: Values) -> F64:
    wrong = _wrong_way(o, f)
    known = np.isfinite(wrong)
    # A row without a last value counts as the average row: it moves nothing.
    return np.where(known, wrong, wrong[known].mean()) if known.any() else np.zeros(wrong.size)


def _direction_influence(o: Values, f: Values) -> F64:
    wrong = _wrong_way(o, f)
    known = np.isfinite(wrong)
    if not known.any():
        return np.full(wrong.size, np.nan)
    return np.where(known, wrong[known].mean() - wrong, 0.0) / known.mean()


def _mean_influence(loss: Callable[[Values, Values], F64]) -> Callable[[Values, Values], F64]:
    def influence(o: Values, f: Values) -> F64:
        values = loss(o, f)
        return values - values.mean()

    return influence


# The influence on a figure that is not defined, of a constant series say, is NaN without a word.
_UNDEFINED = np.errstate(divide="ignore", invalid="ignore")


@_UNDEFINED
def _r2_influence(o: Values, f: Values) -> F64:
    errors = _squared_log(o, f)
    spread = np.square(o.log_sigma - o.log_sigma.mean())
    return (spread * (errors.mean() / spread.mean()) - errors) / spread.mean()


@_UNDEFINED
def _rmse_influence(o: Values, f: Values) -> F64:
    errors = _squared_sigma(o, f)
    return (errors - errors.mean()) / (2.0 * np.sqrt(errors.mean()))


@_UNDEFINED
def _pearson_influence(a: F64, b: F64) -> F64:
    za, zb = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    r = np.mean(za * zb)
    return za * zb - r * (np.square(za) + np.square(zb)) / 2.0


def _corr_influence(o: Values, f: Values) -> F64:
    return _pearson_influence(o.sigma, f.sigma)


@_UNDEFINED
def _spearman_influence(o: Values, f: Values) -> F64:
    """Ranks are estimated too, so a row also moves the ranks of all rows above it.

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
    """(1/n) times the sum of `values` over rows placed above each row; equal places count half."""
    sums = np.bincount(place, weights=values)
    return (sums.sum() - np.cumsum(sums) + 0.5 * sums)[place] / values.size


def _metric(name: str, unit: str, definition: str, loss: Callable[[Values, Values], F64]) -> Metric:
    return Metric(name, False, unit, definition, loss, _mean_influence(loss))


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "ic",
            True,
            "rank correlation, -1 to 1",
            "Spearman's correlation of the target and its forecast, ties averaged",
            None,
            _spearman_influence,
        ),
        Metric(
            "r2_log",
            True,
            "share of variance, at most 1",
            "1 - sum e^2 / sum (y - mean y)^2, y = ln sigma, e = y - its forecast",
            _squared_log,
            _r2_influence,
        ),
        _metric("mae_log", "ln sigma", "mean |y - forecast|, y = ln sigma", _absolute_log),
        Metric(
            "rmse",
            False,
            "sigma per bar",
            "sqrt(mean (sigma - forecast sigma)^2)",
            _squared_sigma,
            _rmse_influence,
        ),
        _metric("mae", "sigma per bar", "mean |sigma - forecast sigma|", _absolute_sigma),
        _metric(
            "mse",
            "sigma per bar, squared",
            "mean (sigma - forecast sigma)^2, the square of rmse",
            _squared_sigma,
        ),
        _metric(
            "mse_var",
            "variance per bar, squared",
            "mean (sigma^2 - forecast variance)^2",
            _squared_variance,
        ),
        _metric(
            "qlike",
            "nats, 0 is best",
            "mean (x - ln x - 1), x = sigma^2 / forecast variance "
            "(Patton 2011, J. Econometrics 160, eq. 24)",
            _qlike,
        ),
        Metric(
            "corr",
            True,
            "correlation, -1 to 1",
            "Pearson's correlation of sigma and forecast sigma",
            None,
            _corr_influence,
        ),
        Metric(
            "direction",
            True,
            "share of rows, 0 to 1",
            "share of forecasts on the same side as the target of its measure over the last "
            "horizon; a forecast of no change is right only where there is none",
            _direction_loss,
            _direction_influence,
        ),
    )
}


@dataclass(frozen=True)
class Scores:
    """Every metric of every model at one horizon: pooled (10,) and per window (w, 10)."""

    horizon: str
    n: int
    window_n: tuple[int, ...]
    pooled: dict[str, F64]
    windows: dict[str, F64]
    floored: dict[str, int]

    def value(self, model: str, metric: str) -> float:
        """The pooled figure."""
        return float(self.pooled[model][list(METRICS).index(metric)])

    def by_window(self, model: str, metric: str) -> F64:
        """The figure per window (w,)."""
        return self.windows[model][:, list(METRICS).index(metric)]


def series(
    forecasts: Forecasts, scale: TargetScale, *, ranked: bool = True
) -> tuple[Values, dict[str, Values]]:
    """The outcome and every model's forecast as the metrics read them; `ranked` for ic alone."""
    outcome = _values(forecasts, scale, forecasts.y, 0.0, 0.0, ranked)
    models = {}
    for name, yhat in forecasts.yhat.items():
        shifts = forecasts.fits[name].shifts(forecasts.symbol)
        models[name] = _values(forecasts, scale, yhat, *shifts, ranked)
    return outcome, models


def score(
    forecasts: Forecasts, scale: TargetScale, outcome: Values, models: dict[str, Values]
) -> Scores:
    """Every metric, pooled and per window. A metric of a constant series is NaN."""
    edges, n = forecasts.edges, forecasts.y.size
    whole = np.array([0, n], np.int64)
    pooled, windows = {}, {}
    for name, f in models.items():
        pooled[name] = np.empty(len(METRICS))
        windows[name] = np.empty((edges.size - 1, len(METRICS)))
        columns = _columns(outcome, f)
        score_loops.group_scores(whole, outcome.pooled, f.pooled, *columns, pooled[name][None])
        score_loops.group_scores(edges, outcome.within, f.within, *columns, windows[name])
    return Scores(
        horizon=forecasts.horizon,
        n=n,
        window_n=tuple(int(x) for x in np.diff(edges)),
        pooled=pooled,
        windows=windows,
        floored={name: scale.floored(yhat) for name, yhat in forecasts.yhat.items()},
    )


def score_groups(
    outcome: Values,
    models: Mapping[str, Values],
    groups: Sequence[I64],
    *,
    ranked: bool = True,
) -> dict[str, F64]:
    """Every metric of every model over each group of rows (g, 10); groups may share rows.

    `groups` are positions of rows. Ranks are those within the group; a group without rows is NaN,
    and so is ic unless `ranked`.
    """
    rows = np.concatenate([np.empty(0, np.int64), *groups])
    edges = np.cumsum([0, *(g.size for g in groups)], dtype=np.int64)
    code = np.repeat(np.arange(len(groups), dtype=np.int32), np.diff(edges))
    found = {name: np.full((len(groups), len(METRICS)), np.nan) for name in models}
    if not rows.size:
        return found
    ranks = partial(_ranks, group=code, groups=len(groups)) if ranked else _unranked
    rank_y = ranks(outcome.y[rows])[1]
    for name, f in models.items():
        columns = (column[rows] for column in _columns(outcome, f))
        rank_f = ranks(f.y[rows])[1]
        score_loops.group_scores(edges, rank_y, rank_f, *columns, found[name])
    return found


def taken(values: Values, rows: I64, *, ranked: bool = True) -> Values:
    """The values of these rows, ranked among themselves where `ranked`."""
    y = values.y[rows]
    pooled, within = _ranks(y, np.zeros(rows.size, np.int32), 1) if ranked else _unranked(y)
    picked = (v[rows] for v in (values.last, values.log_sigma, values.sigma, values.variance))
    return Values(y, *picked, pooled, within)


def _columns(outcome: Values, f: Values) -> tuple[F64, ...]:
    """What the score loops read of one model, but for the ranks."""
    return (
        outcome.log_sigma, f.log_sigma, outcome.sigma, f.sigma, outcome.variance, f.variance,
        _qlike(outcome, f), outcome.y, f.y, outcome.last,
    )  # fmt: skip


def _values(
    forecasts: Forecasts,
    scale: TargetScale,
    y: F64,
    var_shift: F64 | float,
    sigma_shift: F64 | float,
    ranked: bool,
) -> Values:
    windows = forecasts.edges.size - 1
    pooled, within = _ranks(y, forecasts.window, windows) if ranked else _unranked(y)
    sigma, variance = scale.sigma(y, sigma_shift), scale.variance(y, var_shift)
    return Values(y, forecasts.last, scale.log_sigma(y), sigma, variance, pooled, within)


def _unranked(y: F64) -> tuple[F64, F64]:
    none = np.full(y.size, np.nan)
    return none, none


def _ranks(y: F64, group: I32, groups: int) -> tuple[F64, F64]:
    """Average ranks of y (n,) over all rows and over those of each group, `group` ascending."""
    row_bits = y.size.bit_length()
    order = np.empty(y.size, np.int64)
    rank_loops.sort_keys(y.view(np.int64), row_bits, order)
    order.sort()
    pooled, within = np.empty(y.size), np.empty(y.size)
    rest = y, group, np.empty(groups, np.int64), pooled, within
    if rank_loops.average_ranks(order, row_bits, *rest):
        rank_loops.average_ranks(np.argsort(y, kind="stable"), row_bits, *rest)
    return pooled, within
