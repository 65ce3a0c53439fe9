"""Simulated worlds in which models are fitted and the truth about two of them is known.

Log volatility is a constant plus stationary AR(1) components of different persistence. Two of them,
`a` and `b`, are independent and have the same distribution. All models see HAR averages of the
realised measure; `a` or `b` can be a feature, a target's length before it moves volatility, and so
can `noise`, which has the same distribution and moves nothing. So a model with `b` is exactly as
good as one with `a`, in every metric and window; adding `noise` makes a model no better; adding `a`
makes it better.

The samplings: one series with hourly forecast origins, whose targets of a day overlap by 23 hours;
and 20 assets with daily origins, targets of a day and half, or nine tenths, of each component's
variance in common. Tests are several times as long as the training span: the true gain is that of
many refits, and a short test would depend on a single fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.types import F64, Rows, Samples

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
START = 1_609_459_200_000_000_000  # 2021-01-01
LEVEL = -7.5  # ln sigma per minute, about that of a major cryptocurrency


@dataclass(frozen=True)
class Sampling:
    """How a world is sampled: `steps` forecast origins `every` ns, each target over `span` steps.

    `scales` are the lengths of HAR averages in steps; `half_lives` (steps) are those of the
    components of log volatility, the last that of `a`, `b` and `noise`; a step's measure uses
    `bars` returns; `common` is the share of a component's variance common to the assets. Models
    train on `train` before each of ten windows of `test`.
    """

    name: str
    title: str
    assets: int
    steps: int
    every: int
    span: int
    scales: tuple[int, ...]
    half_lives: tuple[float, ...]
    bars: int
    common: float
    train: str
    test: str


HOURLY = Sampling(
    name="hourly",
    title="one series with hourly forecast origins, targets of 24 hours",
    assets=1,
    steps=24 * 700,
    every=HOUR,
    span=24,
    scales=(1, 24, 168),
    half_lives=(6.0, 240.0, 24.0),
    bars=60,
    common=0.0,
    train="140d",
    test="54d",
)
DAILY = Sampling(
    name="daily",
    title="20 correlated assets with daily forecast origins, targets of a day",
    assets=20,
    steps=1_400,
    every=DAY,
    span=1,
    scales=(1, 5, 22),
    half_lives=(2.0, 40.0, 5.0),
    bars=78,
    common=0.5,
    train="250d",
    test="110d",
)
TOGETHER = replace(
    DAILY,
    name="together",
    title="20 assets that move almost as one, daily forecast origins, targets of a day",
    common=0.9,
)
SAMPLINGS = {s.name: s for s in (HOURLY, DAILY, TOGETHER)}


def make_world(sampling: Sampling, loading: float, rng: np.random.Generator) -> Samples:
    """The samples of one world: features `har_1` …, `a`, `b`, `noise`; the target is ln sigma.

    `loading` is the standard deviation of what `a`, and likewise `b`, adds to ln sigma.
    """
    *slow, own = sampling.half_lives
    a, b, noise = (_part(sampling, own, rng, sampling.span) for _ in range(3))
    log_sigma = LEVEL + loading * (a + b)[: -sampling.span]
    for half_life in slow:
        log_sigma += 0.35 * _part(sampling, half_life, rng)
    variance = np.exp(2.0 * log_sigma)
    variance *= rng.chisquare(sampling.bars, variance.shape) / sampling.bars
    names = [f"har_{scale}" for scale in sampling.scales]
    har = [0.5 * np.log(_trailing_mean(variance, scale)) for scale in sampling.scales]
    last = 0.5 * np.log(_trailing_mean(variance, sampling.span))
    first = max(sampling.scales) - 1
    kept = slice(first, sampling.steps - sampling.span)
    seen = (x[sampling.span :] for x in (a, b, noise))
    columns = [x[kept].ravel() for x in (*har, *seen)]
    decisions = np.arange(sampling.steps, dtype=np.int64)[kept]
    formed_at = np.repeat(START + sampling.every * (decisions + 1), sampling.assets)
    symbol = np.tile(np.arange(sampling.assets, dtype=np.int32), decisions.size)
    return Samples(
        horizon="1d",
        rows=Rows(
            np.asfortranarray(np.column_stack(columns)),
            (*names, "a", "b", "noise"),
            symbol,
            formed_at,
        ),
        y=last[sampling.span :][kept].ravel(),
        last=last[kept].ravel(),
        resolved_at=formed_at + sampling.every * sampling.span,
        symbols=tuple(f"asset-{k + 1}" for k in range(sampling.assets)),
        dropped=0,
        overlap=sampling.span - 1,
    )


def _part(sampling: Sampling, half_life: float, rng: np.random.Generator, before: int = 0) -> F64:
    """A stationary AR(1) of unit variance for every asset (before + steps, assets)."""
    steps, phi = before + sampling.steps, 0.5 ** (1.0 / half_life)
    own = autoregression(phi, rng.standard_normal((steps, sampling.assets)))
    if not sampling.common:
        return own
    shared = autoregression(phi, rng.standard_normal((steps, 1)))
    return np.sqrt(sampling.common) * shared + np.sqrt(1.0 - sampling.common) * own


def autoregression(phi: float, shocks: F64) -> F64:
    """AR(1) paths (t, k) of coefficient phi and unit variance, stationary from the first row on.

    `shocks` (t, k) have unit variance.
    """
    from scipy.signal import lfilter

    scaled = np.sqrt(1.0 - phi * phi) * shocks
    scaled[0] = shocks[0]
    return lfilter([1.0], [1.0, -phi], scaled, axis=0)


def _trailing_mean(x: F64, window: int) -> F64:
    """Mean of the last `window` rows of x (t, k); NaN in the first window - 1 rows."""
    out = np.full(x.shape, np.nan)
    sums = np.cumsum(x, axis=0)
    out[window - 1] = sums[window - 1]
    out[window:] = sums[window:] - sums[:-window]
    out[window - 1 :] /= window
    return out
