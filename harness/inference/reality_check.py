"""Is the best of all candidates tried just luck? White's reality check and Hansen's SPA test.

Both ask whether the best of k mean gains exceeds the largest of k means of pure noise with the same
dependence, over draws of one stationary bootstrap (Politis & Romano 1994, JASA 89).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.inference.blocks import bootstrap_sums
from harness.inference.bootstrap import DRAWS
from harness.types import F64


@dataclass(frozen=True)
class RealityCheck:
    """P-values of "no candidate gains anything": White's (2000) and Hansen's SPA (2005)."""

    white: float
    spa: float


def reality_check(gains: F64, block: float, seed: int, draws: int = DRAWS) -> RealityCheck:
    """Test gains (n, k) in time order: loss of the benchmark less loss of each candidate.

    `block` is the mean length of the bootstrap's blocks, in rows. White (2000), Econometrica 68,
    eq. 2.2: sqrt(n) times the largest mean gain against that of the centred draws. Hansen (2005),
    JBES 23, eq. 5-7: each mean is divided by its standard error, and means below zero by more than
    sqrt(2 ln ln n) standard errors are not recentred (the consistent p-value). A candidate that
    never differs from the benchmark has no gain.
    """
    n = gains.shape[0]
    mean = gains.mean(axis=0)
    drawn = bootstrap_sums(gains - mean, block, draws, seed) / n
    white = _share(drawn.max(axis=1) >= mean.max())
    se = drawn.std(axis=0)
    differs = se > 0.0
    if not differs.any():
        return RealityCheck(1.0, 1.0)
    drawn, mean, se = drawn[:, differs], mean[differs], se[differs]
    best = max(float((mean / se).max()), 0.0)
    # Draws are centred at their mean; a candidate that is clearly worse keeps its mean.
    worse = mean / se < -math.sqrt(2.0 * math.log(math.log(max(n, 3))))
    shifted = (drawn + np.where(worse, mean, 0.0)) / se
    spa = _share(np.maximum(shifted.max(axis=1), 0.0) >= best)
    return RealityCheck(white, spa)


def _share(as_large: NDArray[np.bool_]) -> float:
    """The share of draws at least as large, the observed one counted (Phipson & Smyth 2010).

    Statistical Applications in Genetics and Molecular Biology 9: p = (b + 1)/(m + 1), never 0.
    """
    return (int(as_large.sum()) + 1) / (as_large.size + 1)
