"""Simulated bars with known volatility and jumps, to check estimates against.

The model of one symbol, bar i = 0 … n − 1 of a day of m bars:

* log volatility x is a stationary Gaussian process, sampled exactly by circulant embedding
  (Davies & Harte 1987, Biometrika 74; Dietrich & Newsam 1997, SIAM J. Sci. Comput. 18). Its
  covariance at a lag of t days is, for `rough`, sd² exp(−(t / memory)^(2 hurst)), which near 0
  is that of fractional Brownian motion of index `hurst` and decays over `memory` (Gneiting &
  Schlather 2004, SIAM Review 46, on separate local and global behaviour); for `components`,
  Σ sd_k² 2^(−t / half life_k), a sum of Ornstein-Uhlenbeck factors. Both are convex and
  decreasing (hurst <= 1/2), so the embedding is non-negative and the simulation exact.
* sigma_i = annual_vol / √(365 m) · √(1 + diurnal cos(2π (h − 16) / 24)) · exp(x_i − Var x), h the
  hour of the bar's start in UTC: the mean of sigma² is annual_vol² / (365 m).
* the log return is sigma_i ε_i + J_i: ε standard normal, or Student's t scaled to unit variance;
  J_i is jump_scale · sigma_i · N(0, 1) with probability jumps_per_day / m (at most 1), else 0.
* open is the last close; high and low are the extremes of a Brownian bridge of volatility sigma_i
  between open and close (each from its exact distribution, independent of one another). Prices
  are rounded to multiples of `tick`, at least one tick. Volume is exponential with a mean
  proportional to sigma_i.

Each quantity has its own random stream, seeded by (seed, symbol, quantity): a symbol's bars do
not depend on the number of symbols or on the columns asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harness.durations import NS_PER_MINUTE, parse_moment
from harness.panel.sources.table import RawBars, Request, SimulatedParams, cells
from harness.panel.spec import BAR_COLUMNS
from harness.types import F64, I64

if TYPE_CHECKING:
    import polars as pl

_DAY = 1_440 * NS_PER_MINUTE
_PREFIX = "SIM"
_HOUR_OF_PEAK = 16
_MEAN_VOLUME = 10.0
_STREAMS = ("log_vol", "shock", "jump", "high", "low", "volume")


@dataclass(frozen=True)
class Truth:
    """The true values behind the bars: sigma (n,) and the jump in the log return (n,)."""

    sigma: F64
    jumps: F64


def simulate(
    params: SimulatedParams, *, bar: int = NS_PER_MINUTE, symbol: int = 0
) -> tuple[pl.DataFrame, Truth]:
    """One symbol's bars [ts (UTC, ns), open, high, low, close, volume] and their truth.

    `bar` is in ns and divides the day; `symbol` counts from 0. Equal parameters give equal values.
    """
    import polars as pl

    ts = _stamps(params, bar)
    columns, truth = _bars(params, bar, symbol, BAR_COLUMNS)
    stamps = pl.Series("ts", ts).cast(pl.Datetime("ns", "UTC"))
    return pl.DataFrame([stamps, *(pl.Series(k, columns[k]) for k in BAR_COLUMNS)]), truth


class Simulated:
    """The source of simulated bars: symbols SIM0001, SIM0002, …"""

    def __init__(self, params: SimulatedParams, request: Request) -> None:
        self._params, self._request = params, request
        self.symbols = tuple(f"{_PREFIX}{number:04d}" for number in range(1, params.symbols + 1))

    def bars(self) -> Iterator[RawBars]:
        """Each symbol's bars of the span."""
        request = self._request
        ts = _stamps(self._params, request.bar)
        low = 0 if request.start is None else np.searchsorted(ts, request.start)
        last = ts[-1] if request.end is None else request.end - request.bar
        span = slice(int(low), int(np.searchsorted(ts, last, "right")))
        for symbol in self.symbols:
            index = int(symbol.removeprefix(_PREFIX)) - 1
            asked = self._params.model_dump_json(), request.bar, index, tuple(request.columns)
            columns = {name: values[span] for name, values in _kept(*asked).items()}
            yield RawBars(symbol, ts[span], columns, (), _place, cells(columns))

    def only(self, symbols: tuple[str, ...]) -> Simulated:
        """The same bars with only these symbols."""
        part = copy(self)
        part.symbols = symbols
        return part

    def identity(self) -> object:
        """The parameters, and the version of the library that draws the random numbers."""
        return [self._params.model_dump(), np.__version__]


def _place(row: int) -> str:
    return f"simulated bar {row + 1:,}"


def _stamps(params: SimulatedParams, bar: int) -> I64:
    return parse_moment(params.start) + np.arange(params.days * _DAY // bar) * bar


def _rng(params: SimulatedParams, symbol: int, stream: str) -> np.random.Generator:
    return np.random.default_rng([params.seed, symbol, _STREAMS.index(stream)])


@lru_cache(maxsize=1)
def _kept(params: str, bar: int, symbol: int, names: tuple[str, ...]) -> dict[str, F64]:
    """A symbol's read-only columns, cached because a run's audit reads parts of them again.

    Only one symbol is cached: memory must not grow with the number of symbols.
    """
    columns, _ = _bars(SimulatedParams.model_validate_json(params), bar, symbol, names)
    for values in columns.values():
        values.flags.writeable = False
    return columns


def _bars(
    params: SimulatedParams, bar: int, symbol: int, columns: Collection[str]
) -> tuple[dict[str, F64], Truth]:
    sigma = _sigma(params, bar, symbol)
    jumps = _jumps(params, bar, symbol, sigma)
    returns = sigma * _shocks(params, symbol, len(sigma)) + jumps
    path = np.concatenate(([0.0], np.cumsum(returns)))
    out = {}
    if "open" in columns:
        out["open"] = _price(params, path[:-1])
    if "close" in columns:
        out["close"] = _price(params, path[1:])
    for name, side in (("high", 1), ("low", -1)):
        if name in columns:
            reach = _bridge_reach(side * returns, sigma, _rng(params, symbol, name))
            out[name] = _price(params, path[:-1] + side * reach)
    if "volume" in columns:
        draws = _rng(params, symbol, "volume").standard_exponential(len(sigma))
        out["volume"] = _MEAN_VOLUME * draws * sigma / sigma.mean()
    return out, Truth(sigma, jumps)


def _sigma(params: SimulatedParams, bar: int, symbol: int) -> F64:
    per_day = _DAY // bar
    n = params.days * per_day
    size = 1 << max(n - 1, 1).bit_length()
    covariance = _covariance(params, np.arange(size + 1) / per_day)
    x = _stationary_gaussian(covariance, _rng(params, symbol, "log_vol"))[:n]
    hours = (_stamps(params, bar)[:per_day] % _DAY) / (60 * NS_PER_MINUTE)
    cycle = np.sqrt(1 + params.diurnal * np.cos(2 * np.pi * (hours - _HOUR_OF_PEAK) / 24))
    base = params.annual_vol / np.sqrt(365 * per_day)
    return base * np.tile(cycle, params.days) * np.exp(x - covariance[0])


def _covariance(params: SimulatedParams, days: F64) -> F64:
    if params.log_vol == "rough":
        sd, memory, hurst = params.log_vol_sd, params.memory_days, params.hurst
        assert sd is not None and memory is not None and hurst is not None, "SimulatedParams checks"
        return sd**2 * np.exp(-((days / memory) ** (2 * hurst)))
    assert params.components is not None, "SimulatedParams checks"
    total = np.zeros(days.shape)
    for c in params.components:
        total += c.sd**2 * np.exp2(-days / c.half_life_days)
    return total


def _stationary_gaussian(covariance: F64, rng: np.random.Generator) -> F64:
    """A path (2s,) of the Gaussian process with covariance (s + 1,) at lags 0 … s.

    Only the first s + 1 values have that covariance. The circulant matrix of the mirrored
    covariance is diagonal in Fourier space; its eigenvalues scale independent normals there.
    """
    size = 2 * (len(covariance) - 1)
    eigenvalues = np.fft.rfft(np.concatenate((covariance, covariance[-2:0:-1]))).real
    # Eigenvalues of convex covariances are below zero only by rounding.
    weights = np.sqrt(np.maximum(eigenvalues, 0.0) * size)
    draws = rng.standard_normal((len(weights), 2)).view(np.complex128)[:, 0]
    draws[[0, -1]] = draws[[0, -1]].real * np.sqrt(2)
    return np.fft.irfft(draws * weights / np.sqrt(2), size)


def _shocks(params: SimulatedParams, symbol: int, n: int) -> F64:
    rng = _rng(params, symbol, "shock")
    if params.student_df is None:
        return rng.standard_normal(n)
    return rng.standard_t(params.student_df, n) * np.sqrt(1 - 2 / params.student_df)


def _jumps(params: SimulatedParams, bar: int, symbol: int, sigma: F64) -> F64:
    rng = _rng(params, symbol, "jump")
    where = np.flatnonzero(rng.random(len(sigma)) < params.jumps_per_day * bar / _DAY)
    jumps = np.zeros(len(sigma))
    jumps[where] = params.jump_scale * sigma[where] * rng.standard_normal(len(where))
    return jumps


def _bridge_reach(end: F64, sigma: F64, rng: np.random.Generator) -> F64:
    """The maximum of a Brownian bridge from 0 to `end`: (end + √(end² + 2σ²E)) / 2.

    E is standard exponential: the inverse of P(max > b) = exp(−2 b (b − end) / σ²), the
    reflection principle for a bridge.
    """
    return (end + np.sqrt(end * end + 2 * sigma * sigma * rng.standard_exponential(len(end)))) / 2


def _price(params: SimulatedParams, log_path: F64) -> F64:
    per_unit = 1 / params.tick
    ticks = np.rint(params.start_price * np.exp(log_path) * per_unit)
    return np.maximum(ticks, 1.0) / per_unit
