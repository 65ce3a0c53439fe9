"""Tests of forecast rationality: encompassing, and Mincer & Zarnowitz's regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.inference.diebold_mariano import student_t_sf
from harness.inference.hac import least_squares
from harness.scores.forecast_origins import ForecastOrigins
from harness.types import F64


@dataclass(frozen=True)
class Encompassing:
    """`weight` w of the candidate in the best mixture (1 - w) baseline + w candidate, no unit.

    `p_value` is one-sided, against "the baseline encompasses the candidate", w = 0; under it the
    statistic has Student's t distribution with `cosines` degrees of freedom.
    """

    weight: float
    standard_error: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    cosines: int


@dataclass(frozen=True)
class MincerZarnowitz:
    """Outcome = `a` + `b` forecast: a in the target's unit, b without unit, `r2` a share.

    Under a = 0 and b = 1, `statistic` has the F distribution with 2 and `cosines` - 1 degrees of
    freedom.
    """

    a: float
    b: float
    r2: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    cosines: int


def encompassing(
    y: F64, baseline: F64, candidate: F64, overlap: int, origins: ForecastOrigins | None = None
) -> Encompassing:
    """Does the candidate have information that the baseline lacks?

    Harvey, Leybourne & Newbold (1998), JBES 16, eq. 1: e_b = w (f_c - f_b) + error, without a
    constant; w = 0: the baseline encompasses the candidate, w = 1: the reverse.

    Args:
        y, baseline, candidate: (rows,) outcome and forecasts on the target's scale, in time order.
        overlap: following origins whose targets share bars with a target.
        origins: the rows of each forecast origin; one row each if not given.

    Returns:
        One-sided statistic and p-value; weight 0 and (0, 1/2) if the forecasts are equal or all
        targets overlap.

    Raises:
        ValueError: if values are not finite, or there are no rows.
    """
    difference = (candidate - baseline)[:, None]
    fit = least_squares(y - baseline, difference, np.zeros(1), overlap, origins)
    weight, sizes = float(fit.coefficients[0]), (fit.n, overlap, fit.cosines)
    if fit.rank == 0:
        return Encompassing(weight, 0.0, 0.0, 0.5, *sizes)
    t, se = fit.t(0), float(np.sqrt(fit.covariance[0, 0]))
    return Encompassing(weight, se, t, student_t_sf(t, fit.cosines), *sizes)


def mincer_zarnowitz(
    y: F64, forecast: F64, overlap: int, origins: ForecastOrigins | None = None
) -> MincerZarnowitz:
    """Is a forecast unbiased at every level?

    Mincer & Zarnowitz (1969), "The evaluation of economic forecasts", NBER: least squares of the
    outcome on a constant and the forecast, and the joint test of a = 0 and b = 1 by the scores
    under that null. b below 1: forecasts vary too much.

    Args:
        y, forecast: (rows,) outcome and forecast in one unit (ln sigma, or variance per bar), in
            time order.
        overlap: following origins whose targets share bars with a target.
        origins: the rows of each forecast origin; one row each if not given.

    Returns:
        (0, 1) if there are too few non-overlapping targets, or the forecast is perfect. A
        constant forecast has a = half the mean of y, r2 = 0, and a test of one direction.

    Raises:
        ValueError: if values are not finite, or there are no rows.
    """
    null = np.array([0.0, 1.0])
    fit = least_squares(y, np.column_stack((np.ones(y.size), forecast)), null, overlap, origins)
    a, b = fit.coefficients.tolist()
    spread = float(np.sum(np.square(y - y.mean())))
    r2 = 1.0 - float(fit.residuals @ fit.residuals) / spread if spread > 0.0 else 0.0
    statistic, p = fit.wald(null)
    return MincerZarnowitz(a, b, r2, statistic, p, fit.n, overlap, fit.cosines)
