"""Scores by row of forecast quantiles: the forecast plus quantiles of a residual distribution.

All values are on the target's scale. The forecast is subtracted from outcome and quantiles, which
leaves the residual r (n,) and the quantiles of residuals.
"""

from __future__ import annotations

import numpy as np

from harness.types import F64, I64, Forecasts, ModelFit
from harness.walk.residuals.laws import MIDDLES, SHARES

_CHUNK = 4_096  # rows whose distances to all quantiles are in memory at once


def laws_of_rows(fit: ModelFit, forecasts: Forecasts, law: int) -> tuple[F64, I64]:
    """One distribution of all fits (fits, 1 + L + SHARES), or fits and symbols; rows' positions."""
    assert fit.laws is not None, "laws are set by a walk with [distribution]"
    own = fit.laws[..., law, :]
    place = np.repeat(np.arange(own.shape[0]), np.diff(fit.edges))
    if own.ndim == 2:
        return own, place
    return own.reshape(-1, own.shape[2]), place * own.shape[1] + forecasts.symbol


def pinball(r: F64, quantiles: F64, levels: F64) -> F64:
    """(p - 1(r < q)) (r - q) of r (n,), quantiles (n, L) and levels (L,): (n, L)."""
    apart = r[:, None] - quantiles
    return (levels - (apart < 0.0)) * apart


def interval_score(r: F64, low: F64, high: F64, level: float) -> F64:
    """Score of intervals (n,) from the quantiles at `level` to 1 - level; Gneiting & Raftery."""
    beyond = np.maximum(low - r, 0.0) + np.maximum(r - high, 0.0)
    return high - low + beyond / level


def crps_and_pit(r: F64, shares: F64, place: I64) -> tuple[F64, F64]:
    """CRPS (n,) and PIT (n,) in 0 to 1 of r (n,), whose quantiles are shares[place].

    shares (fits, SHARES) are ascending quantiles at MIDDLES.
    """
    crps, pit = np.empty(r.size), np.empty(r.size)
    for begin in range(0, r.size, _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        own = shares[place[rows]]
        crps[rows] = 2.0 * pinball(r[rows], own, MIDDLES).mean(axis=1)
        pit[rows] = _transform(r[rows], own)
    return crps, pit


def _transform(r: F64, own: F64) -> F64:
    """F(r) from quantiles (n, SHARES): linear between them, halfway to 0 or 1 beyond them."""
    upto = np.sum(own <= r[:, None], axis=1)
    inside = np.clip(upto, 1, SHARES - 1)
    low, high = (np.take_along_axis(own, k[:, None], 1)[:, 0] for k in (inside - 1, inside))
    gap = high - low
    part = np.divide(r - low, gap, out=np.zeros(r.size), where=gap > 0.0)
    between = (inside - 0.5 + part) / SHARES
    edge = np.where(upto == 0, 0.5 * MIDDLES[0], 0.5 + 0.5 * MIDDLES[-1])
    return np.where((upto == 0) | (upto == SHARES), edge, between)
