"""VaR and ES of every test row, from volatility forecasts and tails of residuals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from harness.scores.losses import Tail, Values
from harness.scores.risk.backtests import TailShapes
from harness.types import F64, I64, Forecasts, ModelFit
from harness.walk.residuals.tails import (
    CELLS,
    DOF,
    DOF_RANGE,
    QUANTILE,
    SCALE,
    SHORTFALL,
    Tails,
    normal_shortfall,
    student_shortfall,
)

_LAWS, _POINTS = 64, 2_048  # Student's t on a grid of 1/dof, its tail on a grid of points


@dataclass(frozen=True)
class TailForecast:
    """VaR and ES (n,) of one model, residual distribution and level: returns over the horizon.

    `scale` and `dof` (n,) are the distribution's at every row; `fit` (n,) is the row's position in
    `tails` (fits, 4 + GRID), one row per fit, or per fit and symbol.
    """

    level: float
    var: F64
    es: F64
    scale: F64
    dof: F64
    fit: I64
    tails: F64

    def shapes(self, rows: I64) -> TailShapes:
        """The distribution of returns beyond VaR for these rows."""
        if np.isfinite(self.dof[rows]).any():
            steps = (_LAWS - 1) * DOF_RANGE[0] / self.dof[rows]
            return TailShapes(_student_ratios(self.level), np.rint(steps).astype(np.int64))
        beyond = self.tails[:, 4:]
        if np.isfinite(beyond[self.fit[rows]]).any():
            return TailShapes(beyond, self.fit[rows], tuple(CELLS.tolist()))
        return TailShapes(_student_ratios(self.level), np.zeros(rows.size, np.int64))


def tail_forecast(
    forecasts: Forecasts, model: str, values: Values, tails: Tails, law: int, level: int
) -> TailForecast:
    """VaR and ES of a model's forecasts at tails.levels[level] with tails.residuals[law].

    VaR is the fit's quantile of z times the forecast sigma of the horizon; ES is the mean of z at
    or below that quantile, times the same sigma. NaN for rows of a fit without tails.
    """
    fit = forecasts.fits[model]
    own, place = _own(fit, forecasts, law, level)
    sigma, found = tails.sigma(values.variance), own[place]
    return TailForecast(
        tails.levels[level],
        var=sigma * found[:, QUANTILE],
        es=sigma * found[:, SHORTFALL],
        scale=found[:, SCALE],
        dof=found[:, DOF],
        fit=place,
        tails=own,
    )


@dataclass(frozen=True)
class DecidedTail:
    """VaR and ES that a verdict is decided on: places in `tails.residuals` and `tails.levels`."""

    tails: Tails
    law: int
    level: int

    def read(
        self, forecasts: Forecasts, outcome: Values, models: Mapping[str, Values]
    ) -> tuple[Values, dict[str, Values]]:
        """Outcome and models with returns and tails (n,).

        Returns are NaN in rows where the return or a fit's tail is unknown, of any model with any
        seed, or where its ES is not negative: all models are scored on the same rows.
        """
        assert forecasts.returns is not None, "a hypothesis with [risk] reads returns"
        known = np.isfinite(forecasts.returns)
        for fits in (forecasts.fits, *(again.fits for again in forecasts.repeats)):
            for fit in fits.values():
                own, place = _own(fit, forecasts, self.law, self.level)
                known &= (own[:, SHORTFALL] < 0.0)[place]
        read = {}
        for name, values in models.items():
            found = tail_forecast(forecasts, name, values, self.tails, self.law, self.level)
            read[name] = replace(values, tail=Tail(found.level, found.var, found.es))
        return replace(outcome, returns=np.where(known, forecasts.returns, np.nan)), read


@dataclass(frozen=True)
class Violations:
    """The rows that a verdict on VaR or ES scores, how many are left out, violations by model."""

    level: float
    rows: int
    left_out: int
    by_model: Mapping[str, int]

    @classmethod
    def of(cls, outcome: Values, models: Mapping[str, Values]) -> Violations | None:
        """From what metrics read; None for a verdict on volatility."""
        y = outcome.returns
        tails = {name: v.tail for name, v in models.items() if v.tail is not None}
        if y is None:
            return None
        rows = int(np.isfinite(y).sum())
        counts = {name: int(np.sum(y < tail.var)) for name, tail in tails.items()}
        return cls(next(iter(tails.values())).level, rows, y.size - rows, counts)


def _own(fit: ModelFit, forecasts: Forecasts, law: int, level: int) -> tuple[F64, I64]:
    """Tails (fits, 4 + GRID), one row per fit (and symbol), and each row's position in them."""
    assert fit.tails is not None, "tails are set by a walk with [risk]"
    own = fit.tails[..., law, level, :]
    place = np.repeat(np.arange(own.shape[0]), np.diff(fit.edges))
    if own.ndim == 2:
        return own, place
    symbols = own.shape[1]
    return own.reshape(-1, own.shape[2]), place * symbols + forecasts.symbol


@lru_cache(maxsize=32)
def _student_ratios(level: float) -> F64:
    """Equally likely z / ES beyond VaR (64, 2048): t with 63 x 2.1 / k dof, normal for k = 0."""
    from scipy.special import ndtri, stdtrit

    level_of = (np.arange(_POINTS) + 0.5) / _POINTS * level
    found, own = np.empty((_LAWS, _POINTS)), np.array(level)
    found[0] = ndtri(level_of) / normal_shortfall(np.asarray(ndtri(own), np.float64), own)
    dof = (_LAWS - 1) * DOF_RANGE[0] / np.arange(1, _LAWS)[:, None]
    quantiles = np.asarray(stdtrit(dof, own), np.float64)
    found[1:] = stdtrit(dof, level_of) / student_shortfall(quantiles, own, dof)
    return found / found.mean(axis=1, keepdims=True)
