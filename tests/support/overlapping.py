"""Losses as those of overlapping targets."""

from __future__ import annotations

import numpy as np


def autocorrelated(n: int, *, seed: int, overlap: int = 4) -> np.ndarray:
    """Sums of overlap + 1 neighbouring skewed shocks, as losses of overlapping targets are."""
    shocks = np.random.default_rng(seed).gumbel(size=n + overlap) - np.euler_gamma
    return np.convolve(shocks, np.ones(overlap + 1), "valid") / (overlap + 1)
