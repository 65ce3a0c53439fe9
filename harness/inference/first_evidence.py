"""Evidence as runs under the first verdict rule have it, for their replay.

Its intervals are of the delta method at the estimated gain, each at its own level, whatever the
number of candidates. New runs have the evidence of `gains`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from harness.inference.diebold_mariano import (
    ROUNDING,
    cosine_terms,
    standard_error,
    student_t_quantile,
    student_t_sf,
)
from harness.inference.evidence import Evidence, GainAs
from harness.inference.gains import POWER, Seed
from harness.scores.forecast_origins import ForecastOrigins, by_origin
from harness.scores.losses import Values
from harness.scores.metrics import METRICS, Metric
from harness.types import F64, Forecasts


def first_evidence(
    forecasts: Forecasts,
    outcome: Values,
    seeds: Sequence[Seed],
    *,
    baseline: str,
    candidates: tuple[str, ...],
    metric: str,
    gain_as: GainAs,
    alpha: float,
    tried: int | None = None,
) -> tuple[Evidence, ...]:
    """The evidence for each candidate's gain over the baseline, in the order of the candidates.

    The p-value is one-sided, against "no gain"; `p_adjusted` is Bonferroni's over the candidates,
    since the best of them is chosen. The interval has level 1 - 2 alpha. With several seeds the
    gain is the mean over seeds, and their spread widens test and interval.
    """
    m, alpha_each = METRICS[metric], alpha / len(candidates)
    origins = by_origin(forecasts.formed_at)
    cosines = cosine_terms(origins.n, forecasts.overlap)
    out = []
    for name in candidates:
        each = [_differences(m, origins, outcome, s, baseline, name, gain_as) for s in seeds]
        gains = tuple(s.gains[name] for s in seeds)
        gain = math.fsum(gains) / len(gains)
        moved, losses = (np.mean(part, axis=0) for part in zip(*each, strict=True))
        statistic, p, df = _tested(losses, [float(part[1].mean()) for part in each], cosines)
        # The standard error of the gain under the test: the scale of a relative gain varies too
        # and widens the interval, but under "no gain" there is nothing to scale.
        error, wide_df = _with_spread(standard_error(moved, cosines), cosines, gains)
        null_error = abs(gain / statistic) if statistic else error
        half, critical = _multiple(1.0 - alpha, wide_df), _multiple(1.0 - alpha_each, df)
        out.append(
            Evidence(
                candidate=name,
                baseline=baseline,
                metric=metric,
                horizon=forecasts.horizon,
                gain=gain,
                gain_low=gain - half * error,
                gain_high=gain + half * error,
                level=1.0 - 2.0 * alpha,
                statistic=statistic,
                p_value=p,
                p_adjusted=min(1.0, p * (tried or len(candidates))),
                n=origins.n,
                cosines=cosines,
                overlap=forecasts.overlap,
                standard_error=error,
                critical=critical,
                detectable=(critical + _multiple(POWER, df)) * null_error,
                windows=len(forecasts.windows),
                df=df,
                seeds=gains if len(gains) > 1 else (),
            )
        )
    return tuple(out)


def _differences(
    m: Metric,
    origins: ForecastOrigins,
    outcome: Values,
    seed: Seed,
    baseline: str,
    name: str,
    gain_as: GainAs,
) -> tuple[F64, F64]:
    """By forecast origin: influence on the gain, and loss saved (or influence plus the gain)."""
    base, own = seed.models[baseline], seed.models[name]
    gain, psi = seed.gains[name], _gain_influence(m, outcome, base, own)
    if gain_as == "relative":
        psi = (psi - gain * m.influence(outcome, base)) / (seed.base or math.nan)
    moved = origins.averages(psi)
    if m.loss is None:
        return moved, moved + gain
    return moved, origins.averages(m.losses(outcome, base) - m.losses(outcome, own))


def _tested(losses: F64, by_seed: Sequence[float], cosines: int) -> tuple[float, float, float]:
    """Statistic, one-sided p-value and degrees of freedom for a mean of `losses` above 0."""
    error, df = _with_spread(standard_error(losses, cosines), cosines, by_seed)
    if error == 0.0 or math.isnan(error):
        return 0.0, 0.5, df
    statistic = float(losses.mean()) / error
    return statistic, student_t_sf(statistic, df), df


def _with_spread(error: float, cosines: int, by_seed: Sequence[float]) -> tuple[float, float]:
    """A standard error in time combined with that of the mean over seeds; degrees of freedom.

    The two are independent, so variances add; Welch (1947), Biometrika 34, and Satterthwaite.
    """
    of = statistics.stdev(by_seed) / math.sqrt(len(by_seed)) if len(by_seed) > 1 else 0.0
    size = max(map(abs, by_seed))
    if not of > ROUNDING * size or math.isnan(error) or not cosines:
        return error, float(cosines)
    total = math.hypot(error, of)
    parts = (error / total) ** 4 / cosines + (of / total) ** 4 / (len(by_seed) - 1)
    return total, 1.0 / parts


def _multiple(p: float, df: float) -> float:
    return student_t_quantile(p, df) if df else math.nan


def _gain_influence(m: Metric, outcome: Values, base: Values, candidate: Values) -> F64:
    difference = m.influence(outcome, candidate) - m.influence(outcome, base)
    return difference if m.higher else -difference
