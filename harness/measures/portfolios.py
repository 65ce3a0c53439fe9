"""Artificial portfolios: random stocks with random positive weights (Liu et al. 2023, section 2.3).

A portfolio of m stocks is rebalanced to its weights at every step, so its simple return is the
weighted sum of theirs; of log returns r_i it is ln(1 + sum_i w_i (exp(r_i) - 1)).
"""

from __future__ import annotations

import numpy as np

from harness.types import F64, I64


def draw_portfolio(rng: np.random.Generator, n: int, least: int, most: int) -> tuple[I64, F64]:
    """Members (m,) of n stocks, ascending, none twice, and their weights (m,), which add up to 1.

    m is uniform from `least` to `most`; the weights are uniform over all that add up to 1:
    exponentials over their sum (Devroye 1986, Non-Uniform Random Variate Generation, V.2).
    """
    size = int(rng.integers(least, most + 1))
    members = np.sort(rng.choice(n, size, replace=False))
    shares = rng.standard_exponential(size)
    return members, shares / shares.sum()


def portfolio_returns(returns: F64, weights: F64) -> F64:
    """Simple returns (n,) of a portfolio from those of its members (n, m), NaN where one is."""
    # Not as a matrix product: a row's last bits must not depend on how many follow it.
    return (returns * weights).sum(axis=1)
