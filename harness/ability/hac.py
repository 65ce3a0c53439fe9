"""Least squares whose errors are correlated over time and over the symbols of one moment.

Rows of one decision time share its shocks, so their scores are summed first (clustering by
date), and the sums of neighbouring dates are correlated as targets overlap: the covariance is
Driscoll & Kraay's (1998, Rev. Economics & Statistics 80), which is Newey & West's (1987,
Econometrica 55, eq. 5) where every date has one row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.dates import Dates
from harness.types import F64

_NOTHING = 1e-13  # of the size of y: residuals below are rounding
_SAME = 1e-10  # of the largest eigenvalue: directions below are not told apart


@dataclass(frozen=True)
class Fit:
    """Coefficients (q,), their covariance (q, q), and what it is measured from.

    `rank` directions of the q are told apart by the data, 0 where nothing has a variance.
    `scale` (q,) are the sizes of the columns of X.
    """

    coefficients: F64
    covariance: F64
    residuals: F64
    scale: F64
    rank: int
    n: int
    bandwidth: int

    def t(self, k: int) -> float:
        """Coefficient k over its standard error; 0 where there is none to measure by."""
        variance = float(self.covariance[k, k])
        return float(self.coefficients[k]) / math.sqrt(variance) if variance > 0.0 else 0.0

    def wald(self, null: F64) -> tuple[float, float]:
        """Statistic and p-value (chi squared, `rank` degrees) of coefficients equal to `null` (q,).

        (0, 1) where nothing has a variance.
        """
        if self.rank == 0:
            return 0.0, 1.0
        values, vectors = np.linalg.eigh(self.covariance * np.outer(self.scale, self.scale))
        away = vectors.T @ ((self.coefficients - null) * self.scale)
        kept = values > values[-1] * _SAME
        statistic = float(np.sum(np.square(away[kept]) / values[kept]))
        return statistic, chi2_sf(statistic, int(kept.sum()))


def least_squares(y: F64, x: F64, bandwidth: int, dates: Dates | None = None) -> Fit:
    """Least squares of y (n,) on the columns of x (n, q), with a HAC covariance of its estimate.

    `bandwidth` counts decision times; without `dates` every row is one. No correction for
    small samples. A column that the others already hold gets the share of least size.
    ValueError for what is not finite or has no rows.
    """
    if not y.size:
        raise ValueError("least squares: no rows")
    if not (np.isfinite(y).all() and np.isfinite(x).all()):
        raise ValueError("least squares: got a value that is not finite")
    scale = np.sqrt(np.einsum("ij,ij->j", x, x))
    scale[scale == 0.0] = 1.0
    unit = x / scale
    values, vectors = np.linalg.eigh(unit.T @ unit)
    kept = values > values[-1] * _SAME
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    solution = inverse @ (unit.T @ y)
    residuals = y - unit @ solution
    n = y.size if dates is None else dates.n
    rank = int(kept.sum())
    if n <= 1 or residuals @ residuals <= _NOTHING**2 * (y @ y):
        return Fit(solution / scale, np.zeros(2 * scale.shape), residuals, scale, 0, n, bandwidth)
    scores = unit * residuals[:, None]
    middle = long_run_sum(scores if dates is None else dates.sums(scores), bandwidth)
    covariance = inverse @ middle @ inverse / np.outer(scale, scale)
    return Fit(solution / scale, covariance, residuals, scale, rank, n, bandwidth)


def bartlett_bandwidth(n: int, overlap: int) -> int:
    """Lags with weight: the textbook 1.3 sqrt(n), at least the overlap, at most n - 1.

    Lazarus, Lewis, Stock & Watson (2018), JBES 36, recommend 1.3 sqrt(n) for the Newey-West
    (Bartlett) estimator: longer than the older rules, since too short a bandwidth over-rejects.
    """
    return max(0, min(max(math.ceil(1.3 * math.sqrt(n)), overlap), n - 1))


def long_run_sum(x: F64, bandwidth: int) -> F64:
    """Sum over |k| <= bandwidth of (1 - |k|/(bandwidth+1)) sum_t x_t x_{t-k}' for x (n, q): (q, q).

    Newey & West (1987), eq. 5, times n. Computed from all sums of bandwidth + 1 neighbours, zeros
    beyond the ends: the same number in O(n), and never less than zero in any direction.
    """
    n, s = x.shape[0], bandwidth + 1
    padded = np.zeros((n + 2 * s, x.shape[1]))
    np.cumsum(x, axis=0, out=padded[s : s + n])
    padded[s + n :] = padded[s + n - 1]
    sums = padded[s:] - padded[:-s]
    return sums.T @ sums / s


def chi2_sf(x: float, df: int) -> float:
    """P(X > x) of chi squared with df = 1, 2, … degrees of freedom.

    Q(a + 1, h) = Q(a, h) + h^a e^-h / Gamma(a + 1), h = x / 2 (DLMF 8.8.6); scipy.stats would cost
    more to import than all tests.
    """
    if x <= 0.0:
        return 1.0
    h = x / 2.0
    a, tail = (0.5, math.erfc(math.sqrt(h))) if df % 2 else (1.0, math.exp(-h))
    while a < df / 2.0:
        tail += math.exp(a * math.log(h) - h - math.lgamma(a + 1.0))
        a += 1.0
    return min(tail, 1.0)


def normal_sf(z: float) -> float:
    """P(Z > z) of the standard normal."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))
