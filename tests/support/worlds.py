"""Small worlds for the science tests: bars, plans, samples and forecasts made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from harness.durations import NS_PER_MINUTE, parse_duration, parse_moment
from harness.measures.cascade import CascadePlan, plan_cascade
from harness.models.protocol import Task
from harness.samples.target_scale import TargetScale
from harness.spec.sections import Acceptance
from harness.types import F64, I64, Bars, FitTime, Forecasts, ModelFit, Rows, Samples, Window

DAY = 1_440 * NS_PER_MINUTE
START = parse_moment("2021-03-01")
LOG_SIGMA = TargetScale("log", "sigma", "lognormal", 1e-6)
LEVEL_SIGMA = TargetScale("level", "sigma", "none", 1e-6)


def make_bars(
    n: int, *, seed: int, symbol: str = "A", start: int = START, ts: I64 | None = None
) -> Bars:
    """Bars with clustered volatility, jumps, flat minutes and an extra column `flow`.

    Minutes from `start` on, or sessions of a day at `ts` (n,).
    """
    rng = np.random.default_rng(seed)
    log_vol = np.sin(np.cumsum(rng.normal(0.0, 0.05, n)))
    returns = 6e-4 * np.exp(log_vol) * rng.standard_t(4, n)
    returns += (rng.random(n) < 0.003) * rng.exponential(0.02, n)
    returns[rng.random(n) < 0.05] = 0.0
    close = 100.0 * np.exp(np.cumsum(returns))
    spread = np.abs(returns) * rng.random(n)
    columns = {
        "close": close,
        "high": close * np.exp(spread),
        "low": close * np.exp(-rng.random(n) * 1e-3),
        "flow": rng.gamma(0.7, 2.0, n),
    }
    columns["open"] = columns["low"] + rng.random(n) * (columns["high"] - columns["low"])
    bar = NS_PER_MINUTE if ts is None else DAY
    start = start if ts is None else int(ts[0])
    return Bars(symbol, start, bar, n, ts, columns, n, (), "xxh3:0")


def sessions(n: int, *, seed: int = 0) -> I64:
    """n exchange days, weekdays with some holidays, UTC ns."""
    days = START + DAY * np.arange(2 * n + 10, dtype=np.int64)
    open_days = (days // DAY + 3) % 7 < 5  # 1 January 1970 was a Thursday: 0 is Monday
    open_days &= np.random.default_rng(seed).random(days.size) > 0.03
    return days[open_days][:n]


def make_plan(
    *,
    every: str = "4h",
    scales: Sequence[str] = ("4h", "1d"),
    horizons: Sequence[str] = ("4h",),
    measures: Sequence[str] = ("rv", "bv", "j", "pk"),
    target: str = "rv",
    calendar: str = "24/7",
    edge: str = "inside",
    extra: dict[str, str] | None = None,
    bar: int | None = None,
    interval: str | None = None,
    jump_alpha: float = 0.001,
    periods: bool = False,
    session_bars: int = 1,
    stepwise: Sequence[str] = (),
    returns: bool = False,
) -> CascadePlan:
    """A plan of a cascade from durations as people write them."""
    return plan_cascade(
        "test.toml",
        bar=bar or (NS_PER_MINUTE if calendar == "24/7" else DAY),
        calendar=calendar,
        every=parse_duration(every),
        scales=[parse_duration(s) for s in scales],
        horizons=[parse_duration(h) for h in horizons],
        measures=measures,
        target=target,
        extra=extra or {},
        bipower_edge=edge,
        interval=parse_duration(interval) if interval else None,
        jump_alpha=jump_alpha,
        periods=periods,
        session_bars=session_bars,
        stepwise=stepwise,
        returns=returns,
    )


def make_task(
    horizon: str = "4h",
    *,
    measure: str = "rv",
    every: str = "1h",
    steps: int = 4,
    bars: int = 60,
    scale: TargetScale = LOG_SIGMA,
    holds_out: bool = False,
) -> Task:
    """The task of forecasting a sigma over this horizon."""
    own, back = f"{measure}_{horizon}", "sqrt({})"
    return Task(
        horizon,
        own=f"log({own})" if scale.is_log else own,
        variance=f"square({measure}_{every})",
        back=f"log({back})" if scale.is_log else back,
        steps=steps,
        every=every,
        bars=bars,
        scale=scale,
        holds_out=holds_out,
    )


def make_samples(
    n: int = 400,
    *,
    seed: int = 0,
    features: int = 3,
    overlap: int = 2,
    symbols: int = 1,
    ragged: bool = False,
) -> Samples:
    """Rows at every hour whose target is linear in asymmetric features plus noise.

    The target of a row resolves overlap + 1 hours later; ragged: between one and as many.
    """
    rng = np.random.default_rng(seed)
    hour = 60 * NS_PER_MINUTE
    names = tuple(f"x{j}_1h" for j in range(features))
    x = np.asfortranarray(rng.gamma(2.0, 1.0, (n * symbols, features)) - 9.0)
    y = x @ np.linspace(0.2, 0.6, features) - 1.0 + 0.3 * rng.gumbel(size=n * symbols)
    formed = START + hour * np.repeat(np.arange(n, dtype=np.int64), symbols)
    steps = rng.integers(1, overlap + 2, n * symbols) if ragged else overlap + 1
    symbol = np.tile(np.arange(symbols, dtype=np.int32), n)
    return Samples(
        horizon="1h",
        rows=Rows(x, names, symbol, formed),
        y=y,
        last=np.roll(y, symbols),
        resolved_at=formed + hour * steps,
        symbols=tuple(f"S{k}" for k in range(symbols)),
        dropped=0,
        overlap=overlap,
    )


def make_forecasts(
    y: F64,
    yhat: dict[str, F64],
    *,
    windows: int = 1,
    shifts: dict[str, tuple[float, float]] | None = None,
    overlap: int = 0,
    symbols: int = 1,
    last: F64 | None = None,
) -> Forecasts:
    """Forecasts of given values on `windows` windows of nearly equal length."""
    n = y.size
    edges = np.linspace(0, n, windows + 1).astype(np.int64)
    window = np.repeat(np.arange(windows, dtype=np.int32), np.diff(edges))
    formed = START + DAY * (np.arange(n, dtype=np.int64) // symbols)
    fits = {}
    for name in yhat:
        var_shift, sigma_shift = (shifts or {}).get(name, (0.0, 0.0))
        nothing = np.empty((windows, 0))
        shift = np.full(windows, var_shift), np.full(windows, sigma_shift)
        fits[name] = ModelFit(name, (), nothing, *shift, formed[edges[:-1]], edges)
    return Forecasts(
        horizon="1d",
        symbols=tuple(f"S{k}" for k in range(symbols)),
        symbol=(np.arange(n) % symbols).astype(np.int32),
        formed_at=formed,
        resolved_at=formed + (overlap + 1) * DAY,
        window=window,
        windows=tuple(
            Window(k, 0, int(formed[a]), int(formed[a]), int(formed[b - 1]) + DAY)
            for k, (a, b) in enumerate(pairwise(edges))
        ),
        edges=edges,
        y=y,
        last=np.roll(y, 1) if last is None else last,
        yhat=yhat,
        fits=fits,
        proofs=(),
        overlap=overlap,
    )


@dataclass(frozen=True)
class Nearest:
    """A forecaster that is not linear: the target of the nearest training row."""

    features: tuple[str, ...]
    x: F64 | None = None
    y: F64 | None = None
    look_back: ClassVar[int] = 0
    validates: ClassVar[bool] = False
    training: ClassVar[None] = None

    def fit(self, rows: Rows, y: F64, *, validation: object = None, seed: int = 0) -> Self:
        return replace(self, x=rows.X.copy(), y=y.copy())

    def predict(self, rows: Rows) -> F64:
        distance = np.square(rows.X[:, None, :] - self.x[None, :, :]).sum(axis=2)
        return self.y[distance.argmin(axis=1)]

    @property
    def coefficients(self) -> dict[str, float]:
        return {} if self.y is None else {"rows": float(self.y.size)}


@dataclass(frozen=True)
class InSample(Nearest):
    """The nearest training row's target, with the residuals of its training rows, which are 0."""

    overfits: ClassVar[bool] = False


def close_to(got: object, wanted: object, relative: float) -> bool:
    """Equal to `relative`, NaN where NaN is wanted."""
    return np.allclose(got, wanted, rtol=relative, atol=0.0, equal_nan=True)


def exact_sum(values: object) -> float:
    """The sum rounded once."""
    return math.fsum(np.asarray(values, dtype=np.float64).tolist())


@dataclass(frozen=True)
class Studious(Nearest):
    """A forecaster that trains: two epochs, and an estimate by the number of rows."""

    validates: ClassVar[bool] = False
    overfits: ClassVar[bool] = False
    progress: Callable[[str], None] | None = None

    def watched(self, progress: Callable[[str], None]) -> Self:
        return replace(self, progress=progress)

    def estimate(self, n_rows: int, n_validation: int) -> FitTime:
        return FitTime(0.1 * n_rows + n_validation, 0.2 * n_rows + n_validation, 1.0)

    def fit(self, rows: Rows, y: F64, *, validation: object = None, seed: int = 0) -> Self:
        for epoch in (1, 2):
            if self.progress is not None:
                self.progress(f"epoch {epoch} of 2, training {1 / epoch:.4g}")
        fitted = super().fit(rows, y, validation=validation, seed=seed)
        return replace(fitted, progress=None)


@dataclass(frozen=True)
class Validated(Studious):
    """The same, with rows held out."""

    validates: ClassVar[bool] = True


class Elsewhere:
    """An executor on a pool of processes that takes work of any length."""

    in_process = False

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self.pool, self.count = pool, count

    def suited(self, seconds: float) -> Elsewhere:
        return self

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return self.pool.map(function, items)


def acceptance(
    min_gain: float = 0.0, gain_as: str = "difference", claim: str = "better", rule: str = "test"
) -> Acceptance:
    """A rule at a level of 5 %, as [verdict] states one."""
    return Acceptance(
        baseline="base",
        candidates=("own",),
        metric="mae_log",
        horizon="1h",
        min_gain=min_gain,
        gain=gain_as,
        alpha=0.05,
        claim=claim,
        rule=rule,
    )
