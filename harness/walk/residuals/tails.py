"""The lower tail of a fit's standardised residuals, which gives VaR and ES.

A residual is z = r / s: r is the log return over the target's span, s the square root of the fit's
forecast of its variance. The mean is taken as 0. Every distribution has a scale fitted on the
training rows, since forecasts of other measures than the variance of returns (a range, a session
without the overnight move) have another level:

* `normal`: scale sqrt(mean z^2).
* `t`: Student's t times a scale, both parameters by maximum likelihood, 2.1 to 200 degrees of
  freedom (Bollerslev 1987, Rev. Economics & Statistics 69).
* `historical`: the empirical distribution of z, filtered historical simulation (Barone-Adesi,
  Giannopoulos & Vosper 1999, J. Futures Markets 19); ES as in Acerbi & Tasche (2002, J. Banking &
  Finance 26, definition 2.6).

A distribution that is neither normal nor Student's has no degrees of freedom and fills in the GRID
cells of its tail, from which the tests of ES draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.samples.target_scale import TargetScale
from harness.types import F64

QUANTILE, SHORTFALL, SCALE, DOF = range(4)
GRID = 20  # cells that store the shape of an empirical tail
# Cell edges, as shares of the tail from its far end: narrow there, where losses differ most.
CELLS = np.square(np.arange(GRID + 1) / GRID)
DOF_RANGE = (2.1, 200.0)
_FEWEST = 10  # residuals that a tail needs
_LEAST_SCALE = 1e-3  # of t errors, in standard deviations: many zero returns would make it 0


@dataclass(frozen=True)
class Tails:
    """The tails that every fit keeps: at `levels` (L,), for the distributions `residuals` (K,).

    `bars` are the horizon's, `scale` the target's. A fit's tails (K, L, 4 + GRID) are the level's
    quantile of z, the mean of z at or below it, the distribution's scale, its degrees of freedom
    (NaN except for t) and, for `historical`, the mean of z in each of GRID cells over the mean of
    all cells.
    """

    levels: tuple[float, ...]
    residuals: tuple[str, ...]
    bars: int
    scale: TargetScale

    @property
    def unknown(self) -> F64:
        """The tails of an unknown fit: NaN."""
        return np.full((len(self.residuals), len(self.levels), 4 + GRID), np.nan)

    def sigma(self, variance: F64) -> F64:
        """The volatility over the horizon (n,) of forecast variances per bar."""
        return np.sqrt(self.bars * variance)

    def of(self, returns: F64, forecasts: F64, var_shift: float) -> F64:
        """The tails from training returns (n,), NaN if unknown, and training forecasts (n,).

        Forecasts are on the target's scale; `var_shift` back-transforms them to a variance. NaN if
        too few returns are known or all are 0.
        """
        found = self.unknown
        z = returns / self.sigma(self.scale.variance(forecasts, var_shift))
        z = z[np.isfinite(z)]
        if z.size >= _FEWEST and z.any():
            for k, law in enumerate(self.residuals):
                found[k] = _LAWS[law](z, np.array(self.levels))
        return found


def _normal(z: F64, levels: F64) -> F64:
    from scipy.special import ndtri

    scale = math.sqrt(float(np.mean(np.square(z))))
    q = ndtri(levels)
    found = _parametric(levels.size, scale, np.nan)
    found[:, QUANTILE] = scale * q
    found[:, SHORTFALL] = scale * normal_shortfall(q, levels)
    return found


def _student(z: F64, levels: F64) -> F64:
    from scipy.special import stdtrit

    scale, dof = fit_student(z)
    q = np.asarray(stdtrit(dof, levels), np.float64)
    found = _parametric(levels.size, scale, dof)
    found[:, QUANTILE] = scale * q
    found[:, SHORTFALL] = scale * student_shortfall(q, levels, dof)
    return found


def _historical(z: F64, levels: F64) -> F64:
    ordered = np.sort(z)
    found = _parametric(levels.size, math.sqrt(float(np.mean(np.square(z)))), np.nan)
    for row, level in zip(found, levels.tolist(), strict=True):
        mass = z.size * level
        last = max(math.ceil(mass - 1e-9), 1) - 1  # 1e-9: rounding does not add a rank
        row[QUANTILE] = ordered[last]
        row[SHORTFALL] = (ordered[:last].sum() + (mass - last) * ordered[last]) / mass
        sums = np.interp(CELLS * mass, np.arange(last + 2), np.cumsum([0.0, *ordered[: last + 1]]))
        means = np.diff(sums) / (np.diff(CELLS) * mass)
        row[4:] = means / row[SHORTFALL] if row[SHORTFALL] < 0.0 else np.nan
    return found


def _parametric(levels: int, scale: float, dof: float) -> F64:
    found = np.full((levels, 4 + GRID), np.nan)
    found[:, SCALE], found[:, DOF] = scale, dof
    return found


def normal_shortfall(q: F64, levels: F64) -> F64:
    """The mean of a standard normal at or below its quantile q of these levels: -phi(q) / level."""
    return -np.exp(-0.5 * np.square(q)) / math.sqrt(2.0 * math.pi) / levels


def student_shortfall(q: F64, levels: F64, dof: F64 | float) -> F64:
    """The same of Student's t with `dof` above 1: -f(q) (dof + q^2) / ((dof - 1) level).

    McNeil, Frey & Embrechts (2005), Quantitative Risk Management, section 2.2.4.
    """
    from scipy.special import gammaln

    constant = gammaln(0.5 * (dof + 1.0)) - gammaln(0.5 * dof) - 0.5 * np.log(dof * math.pi)
    density = np.exp(constant - 0.5 * (dof + 1.0) * np.log1p(np.square(q) / dof))
    return -density * (dof + np.square(q)) / ((dof - 1.0) * levels)


def fit_student(z: F64) -> tuple[float, float]:
    """(scale, dof) of Student's t about 0 by maximum likelihood on z (n,), not all 0.

    Minus the mean log density is log s + c(v) + (v + 1)/2 mean log(1 + z^2 / (v s^2)), with its
    gradient in log s and log v; v is restricted to DOF_RANGE.
    """
    from scipy.optimize import minimize
    from scipy.special import digamma, gammaln

    spread = math.sqrt(float(np.mean(np.square(z))))
    squares = np.square(z / spread)

    def loss(at: F64) -> tuple[float, F64]:
        v = math.exp(at[1])
        u = squares / (v * math.exp(2.0 * at[0]))
        logs, share = float(np.mean(np.log1p(u))), float(np.mean(u / (1.0 + u)))
        constant = 0.5 * math.log(v * math.pi) + gammaln(0.5 * v) - gammaln(0.5 * (v + 1.0))
        by_v = 1.0 / v + digamma(0.5 * v) - digamma(0.5 * (v + 1.0)) + logs - (v + 1.0) / v * share
        slope = np.array([1.0 - (v + 1.0) * share, 0.5 * v * by_v])
        return at[0] + constant + 0.5 * (v + 1.0) * logs, slope

    begin = np.array([0.5 * math.log(0.75), math.log(8.0)])
    fewest, most = DOF_RANGE
    bounds = [(math.log(_LEAST_SCALE), math.log(10.0)), (math.log(fewest), math.log(most))]
    best = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds,
                    options={"ftol": 1e-13, "gtol": 1e-7})  # fmt: skip
    return spread * math.exp(best.x[0]), math.exp(best.x[1])


_LAWS = {"normal": _normal, "t": _student, "historical": _historical}
RESIDUALS = tuple(_LAWS)
