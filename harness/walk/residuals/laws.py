"""The residual distribution of a fit, which gives the target's quantiles around each forecast.

A residual is e = y - f on the target's scale (ln sigma, or the level), with f the fit's forecast.
The target's quantile is f plus the quantile of the residual distribution.

* `conformal`: order statistics of the residuals of rows that were not trained on (the validation
  slice), by the rank of split conformal prediction: of n residuals the floor((n + 1) p)-th below
  the median, the ceil((n + 1) p)-th above it. The interval between levels p and 1 - p then covers
  exchangeable outcomes with probability 1 - 2 p or more, for any n and any distribution (Vovk,
  Gammerman & Shafer 2005, Algorithmic Learning in a Random World, section 2.2; Lei et al. 2018,
  JASA 113, section 2.2).
* `adaptive-conformal`: the same residuals, at levels that follow the outcomes that have resolved
  since (Gibbs & Candès 2021; scores/distribution/adaptive.py). What a fit keeps is the same.
* `residual`: the empirical quantiles of the residuals, of the rows of walk/residual_rows.py.
* `normal`: mean and variance of the same residuals; for a log target a log-normal volatility.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from harness.types import F64

# Columns of a distribution: its number of residuals, its quantiles at the requested levels, and
# those at the midpoints of SHARES equal shares, which stand for the whole distribution.
COUNT = 0
SHARES = 100
MIDDLES = (np.arange(SHARES) + 0.5) / SHARES
_FEWEST = 10  # residuals that a distribution needs
_ROUNDING = 1e-9  # rounding of (n + 1) p that does not change the rank


@dataclass(frozen=True)
class Laws:
    """The residual distributions that every fit keeps: of each of `laws` (K,) at `levels` (L,).

    A fit's are (K, 1 + L + SHARES): COUNT, then quantiles at the levels, then at MIDDLES.
    """

    levels: tuple[float, ...]
    laws: tuple[str, ...]

    @property
    def unknown(self) -> F64:
        """The distributions of an unknown fit: NaN."""
        return np.full((len(self.laws), 1 + len(self.levels) + SHARES), np.nan)

    @property
    def conformal(self) -> list[int]:
        """The positions of the laws that are calibrated on held-out rows."""
        return [k for k, law in enumerate(self.laws) if law in HELD_OUT]

    def of(self, residuals: F64, held_out: F64 | None = None) -> F64:
        """The distributions of residuals (n,), and of residuals for conformal ones (m,), if any.

        NaN for a distribution with too few residuals.
        """
        found = self.unknown
        for k, law in enumerate(self.laws):
            if law in HELD_OUT:
                if held_out is not None:
                    found[k] = self.calibrated(held_out)
            elif residuals.size >= _FEWEST:
                found[k, COUNT] = residuals.size
                found[k, 1:] = _IN_SAMPLE[law](residuals, np.array([*self.levels, *MIDDLES]))
        return found

    def calibrated(self, held_out: F64) -> F64:
        """The conformal distribution of these residuals (m,); NaN if too few for a level."""
        found = self.unknown[0]
        n, outermost = held_out.size, min(min(p, 1.0 - p) for p in self.levels)
        if n >= _FEWEST and (n + 1) * outermost >= 1.0 - _ROUNDING:
            ordered = np.sort(held_out)
            found[COUNT] = n
            found[1 : 1 + len(self.levels)] = [_ranked(ordered, p) for p in self.levels]
            found[1 + len(self.levels) :] = np.quantile(ordered, MIDDLES, method="weibull")
        return found


def _ranked(ordered: F64, level: float) -> float:
    """The order statistic of split conformal; at the median the mean of the two nearest."""
    place = (ordered.size + 1) * level
    low, high = math.floor(place + _ROUNDING), math.ceil(place - _ROUNDING)
    if level == 0.5:
        return float(0.5 * (ordered[low - 1] + ordered[high - 1]))
    return float(ordered[(low if level < 0.5 else high) - 1])


def _empirical(residuals: F64, levels: F64) -> F64:
    return np.quantile(residuals, levels, method="inverted_cdf")


def _normal(residuals: F64, levels: F64) -> F64:
    standard = NormalDist()
    z = np.array([standard.inv_cdf(p) for p in levels.tolist()])
    return residuals.mean() + residuals.std() * z


_IN_SAMPLE = {"residual": _empirical, "normal": _normal}
# Those of the validation slice; the others are of the rows of walk/residual_rows.py.
ADAPTIVE = "adaptive-conformal"
HELD_OUT = ("conformal", ADAPTIVE)
LAWS = (*HELD_OUT, *_IN_SAMPLE)
