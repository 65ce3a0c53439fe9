"""How sure one can be of a gain: a Diebold-Mariano test and an interval that know the overlap.

Targets of neighbouring decisions share bars, so their losses are correlated by construction, and
volatility adds more. The long-run variance of a mean is therefore estimated with a Bartlett
kernel over at least the overlap.
"""

from __future__ import annotations

import math

import numpy as np

from harness.metrics import METRICS, Values
from harness.types import F64, Evidence, Forecasts


def evidence(
    forecasts: Forecasts,
    outcome: Values,
    models: dict[str, Values],
    *,
    baseline: str,
    candidates: tuple[str, ...],
    metric: str,
    gains: dict[str, float],
    relative: bool,
    baseline_value: float,
    alpha: float,
) -> tuple[Evidence, ...]:
    """The evidence for each candidate's gain over the baseline, in the order of the candidates.

    `gains` are the pooled gains, positive for better. The p-value is one-sided, against "no
    gain"; `p_adjusted` is Bonferroni's over the candidates, since the best of them is chosen.
    The interval has level 1 - 2 alpha.
    """
    m = METRICS[metric]
    out = []
    for name in candidates:
        psi = _gain_influence(m.name, outcome, models[baseline], models[name])
        if relative:
            base = m.influence(outcome, models[baseline])
            psi = (psi - gains[name] * base) / (baseline_value or math.nan)
        dates = _by_date(forecasts.formed_at, psi)
        overlap, bandwidth = forecasts.overlap, bartlett_bandwidth(dates.size, forecasts.overlap)
        half = _critical(dates.size, alpha) * standard_error(dates, bandwidth, overlap)
        if m.loss is not None:
            d = m.loss(outcome, models[baseline]) - m.loss(outcome, models[name])
            # Centred first: a date with more symbols is no larger gain, it is a surer one.
            by_date = _by_date(forecasts.formed_at, d - d.mean()) + d.mean()
            statistic, p = diebold_mariano(by_date, overlap)
        else:
            statistic, p = diebold_mariano(dates + gains[name], overlap)
        out.append(
            Evidence(
                candidate=name,
                baseline=baseline,
                metric=metric,
                horizon=forecasts.horizon,
                gain=gains[name],
                gain_low=gains[name] - half,
                gain_high=gains[name] + half,
                level=1.0 - 2.0 * alpha,
                statistic=statistic,
                p_value=p,
                p_adjusted=min(1.0, p * len(candidates)),
                n=dates.size,
                bandwidth=bandwidth,
                overlap=overlap,
            )
        )
    return tuple(out)


def diebold_mariano(d: F64, overlap: int) -> tuple[float, float]:
    """Statistic and one-sided p-value that the mean of d (n,) in time order is above zero.

    Diebold & Mariano (1995), JBES 13, eq. 5, with the correction of Harvey, Leybourne & Newbold
    (1997), Int. J. Forecasting 13, eq. 9, for targets of overlap + 1 steps, and Student's t with
    n - 1 degrees of freedom. (0, 1/2) where d is constantly zero.
    """
    se = standard_error(d, bartlett_bandwidth(d.size, overlap), overlap)
    mean = float(d.mean())
    if se == 0.0 or math.isnan(se):
        return 0.0, 0.5
    statistic = mean / se
    return statistic, student_t_sf(statistic, d.size - 1)


def standard_error(x: F64, bandwidth: int, overlap: int) -> float:
    """Standard error of the mean of x (n,), HLN-corrected for targets of overlap + 1 steps.

    NaN for targets as long as the sample, of which no two are apart.
    """
    n, h = x.size, overlap + 1
    if h >= n:
        return math.nan
    correction = (n + 1 - 2 * h + h * (h - 1) / n) / n
    return math.sqrt(bartlett_variance(x, bandwidth) / n / correction)


def bartlett_bandwidth(n: int, overlap: int) -> int:
    """Lags with weight: the textbook 1.3 sqrt(n), at least the overlap, at most n - 1.

    Lazarus, Lewis, Stock & Watson (2018), JBES 36, recommend 1.3 sqrt(n) for the Newey-West
    (Bartlett) estimator: longer than the older rules, since too short a bandwidth over-rejects.
    """
    return max(0, min(max(math.ceil(1.3 * math.sqrt(n)), overlap), n - 1))


def bartlett_variance(x: F64, bandwidth: int) -> float:
    """Long-run variance of x (n,): sum over |k| <= bandwidth of (1 - |k|/(bandwidth+1)) gamma_k.

    Newey & West (1987), Econometrica 55, eq. 5. Computed as the mean square of all sums of
    bandwidth + 1 neighbours of the centred series, zeros beyond its ends: the same number in
    O(n), and never negative.
    """
    n, s = x.size, bandwidth + 1
    padded = np.zeros(n + 2 * s)
    np.cumsum(x - x.mean(), out=padded[s : s + n])
    padded[s + n :] = padded[s + n - 1]
    sums = padded[s:] - padded[:-s]
    return float(np.dot(sums, sums)) / (s * n)


def student_t_sf(t: float, df: float) -> float:
    """P(T > t) of Student's t; scipy.stats would cost more to import than the whole test."""
    square = t * t
    tail = 0.5 * _incomplete_beta(df / (df + square), square / (df + square), df / 2.0, 0.5)
    return tail if t >= 0 else 1.0 - tail


def student_t_quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, 1/2 <= p < 1: Newton's steps from 0, where the cdf is concave."""
    log_constant = math.lgamma((df + 1.0) / 2.0) - math.lgamma(df / 2.0)
    log_constant -= 0.5 * math.log(df * math.pi)
    t = 0.0
    for _ in range(100):
        density = math.exp(log_constant - (df + 1.0) / 2.0 * math.log1p(t * t / df))
        step = (student_t_sf(t, df) - (1.0 - p)) / density
        if step <= 1e-13 * t:  # from below the steps only shrink: what is left is rounding
            break
        t += step
    return t


def _critical(n: int, alpha: float) -> float:
    return student_t_quantile(1.0 - alpha, max(n - 1, 1))


def _gain_influence(metric: str, outcome: Values, base: Values, candidate: Values) -> F64:
    m = METRICS[metric]
    difference = m.influence(outcome, candidate) - m.influence(outcome, base)
    return difference if m.higher else -difference


def _by_date(formed_at: np.ndarray, values: F64) -> F64:
    """Row values of a panel summed by decision time, scaled so that the mean is the rows' mean.

    Symbols of one moment share its shocks: they are one observation, not many.
    """
    starts = np.flatnonzero(np.diff(formed_at, prepend=formed_at[0] - 1))
    if starts.size == values.size:
        return values
    return np.add.reduceat(values, starts) * (starts.size / values.size)


def _incomplete_beta(x: float, y: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22).

    y = 1 - x is asked for, because the smaller of the two is known to more digits.
    """
    if x <= 0.0 or y <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(y, x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        + a * math.log(x) + b * math.log(y)
    )  # fmt: skip
    c, d = 1.0, 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _nonzero(1.0 + numerator * d)
            c = _nonzero(1.0 + numerator / c)
            fraction *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return front * fraction / a


def _nonzero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
