"""p-values of the backtests of VaR where few violations are expected.

The chi-squared distribution is that of very many violations. With few of them the statistics of
Kupiec and Christoffersen have few values, and their distribution is computed: their p-values are
exact. A p-value is the probability of a statistic at least as large, so a test rejects at most as
often as it says, mostly less often. The statistic of the dynamic quantile test also depends on the
forecasts of VaR, so its p-value is by simulation, the Monte Carlo test of Dufour (2006), J.
Econometrics 133, proposition 2.2.

Measured with independent violations, 2,000 samples each, a test at 5 %: chi-squared p-values
rejected in 6 to 9 % (Kupiec) and 7 to 17 % (dynamic quantile) of samples with 2.5 to 12 violations
expected, and with 25 or 50 the latter still rejected at 1 % in 2 to 4 %; independence was rejected
in 1 to 3 %.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from harness.types import F64, I64

FEW = 50.0  # expected violations
DRAWS = 1_000
_TIE = 1e-9  # statistics that differ by less are equal; they are computed in different orders
_NEGLIGIBLE = 1e-18  # probability of a number of violations
_RANK = 1e-9  # share of a regressor's sum of squares that others leave of it, if it is not one


def few(n: int, level: float) -> bool:
    """Whether fewer than FEW violations are expected in n rows."""
    return n * level < FEW


def coverage_p(n: int, level: float, statistic: float) -> float:
    """P(S >= statistic) of Kupiec's statistic S for n independent violations of this rate."""
    found, weight = _rates(n, level)
    return _beyond(found, weight, statistic)


def independence_p(n: int, violations: int, statistic: float) -> float:
    """The same of Christoffersen's independence statistic, given the number of violations.

    All orders of so many violations are equally likely if they are independent, whatever their
    rate.
    """
    return _beyond(*_orders(n, violations), statistic)


def conditional_coverage_p(n: int, level: float, statistic: float) -> float:
    """The same of the sum of both statistics, for independent violations of this rate."""
    return _beyond(*_rates_and_orders(n, level), statistic)


def _beyond(found: F64, weight: F64, statistic: float) -> float:
    tied = statistic - _TIE * (1.0 + abs(statistic))
    return min(1.0, math.fsum(weight[found >= tied]))


@lru_cache(maxsize=256)
def _rates(n: int, level: float) -> tuple[F64, F64]:
    """Kupiec's statistic for 0 to n violations, and their probabilities (n + 1,)."""
    x = np.arange(n + 1)
    log_weight = _log_choices(n, x) + _log_likelihood(n - x, x, np.full(n + 1, level))
    gain = _log_likelihood(n - x, x, x / n) - _log_likelihood(n - x, x, np.full(n + 1, level))
    return 2.0 * gain, np.exp(log_weight)


@lru_cache(maxsize=4096)
def _orders(n: int, x: int) -> tuple[F64, F64]:
    """The independence statistic for all orders of x violations in n rows: values, probabilities.

    An order enters by its number of runs of violations, 1 to x, and by whether its first and its
    last row are violations: these give the four counts of transitions. There are
    C(x - 1, runs - 1) ways to cut x violations into runs, and as many for the rows between them.
    """
    others = n - x
    if not x or not others:
        return np.zeros(1), np.ones(1)
    runs, first, last = (
        part.ravel() for part in np.meshgrid(np.arange(1, x + 1), (0, 1), (0, 1), indexing="ij")
    )
    between = runs + 1 - first - last
    possible = (between >= 1) & (between <= others)
    runs, first, last, between = (part[possible] for part in (runs, first, last, between))
    ways = _log_choices(x - 1, runs - 1) + _log_choices(others - 1, between - 1)
    weight = np.exp(ways - _log_choices(n, np.array(x)))
    n11, n10, n01 = x - runs, runs - last, runs - first
    n00 = n - 1 - n11 - n10 - n01
    chain = _own_likelihood(n00, n01) + _own_likelihood(n10, n11)
    return 2.0 * (chain - _own_likelihood(n00 + n10, n01 + n11)), weight


@lru_cache(maxsize=256)
def _rates_and_orders(n: int, level: float) -> tuple[F64, F64]:
    """The sum of both statistics for every number and order of violations, with probabilities."""
    found, weight = _rates(n, level)
    values, weights = [], []
    for x in np.flatnonzero(weight > _NEGLIGIBLE).tolist():
        own, share = _orders(n, x)
        values.append(found[x] + own)
        weights.append(weight[x] * share)
    return np.concatenate(values), np.concatenate(weights)


def _log_choices(n: int, k: I64) -> F64:
    from scipy.special import gammaln

    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def _log_likelihood(failed: I64, hit: I64, rate: F64) -> F64:
    from scipy.special import xlog1py, xlogy

    return np.asarray(xlog1py(failed, -rate) + xlogy(hit, rate))


def _own_likelihood(failed: I64, hit: I64) -> F64:
    """The log likelihood at the rate of these rows themselves; 0 without rows."""
    return _log_likelihood(failed, hit, hit / np.maximum(failed + hit, 1))


def dynamic_quantile_p(statistic: float, level: float, var: F64, lags: int, seed: int) -> float:
    """The share of DRAWS series of independent violations whose statistic is at least as large.

    They have this rate and do not depend on the forecasts `var` (n,). The observed series counts as
    one draw.
    """
    drawn = _dynamic_quantiles(var, level, lags, seed)
    tied = statistic - _TIE * (1.0 + abs(statistic))
    return (1 + int(np.sum(drawn >= tied))) / (1 + drawn.size)


def _dynamic_quantiles(var: F64, level: float, lags: int, seed: int) -> F64:
    """The statistic of every drawn series (DRAWS,), as `dynamic_quantile` defines it.

    Sums over violations are all that is needed: the constant is partialled out of every regressor,
    then the lagged violations out of VaR.
    """
    s = _draws(var.size, level, lags, seed)
    x = var[lags:] - var[lags:].mean()
    # By draw: VaR times the violation of the same row and of the rows before it.
    with_var = np.stack([s.sums(x, lag) for lag in range(lags + 1)], axis=1)
    left = with_var[:, 0] - np.einsum("di,dij,dj->d", with_var[:, 1:], s.inverse, s.with_lags)
    own = np.einsum("di,dij,dj->d", with_var[:, 1:], s.inverse, with_var[:, 1:])
    tested, rest = var[lags:], float(x @ x) - own
    # A constant VaR, up to rounding, is no regressor beside the constant.
    varies = rest > max(_RANK * float(x @ x), _RANK**2 * float(tested @ tested))
    by_var = np.divide(np.square(left), rest, out=np.zeros(left.size), where=varies)
    return (s.by_lags + by_var) / (level * (1.0 - level))


class _Draws:
    """Series of independent violations: n rows, DRAWS series, the first `lags` rows as lags only.

    `with_lags` (DRAWS, lags) are the centred products of the violations with those 1, 2, … rows
    before, `inverse` (DRAWS, lags, lags) is the inverse of the products of lags among themselves;
    `by_lags` (DRAWS,) is the sum of squares that constant and lags explain.
    """

    def __init__(self, n: int, level: float, lags: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        # All series in one: the rows from a violation to the next have a geometric distribution.
        parts, reached = [], 0
        while reached < DRAWS * n:
            gaps = rng.geometric(level, math.ceil(1.1 * DRAWS * n * level) + 10)
            parts.append(reached + np.cumsum(gaps))
            reached = int(parts[-1][-1])
        at = np.concatenate(parts) - 1
        at = at[at < DRAWS * n]
        self.n, self.lags, self.at = n, lags, at
        self.series, self.row = np.divmod(at, n)
        rows = n - lags
        counts = np.stack([self._count(k, k) for k in range(lags + 1)], axis=1)
        products = np.empty((DRAWS, lags + 1, lags + 1))
        for i in range(lags + 1):
            for j in range(i, lags + 1):
                products[:, i, j] = products[:, j, i] = self._count(i, j)
        products -= counts[:, :, None] * counts[:, None, :] / rows
        self.with_lags = products[:, 0, 1:]
        self.inverse = np.linalg.pinv(products[:, 1:, 1:], rcond=_RANK, hermitian=True)
        mean = counts[:, 0] / rows - level
        explained = np.einsum("di,dij,dj->d", self.with_lags, self.inverse, self.with_lags)
        self.by_lags = rows * np.square(mean) + explained

    def sums(self, x: F64, lag: int) -> F64:
        """By series, the sum over tested rows of x (n - lags,) times the hit `lag` rows before."""
        there = self._tested(lag)
        values = x[self.row[there] + lag - self.lags]
        return np.bincount(self.series[there], values, DRAWS).astype(np.float64)

    def _tested(self, lag: int) -> I64:
        """The violations that are `lag` rows before a tested row."""
        tested = self.row + lag
        return np.flatnonzero((tested >= self.lags) & (tested < self.n))

    def _count(self, i: int, j: int) -> F64:
        """By series, the number of tested rows with violations both i and j >= i rows before."""
        there = self._tested(j)
        if j > i:
            later = self.at[there] + (j - i)
            place = np.minimum(np.searchsorted(self.at, later), self.at.size - 1)
            # Within the series: the tested row, which is later still, is.
            there = there[self.at[place] == later]
        return np.bincount(self.series[there], minlength=DRAWS).astype(np.float64)


@lru_cache(maxsize=16)
def _draws(n: int, level: float, lags: int, seed: int) -> _Draws:
    return _Draws(n, level, lags, seed)
