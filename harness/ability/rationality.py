"""What a forecast leaves unused: encompassing, and Mincer & Zarnowitz's calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.ability.hac import bartlett_bandwidth, least_squares
from harness.dates import Dates
from harness.inference import student_t_sf
from harness.types import F64


@dataclass(frozen=True)
class Encompassing:
    """`weight`: of the candidate in the best mixture (1 - w) baseline + w candidate, no unit.

    `p_value` is one-sided, against "the baseline encompasses the candidate", weight 0.
    """

    weight: float
    standard_error: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    bandwidth: int


@dataclass(frozen=True)
class MincerZarnowitz:
    """Outcome = `a` + `b` forecast: a in the target's unit, b without, `r2` a share.

    `statistic` is chi squared with 2 degrees of freedom under a = 0 and b = 1.
    """

    a: float
    b: float
    r2: float
    statistic: float
    p_value: float
    n: int
    overlap: int
    bandwidth: int


def encompassing(
    y: F64, baseline: F64, candidate: F64, overlap: int, dates: Dates | None = None
) -> Encompassing:
    """Does the candidate hold anything that the baseline does not?

    Harvey, Leybourne & Newbold (1998), JBES 16, eq. 1: e_b = w (f_c - f_b) + error, without a
    constant; w = 0 says that the baseline encompasses the candidate, w = 1 the reverse. The
    t-statistic has a HAC standard error, and Student's t with n - 1 degrees of freedom.

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
    n, bandwidth = _sizes(y, overlap, dates)
    difference = (candidate - baseline)[:, None]
    fit = least_squares(y - baseline, difference, bandwidth, dates)
    weight = float(fit.coefficients[0])
    if n <= overlap + 1 or fit.rank == 0:
        return Encompassing(weight, 0.0, 0.0, 0.5, n, overlap, bandwidth)
    t, se = fit.t(0), float(np.sqrt(fit.covariance[0, 0]))
    return Encompassing(weight, se, t, student_t_sf(t, n - 1), n, overlap, bandwidth)


def mincer_zarnowitz(
    y: F64, forecast: F64, overlap: int, dates: Dates | None = None
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
        (0, 1) where no two targets are apart or the forecast is perfect. A constant forecast
        has a = the mean of y less half of it, r2 = 0, and one degree of freedom.

    Raises:
        ValueError: for what is not finite, or has no rows.
    """
    n, bandwidth = _sizes(y, overlap, dates)
    fit = least_squares(y, np.column_stack((np.ones(y.size), forecast)), bandwidth, dates)
    a, b = fit.coefficients.tolist()
    spread = float(np.sum(np.square(y - y.mean())))
    r2 = 1.0 - float(fit.residuals @ fit.residuals) / spread if spread > 0.0 else 0.0
    if n <= max(overlap + 1, 2):
        return MincerZarnowitz(a, b, r2, 0.0, 1.0, n, overlap, bandwidth)
    statistic, p = fit.wald(np.array([0.0, 1.0]))
    return MincerZarnowitz(a, b, r2, statistic, p, n, overlap, bandwidth)


def _sizes(y: F64, overlap: int, dates: Dates | None) -> tuple[int, int]:
    """How many decision times there are, and the bandwidth over them."""
    n = y.size if dates is None else dates.n
    return n, bartlett_bandwidth(n, overlap)
