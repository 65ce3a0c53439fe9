"""Simulated forecasts: worlds in which no model is fitted, so that they are fast.

Outcomes and two forecasts of them are drawn, and go through the scores, the evidence and the rule
of a run. One day's target is resolved a day later, so no targets overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.calibration.worlds import DAY, LEVEL, START, autoregression
from harness.types import F64, Forecasts, ModelFit, Window

Draw = Callable[[np.random.Generator, tuple[int, ...]], F64]
KNOWN = 0.35  # size of the part of ln sigma that both forecasts know
SHOCK = 0.25  # standard deviation of what they cannot know
_JUMPS, _JUMP = 0.02, 2.8  # share of days with a jump, and its standard deviation among unit shocks
_OFF = 0.25  # the common size of the two errors whose squares differ slowly


def _with_jumps(rng: np.random.Generator, shape: tuple[int, ...]) -> F64:
    rest = np.sqrt(1.0 - _JUMPS * _JUMP**2)
    shocks = rest * rng.standard_normal(shape)
    return shocks + (rng.random(shape) < _JUMPS) * _JUMP * rng.standard_normal(shape)


# Shocks of unit variance, by name.
SHOCKS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "jumps": _with_jumps,
    "laplace": lambda rng, shape: rng.laplace(scale=np.sqrt(0.5), size=shape),
    "t3": lambda rng, shape: rng.standard_t(3.0, shape) / np.sqrt(3.0),
}


@dataclass(frozen=True)
class Span:
    """`days` of daily forecasts of ln sigma for some symbols, without a fit.

    ln sigma is a part that both forecasts know, an AR(1) of coefficient `memory`, plus a shock of
    standard deviation 0.25 that none knows, independent from day to day. A forecast is the known
    part plus a normal error of its own; `errors` are the standard deviations of the baseline's and
    the candidate's, which change places in the share `swapped` of the symbols. `common` is the
    share of the variance of shocks and errors that is common to the symbols. Variance forecasts
    have the lognormal shift that the variances of shocks and errors imply.
    """

    days: int
    errors: tuple[float, float]
    shocks: str = "normal"
    symbols: int = 1
    common: float = 0.0
    swapped: float = 0.0
    memory: float = 0.97

    def forecasts(self, rng: np.random.Generator) -> Forecasts:
        """One world's forecasts by `baseline` and `candidate`."""
        shape = self.days, self.symbols
        known = LEVEL + KNOWN * autoregression(self.memory, rng.standard_normal(shape))
        y = known + SHOCK * self._drawn(SHOCKS[self.shocks], rng)
        normal = SHOCKS["normal"]
        errors = [size * self._drawn(normal, rng) for size in self.errors]
        sizes = [np.full(self.symbols, size) for size in self.errors]
        last = round(self.swapped * self.symbols)
        if last:
            one, two = errors
            one[:, -last:], two[:, -last:] = two[:, -last:].copy(), one[:, -last:].copy()
            sizes = [np.r_[a[:-last], b[-last:]] for a, b in (sizes, sizes[::-1])]
        yhat = [known + error for error in errors]
        shifts = [2.0 * (SHOCK**2 + size**2)[None] for size in sizes]
        return forecasts_of(y, yhat, shifts)

    def _drawn(self, draw: Draw, rng: np.random.Generator) -> F64:
        own = draw(rng, (self.days, self.symbols))
        if not self.common:
            return own
        shared = draw(rng, (self.days, 1))
        return np.sqrt(self.common) * shared + np.sqrt(1.0 - self.common) * own


@dataclass(frozen=True)
class SlowSpan:
    """`days` of daily forecasts whose difference of squared errors of ln sigma is a normal AR(1).

    `phi` is its coefficient; its mean is zero. The errors are c + x and c - x, c a constant and x
    the AR(1), so that the difference of their squares is 4 c x.
    """

    days: int
    phi: float

    def forecasts(self, rng: np.random.Generator) -> Forecasts:
        """One world's forecasts by `baseline` and `candidate`."""
        shape = self.days, 1
        y = LEVEL + KNOWN * rng.standard_normal(shape)
        x = 0.2 * _OFF * autoregression(self.phi, rng.standard_normal(shape))
        return forecasts_of(y, [y - _OFF - x, y - _OFF + x], [np.zeros((1, 1))] * 2)


def forecasts_of(
    y: F64, yhat: list[F64], var_shifts: list[F64], *, first_day: int = 0
) -> Forecasts:
    """The forecasts yhat of y, all (days, symbols), in one test window from a day of the world on.

    `var_shifts` (1, symbols) of the two models, `baseline` and `candidate`.
    """
    days, symbols = y.shape
    n, start = days * symbols, START + DAY * first_day
    end = start + DAY * (days + 1)
    formed_at = np.repeat(start + DAY * np.arange(days, dtype=np.int64), symbols)
    edges = np.array([0, n], np.int64)
    names = "baseline", "candidate"
    fits = {
        name: ModelFit(
            model=name,
            names=(),
            coefficients=np.empty((1, 0)),
            var_shift=shift,
            sigma_shift=shift / 4.0,
            cuts=np.array([start], np.int64),
            edges=edges,
        )
        for name, shift in zip(names, var_shifts, strict=True)
    }
    last = np.vstack((np.full((1, symbols), np.nan), y[:-1]))
    return Forecasts(
        horizon="1d",
        symbols=tuple(f"asset-{k + 1}" for k in range(symbols)),
        symbol=np.tile(np.arange(symbols, dtype=np.int32), days),
        formed_at=formed_at,
        resolved_at=formed_at + DAY,
        window=np.zeros(n, np.int32),
        windows=(Window(0, start, start, start, end),),
        edges=edges,
        y=y.ravel(),
        last=last.ravel(),
        yhat={name: one.ravel() for name, one in zip(names, yhat, strict=True)},
        fits=fits,
        proofs=(),
        overlap=0,
    )
