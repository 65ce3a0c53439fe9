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


class _Series(NamedTuple):
    """By forecast origin (t,): the loss saved, and what the gain is a share of, None for 1."""

    saved: F64
    whole: F64 | None


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
    sharing = 1 if claim == "equal" else tried
    out = []
    for name in candidates:
        each = [_series(m, origins, outcome, s, baseline, name, gain_as) for s in seeds]
        gains = tuple(s.gains[name] for s in seeds)
        gain = math.fsum(gains) / len(gains)
        means, df = _mean_losses(each, cosines)
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
                gain_high=min(high, 1.0) if gain_as == "relative" else high,
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
                detectable=(critical + _quantile(POWER, df)) * null_error,
                windows=len(forecasts.windows),
                df=df,
                seeds=gains if len(gains) > 1 else (),
            )
        )
    return tuple(out)


def _scale(m: Metric, gain_as: GainAs) -> GainScale:
    if not m.root:
        return Ratio()
    return RootRatio() if gain_as == "relative" else RootDifference()


def _series(
    m: Metric,
    origins: ForecastOrigins,
    outcome: Values,
    seed: Seed,
    baseline: str,
    name: str,
    gain_as: GainAs,
) -> _Series:
    base, own = seed.models[baseline], seed.models[name]
    if m.loss is None or m.counts is not None:
        # The figure is no mean over all rows: to first order it is one of influence values.
        influence = m.influence(outcome, own) - m.influence(outcome, base)
        gain = seed.gains[name] * (seed.base if gain_as == "relative" else 1.0)
        saved = gain + origins.averages(influence if m.higher else -influence)
        share = seed.base + m.influence(outcome, base) if gain_as == "relative" else None
    else:
        lost = m.losses(outcome, base)
        saved = origins.averages(lost - m.losses(outcome, own))
        share = m.divisor(outcome) if m.divisor else None
        if m.root or gain_as == "relative":
            share = lost
    return _Series(saved, None if share is None else origins.averages(share))


def _mean_losses(each: Sequence[_Series], cosines: int) -> tuple[MeanLosses, float]:
    """Means with their covariance over time and over seeds; degrees of freedom.

    Time and seeds are independent, so covariances add; degrees of freedom by Welch (1947),
    Biometrika 34, and Satterthwaite, for the test of no gain.
    """
    saved = np.mean([s.saved for s in each], axis=0)
    shares = [s.whole for s in each if s.whole is not None]
    whole = np.mean(shares, axis=0) if shares else None
    over_time = _covariance(saved, whole, cosines)
    over_seeds = _of_seeds(each)
    var_saved, cov, var_whole = (a + b for a, b in zip(over_time, over_seeds, strict=True))
    mean = float(whole.mean()) if whole is not None else 1.0
    means = MeanLosses(float(saved.mean()), mean, var_saved, cov, var_whole)
    if not (cosines and over_seeds[0] > 0.0 and var_saved > 0.0):
        return means, float(cosines)
    parts = (over_time[0] / var_saved) ** 2 / cosines
    return means, 1.0 / (parts + (over_seeds[0] / var_saved) ** 2 / (len(each) - 1))


_Covariance = tuple[float, float, float]  # of saved, of both, of whole


def _covariance(saved: F64, whole: F64 | None, cosines: int) -> _Covariance:
    """Of the means over time: equal-weighted cosines, as in `standard_error`."""
    if not cosines:
        return math.nan, math.nan, math.nan
    still = is_constant(saved), whole is None or is_constant(whole)
    columns = [saved, saved if whole is None else whole][: 1 if whole is None else 2]
    projected = cosine_projections(np.column_stack(columns), cosines)
    own, base = projected[:, 0] * (not still[0]), projected[:, -1] * (not still[1])
    per = cosines * saved.size
    return float(own @ own) / per, float(own @ base) / per, float(base @ base) / per


def _of_seeds(each: Sequence[_Series]) -> _Covariance:
    """Of the means over seeds; none where the seeds agree but for rounding."""
    if len(each) < 2:
        return 0.0, 0.0, 0.0
    saved = np.array([s.saved.mean() for s in each])
    whole = np.array([1.0 if s.whole is None else s.whole.mean() for s in each])
    saved, whole = (np.zeros(x.size) if is_constant(x) else x - x.mean() for x in (saved, whole))
    per = len(each) * (len(each) - 1)
    return float(saved @ saved) / per, float(saved @ whole) / per, float(whole @ whole) / per


def _p_claim(
    scale: GainScale, means: MeanLosses, df: float, min_gain: float, claim: Claim, sharing: int
) -> float:
    """The adjusted p-value of "the gain is at most min_gain", or of "not within the margin"."""
    if not df or math.isnan(df):
        return 1.0
    above = _p_above(scale.statistic(means, min_gain), df)
    if claim == "better":
        return min(1.0, above * sharing)
    return max(1.0 - above, _p_above(scale.statistic(means, -min_gain), df))


def _p_above(statistic: float, df: float) -> float:
    return student_t_sf(statistic, df) if statistic and df else 0.5


def _quantile(p: float, df: float) -> float:
    return student_t_quantile(p, df) if df else math.nan
