"""What a forecast leaves unused: encompassing, and Mincer & Zarnowitz's calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.inference.diebold_mariano import student_t_sf
from harness.inference.hac import least_squares
from harness.scores.forecast_origins import ForecastOrigins
from harness.types import F64


@dataclass(frozen=True)
class Encompassing:
    """`weight`: of the candidate in the best mixture (1 - w) baseline + w candidate, no unit.

    `p_value` is one-sided, against "the baseline encompasses the candidate", weight 0; the
    statistic then has Student's t with `cosines` degrees of freedom.
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
    """Outcome = `a` + `b` forecast: a in the target's unit, b without, `r2` a share.

    `statistic` has the F distribution with 2 and `cosines` - 1 degrees of freedom under a = 0 and
    b = 1.
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
    y: F64, baseline: F64, candidate: F64, overlap: int, dates: ForecastOrigins | None = None
) -> Encompassing:
    """Does the candidate hold anything that the baseline does not?

    Harvey, Leybourne & Newbold (1998), JBES 16, eq. 1: e_b = w (f_c - f_b) + error, without a
    constant; w = 0 says that the baseline encompasses the candidate, w = 1 the reverse.

    Args:
        y, baseline, candidate: (rows,) outcome and forecasts on the target's scale, in time order.
        overlap: decisions whose targets a target shares.
        dates: which rows are of one decision time; each its own if not given.

    Returns:
        One-sided statistic and p-value; weight 0, (0, 1/2) for two equal forecasts or where no
        two targets are apart.

    Raises:
        ValueError: for what is not finite, or has no rows.
    """
    difference = (candidate - baseline)[:, None]
    fit = least_squares(y - baseline, difference, overlap, dates)
    weight, sizes = float(fit.coefficients[0]), (fit.n, overlap, fit.cosines)
    if fit.rank == 0:
        return Encompassing(weight, 0.0, 0.0, 0.5, *sizes)
    t, se = fit.t(0), float(np.sqrt(fit.covariance[0, 0]))
    return Encompassing(weight, se, t, student_t_sf(t, fit.cosines), *sizes)


def mincer_zarnowitz(
    y: F64, forecast: F64, overlap: int, dates: ForecastOrigins | None = None
) -> MincerZarnowitz:
    """Is a forecast right on average, whatever its level?

    Mincer & Zarnowitz (1969), "The evaluation of economic forecasts", NBER: least squares of the
    outcome on a constant and the forecast, and the joint Wald test of a = 0 and b = 1 with a HAC
    covariance. b under 1 says that forecasts move too much.

    Args:
        y, forecast: (rows,) outcome and forecast in one unit (ln sigma, or variance per bar), in
            time order.
        overlap: decisions whose targets a target shares.
        dates: which rows are of one decision time; each its own if not given.

    Returns:
        (0, 1) where there are too few targets that do not overlap, or the forecast is perfect. A
        constant forecast has a = the mean of y less half of it, r2 = 0, and one direction.

    Raises:
        ValueError: for what is not finite, or has no rows.
    """
    fit = least_squares(y, np.column_stack((np.ones(y.size), forecast)), overlap, dates)
    a, b = fit.coefficients.tolist()
    spread = float(np.sum(np.square(y - y.mean())))
    r2 = 1.0 - float(fit.residuals @ fit.residuals) / spread if spread > 0.0 else 0.0
    statistic, p = fit.wald(np.array([0.0, 1.0]))
    return MincerZarnowitz(a, b, r2, statistic, p, fit.n, overlap, fit.cosines)
