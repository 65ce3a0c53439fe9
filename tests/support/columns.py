"""Columns beside a simulated volatility: honest ones, and ones that know the future."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.types import F64

Made = Callable[[F64, np.random.Generator], F64]


def volatility(n: int, rng: np.random.Generator, memory: float = 0.97) -> F64:
    """A variance at n steps: a slow part, a fast one, and noise as of few returns."""
    slow, fast = np.zeros(n), np.zeros(n)
    for t in range(1, n):
        slow[t] = memory * slow[t - 1] + 0.15 * rng.standard_normal()
        fast[t] = 0.7 * fast[t - 1] + 0.3 * rng.standard_normal()
    return np.exp(2.0 * (slow + fast)) * rng.chisquare(12, n) / 12.0


def trailing(x: F64, k: int) -> F64:
    """The mean of the last k values."""
    total = np.cumsum(np.insert(np.nan_to_num(x), 0, 0.0))
    out = np.full(x.size, np.nan)
    out[k - 1 :] = (total[k:] - total[:-k]) / k
    return out


def moved(x: F64, k: int) -> F64:
    """Each value k steps later; before its time where k is negative."""
    out = np.full(x.size, np.nan)
    if k >= 0:
        out[k:] = x[: x.size - k]
    else:
        out[:k] = x[-k:]
    return out


def block(x: F64, k: int) -> F64:
    """The mean of each block of k values, at all of them."""
    codes = np.arange(x.size) // k
    return (np.bincount(codes, x) / np.bincount(codes))[codes]


def kernel(x: F64) -> F64:
    """A two-sided smoother."""
    weights = np.exp(-0.5 * (np.arange(-12, 13) / 4.0) ** 2)
    return np.convolve(x, weights / weights.sum(), "same")


def both_ways(x: F64) -> F64:
    """An exponential mean forward, then backward."""
    for _ in range(2):
        out = x.copy()
        for t in range(1, x.size):
            out[t] = 0.7 * out[t - 1] + 0.3 * x[t]
        x = out[::-1]
    return x


def noisy(x: F64, rng: np.random.Generator, size: float = 0.3) -> F64:
    """The values times noise."""
    return x * np.exp(size * rng.standard_normal(x.size))


KNOWS: dict[str, Made] = {
    "a block of 4 stamped at its left edge": lambda v, _: block(v, 4),
    "a centred mean of 3": lambda v, _: moved(trailing(v, 3), -1),
    "a centred mean of 5": lambda v, _: moved(trailing(v, 5), -2),
    "shifted by -1": lambda v, _: moved(v, -1),
    "shifted by -1, noisy": lambda v, rng: noisy(moved(v, -1), rng),
    "shifted by -2": lambda v, _: moved(v, -2),
    "shifted by -3": lambda v, _: moved(v, -3),
    "5 hours early": lambda v, _: moved(v, -5),
    "9 hours early": lambda v, _: moved(v, -9),
    "the day's value before its end": lambda v, _: block(v, 24),
    "a two-sided smoother": lambda v, _: kernel(v),
    "a mean forward and backward": lambda v, _: both_ways(v),
    "shifted by -1, in logs": lambda v, _: np.log(moved(v, -1)),
    "shifted by -1, falling": lambda v, _: 1.0 / moved(v, -1),
    "shifted by -1, differences": lambda v, _: moved(v, -1) - v,
    "the next move, signed": lambda v, rng: moved(np.sqrt(v), -1) * rng.standard_normal(v.size),
}
HONEST: dict[str, Made] = {
    "noise": lambda v, rng: np.exp(rng.standard_normal(v.size)),
    "a walk": lambda v, rng: np.exp(0.01 * np.cumsum(rng.standard_normal(v.size))),
    "a noisy measure": noisy,
    "the same hour's move, signed": lambda v, rng: np.sqrt(v) * rng.standard_normal(v.size),
    "a measure an hour old": lambda v, _: moved(v, 1),
    "the last four hours": lambda v, _: trailing(v, 4),
    "the last day": lambda v, _: trailing(v, 24),
    "a centred mean, when it is known": lambda v, _: trailing(v, 5),
    "the day before": lambda v, _: moved(block(v, 24), 24),
    "the block before": lambda v, _: moved(block(v, 4), 4),
    "differences": lambda v, _: v - moved(v, 1),
    "the hour of the day": lambda v, _: np.arange(v.size) % 24.0,
    "weekends": lambda v, _: (np.arange(v.size) // 24 % 7 >= 5).astype(float),
    "the first days of a month": lambda v, _: (np.arange(v.size) // 24 % 30 < 2).astype(float),
    "jumps": lambda v, rng: np.where(rng.random(v.size) < 0.03, v, 0.0),
    "nothing": lambda v, _: np.ones(v.size),
}
