"""The insanity filter: a forecast outside the range of the training targets becomes their mean.

Swanson & White (1997, Rev. Economics & Statistics 79); Bollerslev, Patton & Quaedvlieg (2016, J.
Econometrics 192) apply it to every HAR. Range and mean are of the target over the training rows, on
the target's scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from harness.types import F64, I64


@dataclass(frozen=True)
class Sanity:
    """Least, greatest and mean target (w,) over the training rows of w fits; NaN without rows."""

    least: F64
    greatest: F64
    mean: F64

    @classmethod
    def of_windows(cls, y: F64, first: I64, last: I64, mean: F64) -> Self:
        """The filter of rows first[k] … last[k] - 1 of y (n,), whose means (w,) are given.

        Each segment between window boundaries is read once; a window is two overlapping runs of
        2^j segments, so the cost is linear in rows and nearly linear in windows.
        """
        cuts = np.unique(np.concatenate((first, last)))
        a, b = np.searchsorted(cuts, first), np.searchsorted(cuts, last)
        least = _extreme(np.minimum, y, cuts, a, b)
        return cls(least, _extreme(np.maximum, y, cuts, a, b), mean)

    @classmethod
    def together(cls, parts: Sequence[Self], mean: F64) -> Self:
        """The filter of several sets of rows together, whose common means (w,) are given."""
        least = np.fmin.reduce([part.least for part in parts])
        return cls(least, np.fmax.reduce([part.greatest for part in parts]), mean)

    def among(self, fits: I64, number: int) -> Self:
        """The same fits at these positions among `number` fits, the others without rows."""
        return replace(self, **{key: _spread(v, fits, number) for key, v in vars(self).items()})

    def replaced(self, forecasts: F64, edges: I64) -> tuple[F64, I64]:
        """Forecasts (edges[-1],) with outliers replaced, and how many of each fit (w,).

        The forecasts of fit k are edges[k] … edges[k + 1] - 1; NaN stays NaN.
        """
        fit = np.repeat(np.arange(self.mean.size), np.diff(edges))
        insane = (forecasts < self.least[fit]) | (forecasts > self.greatest[fit])
        count = np.bincount(fit[insane], minlength=self.mean.size)
        return np.where(insane, self.mean[fit], forecasts), count


def _spread(values: F64, places: I64, number: int) -> F64:
    out = np.full(number, np.nan)
    out[places] = values
    return out


def _extreme(pick: np.ufunc, y: F64, cuts: I64, a: I64, b: I64) -> F64:
    """The extreme y (w,) over the segments a[k] … b[k] - 1 that begin at cuts; NaN over none."""
    found = np.full(a.size, np.nan)
    if cuts.size < 2:
        return found
    runs = pick.reduceat(y[: cuts[-1]], cuts[:-1])
    length = b - a
    for j in range(int(length.max()).bit_length()):
        width = 1 << j
        mine = (length >= width) & (length < 2 * width)
        found[mine] = pick(runs[a[mine]], runs[b[mine] - width])
        runs = pick(runs[:-width], runs[width:])
    return found
