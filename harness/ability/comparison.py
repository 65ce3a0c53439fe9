"""Two forecasts compared by their losses: Giacomini & White, and Clark & West for nested models.

Losses come by decision time: those of a panel are averaged over its symbols first (hac.Dates).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.ability.hac import bartlett_bandwidth, least_squares, normal_sf
from harness.types import F64


@dataclass(frozen=True)
class GiacominiWhite:
    """`difference`: mean loss of the baseline less the candidate's, in the loss' unit.

    `coefficients` (q,) of the loss difference on the instruments: what it is expected to be
    given them. `statistic` is chi squared with q degrees of freedom under "no difference".
    `n` decision times were used, those whose instruments are known.
    """

    difference: float
    statistic: float
    p_value: float
    coefficients: tuple[float, ...]
    n: int
    overlap: int
    bandwidth: int


@dataclass(frozen=True)
class ClarkWest:
    """`adjusted`: mean squared error difference, adjusted, in the target's unit squared.

    `statistic` is standard normal under "the larger model adds nothing"; `p_value` is one-sided.
    """

    adjusted: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    bandwidth: int


def giacomini_white(d: F64, overlap: int, instruments: F64 | None = None) -> GiacominiWhite:
    """Are two forecasts equally good, on average or given what was known at the decision?

    Giacomini & White (2006), Econometrica 74, eq. 7 and 9: the Wald test that the moments
    h_t d_{t+h} are zero, here as the test that no coefficient of d on h differs from zero, which
    takes the variance from the residuals. Unlike Diebold & Mariano's null it is of the forecasts
    as they were made, estimated parameters, windows and all, so it holds for nested models too.

    Args:
        d: (n,) loss of the baseline less the candidate's, by decision time.
        overlap: decisions whose targets a target shares; targets are overlap + 1 decisions long.
        instruments: (n, q) known at each decision, NaN rows left out; `known` makes them. None
            for the unconditional test, a constant alone. Given all, whose test has one-step
            targets, d is unpredictable under the null: no bandwidth then.

    Returns:
        Two-sided statistic and p-value; (0, 1) where no two targets are apart, or d is constant.

    Raises:
        ValueError: for d that is not finite or has no rows, and instruments of another length.
    """
    _check("giacomini_white", d)
    if instruments is None:
        h, used = np.ones((d.size, 1)), d
    else:
        if instruments.ndim != 2 or instruments.shape[0] != d.size:
            got = instruments.shape
            raise ValueError(f"giacomini_white: instruments: got {got}, wanted ({d.size}, q)")
        known = np.isfinite(instruments).all(axis=1)
        h, used = instruments[known], d[known]
    n, q = used.size, h.shape[1]
    bandwidth = bartlett_bandwidth(n, overlap) if overlap or instruments is None else 0
    if n <= max(overlap + 1, q):
        mean = float(used.mean()) if n else 0.0
        return GiacominiWhite(mean, 0.0, 1.0, (0.0,) * q, n, overlap, bandwidth)
    fit = least_squares(used, h, bandwidth)
    statistic, p = fit.wald(np.zeros(q))
    found = tuple(fit.coefficients.tolist())
    return GiacominiWhite(float(used.mean()), statistic, p, found, n, overlap, bandwidth)


def lagged(d: F64, overlap: int, extra: F64 | None = None) -> F64:
    """The instruments known at each decision: a constant, d overlap + 1 decisions before, extra.

    d (n,) by decision time; the loss of a target that was not resolved at a decision is not known
    at it, so the last one that was is overlap + 1 decisions old. `extra` (n, m) is known at each
    decision already. (n, 2 + m), NaN in the first overlap + 1 rows.
    """
    lag = overlap + 1
    before = np.full(d.size, np.nan)
    before[lag:] = d[: d.size - lag] if lag < d.size else before[lag:]
    columns = (np.ones(d.size), before, *(() if extra is None else extra.T))
    return np.column_stack(columns)


def clark_west(y: F64, baseline: F64, candidate: F64, overlap: int) -> ClarkWest:
    """Does a model that nests the baseline forecast better, its estimation noise allowed for?

    Clark & West (2007), J. Econometrics 138, eq. 3.1: under the null the larger model's errors
    are larger by the square of what it adds, so f_t = e_b^2 - (e_c^2 - (f_b - f_c)^2) has mean
    zero; its t-statistic, with a HAC variance, is compared with the normal's upper tail.

    Args:
        y, baseline, candidate: (n,) outcome and forecasts on the target's scale, by decision
            time; of a panel give `adjusted_differences`, averaged, to `clark_west_of`.
        overlap: as in `giacomini_white`.

    Returns:
        One-sided statistic and p-value; (0, 1/2) where no two targets are apart or nothing varies.

    Raises:
        ValueError: for what is not finite, or has no rows.
    """
    return clark_west_of(adjusted_differences(y, baseline, candidate), overlap)


def adjusted_differences(y: F64, baseline: F64, candidate: F64) -> F64:
    """Clark & West's f_t of every row (n,), in the target's unit squared."""
    adjusted = np.square(y - baseline) - np.square(y - candidate)
    adjusted += np.square(baseline - candidate)
    return adjusted


def clark_west_of(adjusted: F64, overlap: int) -> ClarkWest:
    """`clark_west` of adjusted differences (n,) by decision time."""
    _check("clark_west", adjusted)
    n, mean = adjusted.size, float(adjusted.mean())
    bandwidth = bartlett_bandwidth(n, overlap)
    if n <= overlap + 1:
        return ClarkWest(mean, 0.0, 0.5, n, overlap, bandwidth)
    t = least_squares(adjusted, np.ones((n, 1)), bandwidth).t(0)
    return ClarkWest(mean, t, normal_sf(t), n, overlap, bandwidth)


def _check(name: str, values: F64) -> None:
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name}: got shape {values.shape}, wanted (n,), n >= 1")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: got a loss that is not finite")
