"""Every metric of every model's forecasts: pooled, per window and by group of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from harness.kernels import ranks as rank_loops
from harness.kernels import scores as score_loops
from harness.samples.target_scale import TargetScale
from harness.scores.losses import Values, qlike
from harness.scores.metrics import METRICS, Metric, columns_of, metrics_of
from harness.scores.risk.forecasts import DecidedTail
from harness.types import F64, I32, I64, Forecasts

_ROUNDING = 1e-12  # of the largest forecast: smaller differences come from the order of additions
_FIRST, _APART = 8, 1e-6  # rows, and the share by which those of other models differ


@dataclass(frozen=True)
class Scores:
    """Every metric of every model at one horizon: pooled (M,) and per window (w, M).

    The M columns are the metrics that `metrics_of` names, in its order.
    """

    horizon: str
    n: int
    window_n: tuple[int, ...]
    pooled: dict[str, F64]
    windows: dict[str, F64]
    floored: dict[str, int]

    def value(self, model: str, metric: str) -> float:
        """The pooled figure."""
        figures = self.pooled[model]
        return float(figures[columns_of(figures).index(metric)])

    def by_window(self, model: str, metric: str) -> F64:
        """The figure per window (w,)."""
        figures = self.windows[model]
        return figures[:, columns_of(figures).index(metric)]


def series(
    forecasts: Forecasts,
    scale: TargetScale,
    *,
    ranked: bool = True,
    decided: DecidedTail | None = None,
) -> tuple[Values, dict[str, Values]]:
    """The outcome and every model's forecast as the metrics read them; `ranked` for ic alone.

    With `decided` also VaR and ES, on the rows where they and the return are known for all models.

    A model whose forecasts equal an earlier model's up to rounding gets that model's values. So
    they tie in every metric, test and group, as bitwise equal forecasts do.
    """
    outcome = _values(forecasts, scale, forecasts.y, 0.0, 0.0, ranked)
    each = {}
    for name, yhat in forecasts.yhat.items():
        shifts = forecasts.fits[name].shifts(forecasts.symbol)
        each[name] = _values(forecasts, scale, yhat, *shifts, ranked)
    if decided is not None:
        outcome, each = decided.read(forecasts, outcome, each)
    models: dict[str, Values] = {}
    for name, own in each.items():
        models[name] = next((v for v in models.values() if _equal(v, own)), own)
    return outcome, models


def _equal(one: Values, other: Values) -> bool:
    """Whether two series of forecasts differ by rounding alone, on every scale."""
    # The first rows tell most models apart, so that few are compared row by row.
    if not _near(one.y[:_FIRST], other.y[:_FIRST], _APART):
        return False
    pairs = [(one.y, other.y), (one.sigma, other.sigma), (one.variance, other.variance)]
    if one.tail is not None and other.tail is not None:
        known = np.isfinite(one.tail.es)
        pairs += [(a[known], b[known]) for a, b in zip(one.tail.read, other.tail.read, strict=True)]
    return all(_near(a, b, _ROUNDING) for a, b in pairs)


def _near(a: F64, b: F64, share: float) -> bool:
    """Whether a and b (n,) nowhere differ by more than this share of the largest a."""
    with np.errstate(invalid="ignore"):  # two infinite forecasts: their difference is no number
        return bool(np.all(np.abs(a - b) <= share * np.abs(a).max(initial=0.0)))


def _others(outcome: Values) -> list[tuple[int, Metric]]:
    """The metrics that the compiled pass lacks, with their columns."""
    named = enumerate(metrics_of(outcome))
    return [(k, METRICS[name]) for k, name in named if name not in score_loops.SCORES]


def score(
    forecasts: Forecasts, scale: TargetScale, outcome: Values, models: dict[str, Values]
) -> Scores:
    """Every metric, pooled and per window. A metric of a constant series is NaN."""
    edges, n = forecasts.edges, forecasts.y.size
    whole = np.array([0, n], np.int64)
    others = _others(outcome)
    groups = [np.arange(a, b) for a, b in pairwise(edges.tolist())] if others else []
    pooled, windows = {}, {}
    for name, f in models.items():
        columns = _columns(outcome, f)
        names = metrics_of(outcome)
        pooled[name] = _compiled(names, whole, outcome.pooled, f.pooled, columns)[0]
        windows[name] = _compiled(names, edges, outcome.within, f.within, columns)
        for k, metric in others:
            pooled[name][k] = metric.figure(outcome, f)
            windows[name][:, k] = _by_group(metric, outcome, f, groups)
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
    """Every metric of every model over each group of rows (g, M); groups may share rows.

    `groups` are positions of rows; ranks are taken within a group. A group without rows gives NaN,
    and ic is NaN unless `ranked`.
    """
    rows = np.concatenate([np.empty(0, np.int64), *groups])
    edges = np.cumsum([0, *(g.size for g in groups)], dtype=np.int64)
    code = np.repeat(np.arange(len(groups), dtype=np.int32), np.diff(edges))
    names = metrics_of(outcome)
    found = {name: np.full((len(groups), len(names)), np.nan) for name in models}
    if not rows.size:
        return found
    ranks = partial(_ranks, group=code, groups=len(groups)) if ranked else _unranked
    rank_y = ranks(outcome.y[rows])[1]
    for name, f in models.items():
        columns = [column[rows] for column in _columns(outcome, f)]
        found[name] = _compiled(names, edges, rank_y, ranks(f.y[rows])[1], columns)
        for k, metric in _others(outcome):
            if ranked or not metric.ranked:
                found[name][:, k] = _by_group(metric, outcome, f, groups)
    return found


def _compiled(
    names: Sequence[str], edges: I64, rank_y: F64, rank_f: F64, columns: Sequence[F64]
) -> F64:
    """Metrics of the compiled pass over the rows between edges (g, M); the others are NaN."""
    out = np.empty((edges.size - 1, len(score_loops.SCORES)))
    score_loops.group_scores(edges, rank_y, rank_f, *columns, out)
    found = np.full((edges.size - 1, len(names)), np.nan)
    found[:, [names.index(name) for name in score_loops.SCORES]] = out
    return found


def _by_group(metric: Metric, outcome: Values, f: Values, groups: Sequence[I64]) -> F64:
    """One metric over each group of rows (g,); NaN for an empty group."""
    out = np.full(len(groups), np.nan)
    for g, rows in enumerate(groups):
        if rows.size:
            part = (taken(values, rows, ranked=metric.ranked) for values in (outcome, f))
            out[g] = metric.figure(*part)
    return out


def taken(values: Values, rows: I64, *, ranked: bool = True) -> Values:
    """The values of these rows, with ranks among them if `ranked`."""
    y = values.y[rows]
    pooled, within = _ranks(y, np.zeros(rows.size, np.int32), 1) if ranked else _unranked(y)
    last, log_sigma, sigma = (v[rows] for v in (values.last, values.log_sigma, values.sigma))
    moved = sigma if values.moved is values.sigma else values.moved[rows]
    returns = None if values.returns is None else values.returns[rows]
    tail = None if values.tail is None else values.tail.over(rows)
    return Values(
        y, last, log_sigma, sigma, moved, values.variance[rows], pooled, within, returns, tail
    )


def _columns(outcome: Values, f: Values) -> tuple[F64, ...]:
    """The columns that the compiled pass reads of one model, without ranks."""
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
    """Sigma (n,), NaN where its logarithm is at the floor; the same array where none is."""
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
