"""Worlds in which the best forecast is known: what a model has to learn, and how near it comes.

Every world is a series x of ln sigma, of which x at the next origin is the target, and features
that are known at the origin. `optimum` is the target's mean given all that is known, so its mean
squared error is that of the innovations, whose standard deviation is SHOCK, and no forecast without
look-ahead is better but by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from support.worlds import DAY, START

from harness.samples.target_scale import TargetScale
from harness.types import F64, I64, Fold, History, Rows, Samples, Window

SHOCK = 0.3  # standard deviation of what cannot be forecast, in ln sigma
TESTED = 1_900  # test rows
HELD_OUT = 0.2  # the last share of the rows before the test, for models that stop early
PAST = 64  # origins before the first row
LEVEL = -4.5  # of ln sigma: about 1 % a day
SCALE = TargetScale("log", "sigma", "smearing", 1e-6)
OWN, WEEK, MONTH = "log(rv_1d)", "mean(log(rv_1d), 5)", "mean(log(rv_1d), 22)"
HAR = (OWN, WEEK, MONTH)


@dataclass(frozen=True)
class Drawn:
    """Symbols' series (s, T): x in deviations from LEVEL, E[x at t + 1 | t], features by name."""

    x: F64
    mean: F64
    features: Mapping[str, F64] = field(default_factory=dict)


Law = Callable[[np.random.Generator, int], Drawn]


@dataclass(frozen=True)
class World:
    """A world: `draw` makes origins of it from a generator, `told` are the features besides x's.

    With `lesson` there is a source panel of that law with all the rows, and the world itself has
    a tenth of them before its test.
    """

    draw: Law
    told: tuple[str, ...] = ()
    lesson: Law | None = None


@dataclass(frozen=True)
class Learned:
    """A world's samples, the one fold of them, and the optimum (TESTED * symbols,) on its test.

    `source` are the rows of the source panel, if it has one, all known before the test.
    """

    samples: Samples
    fold: Fold
    optimum: F64
    source: Samples | None = None

    @property
    def truth(self) -> F64:
        """The targets of the test rows."""
        return self.samples.y[self.fold.test]

    def over_optimum(self, forecast: F64) -> float:
        """The mean squared error of forecasts of the test rows over that of the optimum."""
        best = np.mean(np.square(self.truth - self.optimum))
        return float(np.mean(np.square(self.truth - forecast)) / best)


def _series(
    rng: np.random.Generator, n: int, mean: Callable[[F64, int], float], begin: int = 60
) -> tuple[F64, F64]:
    """x (1, n) with x[t + 1] = mean(x[: t + 1], t) + shock, and these means."""
    x, means = np.zeros(n + 1), np.zeros(n)
    shocks = SHOCK * rng.standard_normal(n + 1)
    x[:begin] = shocks[:begin]
    for t in range(begin - 1, n):
        means[t] = mean(x[: t + 1], t)
        x[t + 1] = means[t] + shocks[t + 1]
    return x[None, :n], means[None]


def _ar1(rng: np.random.Generator, n: int) -> Drawn:
    """x[t + 1] = 0.9 x[t]."""
    return Drawn(*_series(rng, n, lambda x, _: 0.9 * x[-1]))


def _har(rng: np.random.Generator, n: int) -> Drawn:
    """Corsi's cascade: 0.36 of the day, 0.28 of the week's mean, 0.28 of the month's."""
    return Drawn(
        *_series(rng, n, lambda x, _: 0.36 * x[-1] + 0.28 * x[-5:].mean() + 0.28 * x[-22:].mean())
    )


def _noise(rng: np.random.Generator, n: int) -> Drawn:
    """Nothing can be learned: the optimum is the mean."""
    return Drawn(*_series(rng, n, lambda *_: 0.0))


def _threshold(rng: np.random.Generator, n: int) -> Drawn:
    """The mean to which x reverts depends on the sign of a feature."""
    z = rng.standard_normal(n)
    sign = np.sign(z)
    found = _series(rng, n, lambda x, t: 0.8 * x[-1] + 0.34 * sign[t])
    return Drawn(*found, {"z1_1d": z[None]})


def _interaction(rng: np.random.Generator, n: int) -> Drawn:
    """The mean depends on the product of two features' signs, which no line can see."""
    z = rng.standard_normal((2, n))
    sign = np.sign(z[0] * z[1])
    found = _series(rng, n, lambda x, t: 0.7 * x[-1] + 0.25 * sign[t])
    return Drawn(*found, {"z1_1d": z[:1], "z2_1d": z[1:]})


def _slopes(rng: np.random.Generator, n: int) -> Drawn:
    """What a feature does depends on the regime: calm, usual or turbulent by another feature."""
    z, regime = rng.standard_normal(n), np.zeros(n)
    for t in range(1, n):
        regime[t] = 0.97 * regime[t - 1] + np.sqrt(1 - 0.97**2) * rng.standard_normal()
    slope = 0.3 * ((regime > 0.5).astype(float) - (regime < -0.5))
    found = _series(rng, n, lambda x, t: 0.8 * x[-1] + slope[t] * z[t])
    return Drawn(*found, {"z1_1d": z[None], "z2_1d": regime[None]})


def _far_lag(rng: np.random.Generator, n: int) -> Drawn:
    """x depends on x 40 origins ago, further back than HAR's month reaches."""
    return Drawn(*_series(rng, n, lambda x, _: 0.3 * x[-1] + 0.6 * x[-41]))


def _long_regime(rng: np.random.Generator, n: int) -> Drawn:
    """Two levels that last 60 origins on average; the optimum is Hamilton's (1989) filter."""
    stay, level = 1.0 - 1.0 / 60.0, 0.5
    state = np.cumsum(rng.random(n + 1) > stay) % 2
    x = level * (2.0 * state - 1.0) + SHOCK * rng.standard_normal(n + 1)
    means, high = np.zeros(n), 0.5
    for t in range(n):
        density = np.exp(-0.5 * np.square((x[t] - level * np.array([-1.0, 1.0])) / SHOCK))
        high = high * density[1] / (high * density[1] + (1.0 - high) * density[0])
        high = high * stay + (1.0 - high) * (1.0 - stay)
        means[t] = level * (2.0 * high - 1.0)
    return Drawn(x[None, :n], means[None])


def _garch(rng: np.random.Generator, n: int) -> Drawn:
    """Returns of four symbols with GARCH(1,1) variances; x is ln of the next sigma, with noise."""
    symbols = 4
    returns, variance = np.zeros((symbols, n)), np.ones((symbols, n + 1))
    for t in range(n):
        returns[:, t] = np.sqrt(variance[:, t]) * rng.standard_normal(symbols)
        variance[:, t + 1] = 0.05 + 0.12 * np.square(returns[:, t]) + 0.83 * variance[:, t]
    mean = 0.5 * np.log(variance[:, 1:])
    x = np.zeros((symbols, n))
    x[:, 1:] = mean[:, :-1] + SHOCK * rng.standard_normal((symbols, n - 1))
    return Drawn(x, mean, {"ret_1d": np.exp(LEVEL) * returns})


def _reversed(rng: np.random.Generator, n: int) -> Drawn:
    """As `_threshold`, with the opposite sign: what is learned here misleads there."""
    drawn = _threshold(rng, n)
    return Drawn(drawn.x, drawn.mean, {name: -z for name, z in drawn.features.items()})


WORLDS: Mapping[str, World] = {
    "ar1": World(_ar1),
    "har": World(_har),
    "noise": World(_noise),
    "threshold": World(_threshold, ("z1_1d",)),
    "interaction": World(_interaction, ("z1_1d", "z2_1d")),
    "slopes": World(_slopes, ("z1_1d", "z2_1d")),
    "far-lag": World(_far_lag),
    "long-regime": World(_long_regime),
    "garch": World(_garch, ("ret_1d",)),
    "taught": World(_threshold, ("z1_1d",), lesson=_threshold),
    "mistaught": World(_threshold, ("z1_1d",), lesson=_reversed),
}


def learned(name: str, n: int, seed: int) -> Learned:
    """The world with n rows before the test and TESTED test rows, of each symbol."""
    world = WORLDS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    source = None
    if world.lesson is not None:
        source = _samples(world.lesson(rng, PAST + n + 1), START - DAY * (PAST + n))
        n //= 10
    drawn = world.draw(rng, PAST + n + TESTED + 1)
    samples = _samples(drawn, START)
    fold = _fold(samples.rows.formed_at, n * drawn.x.shape[0])
    tested = LEVEL + drawn.mean.T[PAST:-1].reshape(-1)[fold.test]
    return Learned(samples, fold, tested, source)


def _samples(drawn: Drawn, start: int) -> Samples:
    """The rows of all origins from PAST on but the last, whose target is not drawn."""
    symbols, size = drawn.x.shape[0], drawn.x.shape[1] - 1
    x = LEVEL + drawn.x
    columns = {OWN: x, WEEK: _mean(x, 5), MONTH: _mean(x, 22), **drawn.features}
    values = np.stack([v[:, :size].reshape(-1) for v in columns.values()])
    time = np.repeat(np.arange(PAST, size), symbols)  # rows by time, then by symbol
    symbol = np.tile(np.arange(symbols, dtype=np.int32), size - PAST)
    at = symbol.astype(np.int64) * size + time
    history = History(values, tuple(columns), size * np.arange(symbols + 1, dtype=np.int64))
    formed = start + DAY * time.astype(np.int64)
    return Samples(
        "1d",
        Rows(np.asfortranarray(values[:, at].T), history.names, symbol, formed, history, at),
        y=x[symbol, time + 1],
        last=x[symbol, time],
        resolved_at=formed + DAY,
        symbols=tuple(f"S{k}" for k in range(symbols)),
        dropped=0,
        overlap=0,
    )


def _fold(formed: I64, n: int) -> Fold:
    """One window: the first n rows train, of which the last fifth is held out where one asks."""
    cut, end = int(formed[n]), int(formed[-1] + DAY)
    validation = int(formed[int((1.0 - HELD_OUT) * n)])
    window = Window(0, int(formed[0]), cut, cut, end, validation)
    return Fold(window, slice(0, int(np.sum(formed + DAY <= cut))), slice(n, formed.size))


def _mean(x: F64, window: int) -> F64:
    """The mean of the last `window` values (s, T), of fewer at the beginning."""
    total = np.cumsum(np.pad(x, ((0, 0), (1, 0))), axis=1)
    last = np.arange(1, x.shape[1] + 1)
    first = np.maximum(last - window, 0)
    return (total[:, last] - total[:, first]) / (last - first)
