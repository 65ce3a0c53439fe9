"""Two forecasts compared by their losses: Giacomini & White, and Clark & West for nested models.

Losses come by decision time: those of a panel are averaged over its symbols first (dates.Dates).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.inference.diebold_mariano import student_t_sf
from harness.inference.hac import least_squares
from harness.types import F64


@dataclass(frozen=True)
class GiacominiWhite:
    """`difference`: mean loss of the baseline less the candidate's, in the loss' unit.

    `statistic` has the F distribution with q and `cosines` - q + 1 degrees of freedom under "no
    difference", q instruments. `n` decision times were used, those whose instruments are known.
    """

    difference: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    cosines: int


@dataclass(frozen=True)
class ClarkWest:
    """`adjusted`: mean squared error difference, adjusted, in the target's unit squared.

    `statistic` has Student's t with `cosines` degrees of freedom under "the larger model adds
    nothing"; `p_value` is one-sided.
    """

    adjusted: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    cosines: int


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
            for the unconditional test, a constant alone.

    Returns:
        Two-sided statistic and p-value; (0, 1) where there are too few targets that do not
        overlap, or d is constant.

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
    if not used.size:
        return GiacominiWhite(0.0, 0.0, 1.0, 0, overlap, 0)
    fit = least_squares(used, h, overlap)
    statistic, p = fit.wald(np.zeros(h.shape[1]))
    return GiacominiWhite(float(used.mean()), statistic, p, fit.n, overlap, fit.cosines)


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


def adjusted_differences(y: F64, baseline: F64, candidate: F64) -> F64:
    """What a model that nests the baseline gains in squared error, its noise taken out, by row.

    Clark & West (2007), J. Econometrics 138, eq. 3.1: under the null the larger model's errors
    are larger by the square of what it adds, so e_b^2 - (e_c^2 - (f_b - f_c)^2) has mean zero.
    All (rows,), outcome and forecasts on the target's scale; the result in its unit squared.
    """
    adjusted = np.square(y - baseline) - np.square(y - candidate)
    adjusted += np.square(baseline - candidate)
    return adjusted


def clark_west(adjusted: F64, overlap: int) -> ClarkWest:
    """Does a model that nests the baseline forecast better, its estimation noise allowed for?

    Clark & West (2007), J. Econometrics 138: the t-statistic of the mean, in the upper tail.

    Args:
        adjusted: (n,) `adjusted_differences` by decision time; those of a panel averaged.
        overlap: as in `giacomini_white`.

    Returns:
        One-sided statistic and p-value; (0, 1/2) where no two targets are apart or nothing varies.

    Raises:
        ValueError: for what is not finite, or has no rows.
    """
    _check("clark_west", adjusted)
    fit = least_squares(adjusted, np.ones((adjusted.size, 1)), overlap)
    t = fit.t(0)
    return ClarkWest(
        float(adjusted.mean()), t, student_t_sf(t, max(fit.cosines, 1)), fit.n, overlap, fit.cosines
    )


def _check(name: str, values: F64) -> None:
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name}: got shape {values.shape}, wanted (n,), n >= 1")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: got a loss that is not finite")
