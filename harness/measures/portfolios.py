"""Artificial portfolios: random stocks with random positive weights (Liu et al. 2023, section 2.3).

A portfolio of m stocks is rebalanced to its weights at every step, so its simple return is the
weighted sum of theirs; its log return is ln(1 + sum_i w_i (exp(r_i) - 1)), r_i the log returns.
"""

from __future__ import annotations

import numpy as np

from harness.types import F64, I64


def draw_portfolio(rng: np.random.Generator, n: int, least: int, most: int) -> tuple[I64, F64]:
    """Distinct members (m,) of n stocks, ascending, and their weights (m,), which sum to 1.

    m is uniform from `least` to `most`; the weights are uniform on the simplex:
    exponentials over their sum (Devroye 1986, Non-Uniform Random Variate Generation, V.2).
    """
    size = int(rng.integers(least, most + 1))
    members = np.sort(rng.choice(n, size, replace=False))
    shares = rng.standard_exponential(size)
    return members, shares / shares.sum()


def portfolio_returns(returns: F64, weights: F64) -> F64:
    """Simple returns (n,) of a portfolio from its members' (n, m); NaN where any of them is."""
    # Not a matrix product: a row's last bits must not depend on the number of rows after it.
    return (returns * weights).sum(axis=1)
