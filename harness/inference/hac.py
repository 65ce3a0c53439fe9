"""Least squares whose errors are correlated over time and over the symbols of one moment.

Rows of one decision time share its shocks, so their scores are summed first (clustering by
date), and the sums of neighbouring dates are correlated as targets overlap: the covariance is
made of the lowest cosine projections of those sums, as the one that decides a verdict is, and
tests allow for how few there are (Lazarus, Lewis, Stock & Watson 2018, JBES 36, section 4).
Bartlett's weights with the quantiles of large samples reject a true null two to ten times too
often where targets overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.inference.diebold_mariano import cosine_projections, cosine_terms, f_sf
from harness.scores.forecast_origins import ForecastOrigins
from harness.types import F64

_NOTHING = 1e-13  # of the size of y: residuals below are rounding
_SAME = 1e-10  # of the largest eigenvalue: directions below are not told apart


@dataclass(frozen=True)
class Fit:
    """Coefficients (q,), their covariance (q, q), and what it is measured from.

    `rank` directions of the q are told apart by the data, 0 where nothing has a variance or there
    are fewer `cosines` than directions. `scale` (q,) are the sizes of the columns of X.
    """

    coefficients: F64
    covariance: F64
    residuals: F64
    scale: F64
    rank: int
    n: int
    cosines: int

    def t(self, k: int) -> float:
        """Coefficient k over its standard error; 0 where there is none to measure by."""
        variance = float(self.covariance[k, k])
        return float(self.coefficients[k]) / math.sqrt(variance) if variance > 0.0 else 0.0

    def wald(self, null: F64) -> tuple[float, float]:
        """F statistic and p-value that the coefficients equal `null` (q,).

        The Wald statistic W of r directions from B cosines: (B - r + 1) / (B r) W has the F
        distribution with r and B - r + 1 degrees of freedom (Hotelling's; Sun 2013, Econometrics
        Journal 16). (0, 1) where nothing has a variance.
        """
        if self.rank == 0:
            return 0.0, 1.0
        values, vectors = np.linalg.eigh(self.covariance * np.outer(self.scale, self.scale))
        away = vectors.T @ ((self.coefficients - null) * self.scale)
        kept = values > values[-1] * _SAME
        r = int(kept.sum())
        freedom = self.cosines - r + 1
        statistic = float(np.sum(np.square(away[kept]) / values[kept]))
        statistic *= freedom / (self.cosines * r)
        return statistic, f_sf(statistic, r, freedom)


def least_squares(y: F64, x: F64, overlap: int, dates: ForecastOrigins | None = None) -> Fit:
    """Least squares of y (n,) on the columns of x (n, q), with a HAC covariance of its estimate.

    `overlap` counts decision times; without `dates` every row is one. A column that the others
    already hold gets the share of least size.
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
    rank, cosines = int(kept.sum()), cosine_terms(n, overlap)
    exact = residuals @ residuals <= _NOTHING**2 * (y @ y)
    if exact or cosines < rank:
        return Fit(solution / scale, np.zeros(2 * scale.shape), residuals, scale, 0, n, cosines)
    scores = unit * residuals[:, None]
    projected = cosine_projections(scores if dates is None else dates.sums(scores), cosines)
    middle = projected.T @ projected * (n / cosines)
    covariance = inverse @ middle @ inverse / np.outer(scale, scale)
    return Fit(solution / scale, covariance, residuals, scale, rank, n, cosines)
