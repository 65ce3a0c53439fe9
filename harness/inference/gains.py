"""The evidence for a gain: its test, its interval by inversion of the test, its power.

Test and interval use one standard error, from the series' lowest frequencies, and Student's t. So
the interval lies above a gain exactly where "the gain is at most this" is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.inference.diebold_mariano import (
    cosine_projections,
    cosine_terms,
    is_constant,
    student_t_quantile,
    student_t_sf,
)
from harness.inference.evidence import Claim, Evidence, GainAs
from harness.inference.gain_interval import (
    GainScale,
    MeanLosses,
    Ratio,
    RootDifference,
    RootRatio,
)
from harness.scores.forecast_origins import ForecastOrigins, by_origin
from harness.scores.losses import Values
from harness.scores.metrics import METRICS, Metric
from harness.types import F64, Forecasts

POWER = 0.8


class Seed(NamedTuple):
    """One seed: every model's values, the candidates' gains, the baseline's figure."""

    models: Mapping[str, Values]
    gains: Mapping[str, float]
    base: float


def evidence(
    forecasts: Forecasts,
    outcome: Values,
    seeds: Sequence[Seed],
    *,
    baseline: str,
    candidates: tuple[str, ...],
    metric: str,
    gain_as: GainAs,
    alpha: float,
    min_gain: float = 0.0,
    claim: Claim = "better",
    tried: int | None = None,
    most_cosines: int | None = None,
) -> tuple[Evidence, ...]:
    """The evidence for each candidate's gain over the baseline, in the order of the candidates.

    With several seeds the gain is the mean over seeds; means of losses are too, and the spread of
    the seeds' means widens test and interval.

    Args:
        forecasts: of the n rows in time order.
        outcome: the outcome's values (n,).
        seeds: every model's values, gains and the baseline's figure, by seed.
        baseline, candidates: names among the models.
        metric: one of METRICS.
        gain_as: `difference` in the metric's unit, or `relative` to the baseline's figure.
        alpha: one-sided level, shared by the candidates for the claim `better`; for `equal` all of
            them must be close, so each is held against the whole of it.
        min_gain: the gain claimed, or the margin of `equal`; `p_claim` tests it.
        claim: `better` or `equal`.
        tried: the number of candidates that alpha is shared by, if not those given.
        most_cosines: at most so many, where the rows are worth less than their number.
    """
    m = METRICS[metric]
    tried = tried or len(candidates)
    origins = by_origin(forecasts.formed_at)
    cosines = cosine_terms(origins.n, forecasts.overlap)
    if most_cosines is not None:
        cosines = min(cosines, most_cosines)
    scale = _scale(m, gain_as)
    bases = [_base(m, origins, outcome, s, baseline, gain_as) for s in seeds]
    whole = _whole(bases, cosines)
    sharing = 1 if claim == "equal" else tried
    out = []
    for name in candidates:
        saved = [
            _saved(m, origins, outcome, of.lost, s.models[name], s.gains[name] * of.figure)
            for of, s in zip(bases, seeds, strict=True)
        ]
        gains = tuple(s.gains[name] for s in seeds)
        gain = math.fsum(gains) / len(gains)
        means, df = _mean_losses(saved, whole, cosines)
        statistic = means.statistic(0.0)
        p, critical = _p_above(statistic, df), _quantile(1.0 - alpha / tried, df)
        error = scale.error(means)
        null_error = abs(gain / statistic) if statistic else error
        low, high = scale.interval(means, _quantile(1.0 - alpha / sharing, df))
        out.append(
            Evidence(
                candidate=name,
                baseline=baseline,
                metric=metric,
                horizon=forecasts.horizon,
                gain=gain,
                gain_low=low,
                gain_high=_below_all(high) if gain_as == "relative" else high,
                level=1.0 - 2.0 * alpha,
                statistic=statistic,
                p_value=p,
                p_adjusted=min(1.0, p * tried),
                p_claim=_p_claim(scale, means, df, min_gain, claim, sharing),
                n=origins.n,
                cosines=cosines,
                overlap=forecasts.overlap,
                standard_error=error,
                critical=critical,
                detectable=_detectable(critical + _quantile(POWER, df), null_error, gain_as),
                windows=len(forecasts.windows),
                df=df,
                seeds=gains if len(gains) > 1 else (),
            )
        )
    return tuple(out)


def _below_all(high: float) -> float:
    """The upper end of a relative gain: none where it is a whole loss or more."""
    return high if high < 1.0 else (math.nan if math.isnan(high) else math.inf)


def _detectable(errors: float, error: float, gain_as: GainAs) -> float:
    """The minimum detectable gain; NaN where it would be more than the whole of a loss."""
    least = errors * error
    return math.nan if gain_as == "relative" and least >= 1.0 else least


def _scale(m: Metric, gain_as: GainAs) -> GainScale:
    if not m.root:
        return Ratio()
    return RootRatio() if gain_as == "relative" else RootDifference()


class _Base(NamedTuple):
    """The baseline with one seed: its loss or influence (n,), the figure that a gain is a share of.

    `whole` (t,) is by forecast origin what the gain is a share of, None for 1.
    """

    lost: F64
    figure: float
    whole: F64 | None


def _by_influence(m: Metric) -> bool:
    """Whether the figure is no mean over all rows: to first order it is one of influence values."""
    return m.loss is None or m.counts is not None


def _base(
    m: Metric,
    origins: ForecastOrigins,
    outcome: Values,
    seed: Seed,
    baseline: str,
    gain_as: GainAs,
) -> _Base:
    lost = _lost(m, outcome, seed.models[baseline])
    whole = None
    if gain_as == "relative" or m.root:
        whole = seed.base + lost if _by_influence(m) else lost
    elif m.divisor:
        whole = m.divisor(outcome)
    figure = seed.base if gain_as == "relative" else 1.0
    return _Base(lost, figure, None if whole is None else origins.averages(whole))


def saved_losses(
    m: Metric, origins: ForecastOrigins, outcome: Values, base: Values, own: Values, gain: float
) -> F64:
    """By forecast origin (t,): the loss that `own` saves over `base`, which the test is about.

    `gain` is the difference of the figures, positive for better. For a figure that is no mean over
    all rows it is the gain plus each row's influence on it.
    """
    return _saved(m, origins, outcome, _lost(m, outcome, base), own, gain)


def _lost(m: Metric, outcome: Values, base: Values) -> F64:
    return m.influence(outcome, base) if _by_influence(m) else m.losses(outcome, base)


def _saved(
    m: Metric, origins: ForecastOrigins, outcome: Values, lost: F64, own: Values, gain: float
) -> F64:
    if not _by_influence(m):
        return origins.averages(lost - m.losses(outcome, own))
    moved = m.influence(outcome, own) - lost
    return gain + origins.averages(moved if m.higher else -moved)


class _Whole(NamedTuple):
    """What a gain is a share of: its mean, its projections on the cosines, its mean by seed."""

    mean: float
    projected: F64
    by_seed: F64


def _whole(bases: Sequence[_Base], cosines: int) -> _Whole:
    each = [b.whole for b in bases if b.whole is not None]
    if not each:
        return _Whole(1.0, np.zeros(cosines), np.ones(len(bases)))
    mean = _mean(each)
    return _Whole(float(mean.mean()), _projected(mean, cosines), np.array([x.mean() for x in each]))


def _mean(each: Sequence[F64]) -> F64:
    return each[0] if len(each) == 1 else np.mean(each, axis=0)


def _projected(x: F64, cosines: int) -> F64:
    """The cosine projections of x (t,): (cosines,); zeros where x does not vary."""
    if not cosines or is_constant(x):
        return np.zeros(cosines)
    return cosine_projections(x[:, None], cosines)[:, 0]


def _mean_losses(each: Sequence[F64], whole: _Whole, cosines: int) -> tuple[MeanLosses, float]:
    """Means with their covariance over time and over seeds; degrees of freedom.

    Time and seeds are independent, so covariances add; degrees of freedom by Welch (1947),
    Biometrika 34, and Satterthwaite, for the test of no gain.
    """
    saved = _mean(each)
    in_time = _covariance(_projected(saved, cosines), whole.projected, cosines * saved.size)
    over_seeds = _of_seeds(np.array([x.mean() for x in each]), whole.by_seed)
    total = [a + b for a, b in zip(in_time, over_seeds, strict=True)]
    means = MeanLosses(float(saved.mean()), whole.mean, *total)
    if not (cosines and over_seeds[0] > 0.0 and total[0] > 0.0):
        return means, float(cosines)
    parts = (in_time[0] / total[0]) ** 2 / cosines
    return means, 1.0 / (parts + (over_seeds[0] / total[0]) ** 2 / (len(each) - 1))


def _of_seeds(saved: F64, whole: F64) -> tuple[float, float, float]:
    """The covariance of the means over seeds; none where the seeds agree but for rounding."""
    if saved.size < 2:
        return 0.0, 0.0, 0.0
    own, base = (np.zeros(x.size) if is_constant(x) else x - x.mean() for x in (saved, whole))
    return _covariance(own, base, saved.size * (saved.size - 1))


def _covariance(own: F64, base: F64, per: int) -> tuple[float, float, float]:
    """Products of own and base (k,) with own, of both, of base with base; NaN for none."""
    if not per:
        return math.nan, math.nan, math.nan
    return float(own @ own) / per, float(own @ base) / per, float(base @ base) / per


def _p_claim(
    scale: GainScale, means: MeanLosses, df: float, min_gain: float, claim: Claim, sharing: int
) -> float:
    """The adjusted p-value of "the gain is at most min_gain", or of "not within the margin"."""
    if not df or math.isnan(df):
        return math.nan
    above = _p_above(scale.statistic(means, min_gain), df)
    if claim == "better":
        if min_gain > 0.0:
            # It is at most min_gain where it is none; a ratio's statistic need not know that.
            above = max(above, _p_above(scale.statistic(means, 0.0), df))
        return min(1.0, above * sharing)
    return max(1.0 - above, _p_above(scale.statistic(means, -min_gain), df))


def _p_above(statistic: float, df: float) -> float:
    return student_t_sf(statistic, df) if statistic and df else 0.5


def _quantile(p: float, df: float) -> float:
    return student_t_quantile(p, df) if df else math.nan
