"""Forecasts whose errors are skewed and autocorrelated."""

from __future__ import annotations

import numpy as np


def autocorrelated(n: int, seed: int, lag: int = 5) -> np.ndarray:
    """Asymmetric, with a moving average over `lag` rows and an autoregression."""
    rng = np.random.default_rng(seed)
    shocks = np.convolve(rng.gumbel(size=n + lag), np.ones(lag + 1) / 3.0, "valid")
    out = np.empty(n)
    state = 0.0
    for k in range(n):
        state = 0.6 * state + shocks[k]
        out[k] = state
    return out


def forecasts(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, baseline and candidate on the ln sigma scale, errors skewed and autocorrelated."""
    y = 0.3 * autocorrelated(n, seed) - 7.0
    base = -7.0 + 0.7 * (y + 7.0) + 0.2 * autocorrelated(n, seed + 1)
    candidate = 0.6 * base + 0.4 * y + 0.1 * autocorrelated(n, seed + 2)
    return y, base, candidate
