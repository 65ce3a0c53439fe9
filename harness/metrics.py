"""The scores: what each is, and every score pooled, per window and by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.kernels import ranks as rank_loops
from harness.kernels import scores as score_loops
from harness.losses import (
    Values,
    absolute_log,
    absolute_sigma,
    corr_influence,
    direction_influence,
    direction_loss,
    mape_influence,
    mape_loss,
    mean_influence,
    nll,
    qlike,
    r2_influence,
    rmse_influence,
    spearman_influence,
    squared_log,
    squared_sigma,
    squared_variance,
)
from harness.scale import TargetScale
from harness.types import F64, I32, I64, Forecasts


@dataclass(frozen=True)
class Metric:
    """A figure over rows of outcome and forecast; `higher` says which way is better.

    `loss(outcome, forecast)` (n,) is the per-row loss that a Diebold-Mariano test compares, None
    where there is none; `influence(outcome, forecast)` (n,) has mean zero. `signed` says that the
    best figure is not zero: it may lie on either side. `counts(outcome)` (n,) are the rows that
    the figure is over, None for all.
    """

    name: str
    higher: bool
    unit: str
    definition: str
    loss: Callable[[Values, Values], F64] | None
    influence: Callable[[Values, Values], F64]
    signed: bool = False
    counts: Callable[[Values], NDArray[np.bool_]] | None = None

    @property
    def has_share(self) -> bool:
        """Whether it is a loss from zero on, of which a share can be saved."""
        return not (self.higher or self.signed)


def _metric(name: str, unit: str, definition: str, loss: Callable[[Values, Values], F64]) -> Metric:
    return Metric(name, False, unit, definition, loss, mean_influence(loss))


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "ic",
            True,
            "rank correlation, -1 to 1",
            "Spearman's correlation of the target and its forecast, ties averaged",
            None,
            spearman_influence,
        ),
        Metric(
            "r2_log",
            True,
            "share of variance, at most 1",
            "1 - sum e^2 / sum (y - mean y)^2, y = ln sigma, e = y - its forecast",
            squared_log,
            r2_influence,
        ),
        _metric("mae_log", "ln sigma", "mean |y - forecast|, y = ln sigma", absolute_log),
        Metric(
            "rmse",
            False,
            "sigma per bar",
            "sqrt(mean (sigma - forecast sigma)^2)",
            squared_sigma,
            rmse_influence,
        ),
        _metric("mae", "sigma per bar", "mean |sigma - forecast sigma|", absolute_sigma),
        _metric(
            "mse",
            "sigma per bar, squared",
            "mean (sigma - forecast sigma)^2, the square of rmse",
            squared_sigma,
        ),
        _metric(
            "mse_var",
            "variance per bar, squared",
            "mean (sigma^2 - forecast variance)^2",
            squared_variance,
        ),
        _metric(
            "qlike",
            "nats, 0 is best",
            "mean (x - ln x - 1), x = sigma^2 / forecast variance "
            "(Patton 2011, J. Econometrics 160, eq. 24)",
            qlike,
        ),
        Metric(
            "corr",
            True,
            "correlation, -1 to 1",
            "Pearson's correlation of sigma and forecast sigma",
            None,
            corr_influence,
        ),
        Metric(
            "direction",
            True,
            "share of rows, 0 to 1",
            "share of forecasts on the same side as the target of its measure over the last "
            "horizon; a forecast of no change is right only where there is none",
            direction_loss,
            direction_influence,
            counts=lambda o: np.isfinite(o.last),
        ),
        Metric(
            "mape",
            False,
            "share of sigma, 0 is best",
            "mean |sigma - forecast sigma| / sigma over the rows whose sigma is above "
            "sample.floor; those at it, where no price moved, are left out",
            mape_loss,
            mape_influence,
            counts=lambda o: np.isfinite(o.moved),
        ),
        Metric(
            "nll",
            False,
            "nats, of either sign",
            "mean (ln 2 pi + ln h + v / h) / 2, v = sigma^2, h = forecast variance, per bar of "
            "returns in units: of a normal return of mean 0 and variance h whose square is v, as "
            "rv over one bar is; for other targets a quasi-likelihood, half of qlike but for "
            "terms of v alone",
            nll,
            mean_influence(nll),
            signed=True,
        ),
    )
}


@dataclass(frozen=True)
class Scores:
    """Every metric of every model at one horizon: pooled (12,) and per window (w, 12)."""

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
    """Every metric of every model over each group of rows (g, 12); groups may share rows.

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
    last, log_sigma, sigma = (v[rows] for v in (values.last, values.log_sigma, values.sigma))
    moved = sigma if values.moved is values.sigma else values.moved[rows]
    return Values(y, last, log_sigma, sigma, moved, values.variance[rows], pooled, within)


def _columns(outcome: Values, f: Values) -> tuple[F64, ...]:
    """What the score loops read of one model, but for the ranks."""
    return (
        outcome.log_sigma, f.log_sigma, outcome.sigma, f.sigma, outcome.moved,
        outcome.variance, f.variance, qlike(outcome, f), outcome.y, f.y, outcome.last,
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
    log_sigma = scale.log_sigma(y)
    moved = moving(scale, log_sigma, sigma)
    return Values(y, forecasts.last, log_sigma, sigma, moved, variance, pooled, within)


def moving(scale: TargetScale, log_sigma: F64, sigma: F64) -> F64:
    """Sigma (n,), NaN where its logarithm is at the floor; the very array where none is."""
    still = scale.at_floor(log_sigma)
    return np.where(still, np.nan, sigma) if still.any() else sigma


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
