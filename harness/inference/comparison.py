"""Two forecasts compared by their losses: Giacomini & White, and Clark & West for nested models.

Losses are by forecast origin: those of a panel are averaged over its symbols (ForecastOrigins).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.inference.diebold_mariano import student_t_sf
from harness.inference.hac import least_squares
from harness.types import F64, I64


@dataclass(frozen=True)
class GiacominiWhite:
    """`difference`: mean loss of the baseline less the candidate's, in the loss' unit.

    Under "no difference", `statistic` has the F distribution with q and `cosines` - q + 1 degrees
    of freedom, for q instruments. `n` origins were used, those whose instruments are known.
    """

    difference: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    cosines: int


@dataclass(frozen=True)
class ClarkWest:
    """`adjusted`: adjusted difference of mean squared errors, in the target's unit squared.

    Under "the larger model adds nothing", `statistic` has Student's t distribution with `cosines`
    degrees of freedom; `p_value` is one-sided.
    """

    adjusted: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    cosines: int


def giacomini_white(d: F64, overlap: int, instruments: F64 | None = None) -> GiacominiWhite:
    """Are two forecasts equally good, on average or given what was known at the origin?

    Giacomini & White (2006), Econometrica 74, eq. 7 and 9: the Wald test that the moments
    h_t d_{t+h} are zero, with the variance of these moments. Unlike Diebold & Mariano's null, it is
    about the forecasts as they were made, with estimated parameters and windows, so it holds for
    nested models too.

    Args:
        d: (n,) loss of the baseline less the candidate's, by forecast origin.
        overlap: following origins whose targets share bars with a target, which is overlap + 1
            origins long.
        instruments: (n, q) known at each origin, NaN rows left out; see `lagged`. None for the
            unconditional test, a constant alone.

    Returns:
        Two-sided statistic and p-value; (0, 1) if there are too few non-overlapping targets, or
        d is constant.

    Raises:
        ValueError: if d is not finite or has no rows, or instruments have another length.
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
    null = np.zeros(h.shape[1])
    fit = least_squares(used, h, null, overlap)
    statistic, p = fit.wald(null)
    return GiacominiWhite(float(used.mean()), statistic, p, fit.n, overlap, fit.cosines)


def lagged(d: F64, last: I64, extra: F64 | None = None) -> F64:
    """Instruments known at each origin: a constant, the last known d, and `extra`.

    d (n,) is by forecast origin and known once its targets have resolved; `last` (n,) is the
    position of the last known one, -1 for none (`ForecastOrigins.last_known`). `extra` (n, m) is
    known at each origin. Returns (n, 2 + m), NaN where no d is known.
    """
    before = np.where(last >= 0, d[last], np.nan)
    columns = (np.ones(d.size), before, *(() if extra is None else extra.T))
    return np.column_stack(columns)


def adjusted_differences(y: F64, baseline: F64, candidate: F64) -> F64:
    """Gain in squared error of a model that nests the baseline, adjusted for its noise, by row.

    Clark & West (2007), J. Econometrics 138, eq. 3.1: under the null the larger model's errors
    are larger by the square of what it adds, so e_b^2 - (e_c^2 - (f_b - f_c)^2) has mean zero.
    All are (rows,): outcome and forecasts on the target's scale, the result in its unit squared.
    """
    adjusted = np.square(y - baseline) - np.square(y - candidate)
    adjusted += np.square(baseline - candidate)
    return adjusted


def clark_west(adjusted: F64, overlap: int) -> ClarkWest:
    """Does a model that nests the baseline forecast better, adjusted for estimation noise?

    Clark & West (2007), J. Econometrics 138: the t-statistic of the mean, in the upper tail.

    Args:
        adjusted: (n,) `adjusted_differences` by forecast origin; those of a panel averaged.
        overlap: as in `giacomini_white`.

    Returns:
        One-sided statistic and p-value; (0, 1/2) if all targets overlap or nothing varies.

    Raises:
        ValueError: if values are not finite, or there are no rows.
    """
    _check("clark_west", adjusted)
    fit = least_squares(adjusted, np.ones((adjusted.size, 1)), np.zeros(1), overlap)
    t = fit.t(0)
    return ClarkWest(
        float(adjusted.mean()), t, student_t_sf(t, max(fit.cosines, 1)), fit.n, overlap, fit.cosines
    )


def _check(name: str, values: F64) -> None:
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name}: got shape {values.shape}, wanted (n,), n >= 1")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: got a loss that is not finite")
