"""Backtests of VaR and ES over rows in time order whose targets do not overlap.

`hits` (n,) marks returns below VaR (y < q); `level` is its nominal rate a. An undefined statistic
(no row, or no violation to average over) is NaN, and so is its p-value. p-values of coverage,
independence and dynamic quantiles are those of the chi-squared distribution, or of the statistic's
own distribution where few violations are expected (few_violations.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.scores.risk.few_violations import (
    conditional_coverage_p,
    coverage_p,
    dynamic_quantile_p,
    few,
    independence_p,
)
from harness.types import F64, I64

Flags = NDArray[np.bool_]
LAGS = 4
DRAWS = 1_000
_RANK = 1e-9  # a column is collinear if less of its length is left; it is rounding then


@dataclass(frozen=True)
class Tested:
    """A statistic and its p-value."""

    statistic: float
    p_value: float


UNDEFINED = Tested(math.nan, math.nan)


def kupiec(hits: Flags, level: float) -> Tested:
    """Unconditional coverage: the violation rate equals the level; chi2(1) or exact.

    Twice the log likelihood of the rate x/n less that of a, for x violations in n independent
    trials; Kupiec (1995), J. Derivatives 3, the proportion of failures test.
    """
    n, x = hits.size, int(hits.sum())
    if not n:
        return UNDEFINED
    gain = _log_likelihood(n - x, x, x / n) - _log_likelihood(n - x, x, level)
    if few(n, level):
        return Tested(max(2.0 * gain, 0.0), coverage_p(n, level, 2.0 * gain))
    return _chi2(2.0 * gain, 1)


def independence(hits: Flags, level: float) -> Tested:
    """Violations are independent, against a first-order Markov chain; chi2(1) or exact.

    Christoffersen (1998), International Economic Review 39, section 3.2.
    """
    if hits.size < 2:
        return UNDEFINED
    before, now = hits[:-1], hits[1:]
    counts = [[int(np.sum((before == i) & (now == j))) for j in (False, True)] for i in (0, 1)]
    (n00, n01), (n10, n11) = counts
    chain = sum(_log_likelihood(a, b, b / (a + b)) for a, b in counts if a + b)
    same = _log_likelihood(n00 + n10, n01 + n11, (n01 + n11) / (hits.size - 1))
    statistic = 2.0 * (chain - same)
    if few(hits.size, level):
        p = independence_p(hits.size, int(hits.sum()), statistic)
        return Tested(max(statistic, 0.0), p)
    return _chi2(statistic, 1)


def conditional_coverage(hits: Flags, level: float) -> Tested:
    """Coverage and independence jointly: the sum of both statistics; chi2(2) or exact.

    Christoffersen (1998), section 3.3; the rate is over all n rows, not the last n - 1.
    """
    total = kupiec(hits, level).statistic + independence(hits, level).statistic
    if few(hits.size, level) and math.isfinite(total):
        return Tested(total, conditional_coverage_p(hits.size, level, total))
    return _chi2(total, 2)


def dynamic_quantile(hits: Flags, level: float, var: F64, seed: int) -> Tested:
    """Violations cannot be predicted from the last four hits or VaR: chi2(rank X), mostly 6.

    Where few are expected, p is the share of seeded series of independent violations beside this
    VaR with a statistic as large.

    H = 1(y < q) - a is regressed on X = (1, four lags of H, q): H'X (X'X)^-1 X'H / (a (1 - a)).
    Collinear columns of X, such as a constant VaR, count once. Engle & Manganelli (2004), J.
    Business & Economic Statistics 22, section 6, the out-of-sample DQ test. NaN below 12 rows.
    """
    h = hits - level
    rows = h.size - LAGS
    if rows < 2 * (LAGS + 2):
        return UNDEFINED
    lags = (h[LAGS - k : -k] for k in range(1, LAGS + 1))
    x = np.column_stack([np.ones(rows), *lags, var[LAGS:]])
    basis = _basis(x)
    explained = float(np.sum(np.square(basis.T @ h[LAGS:])))
    statistic = explained / (level * (1.0 - level))
    if few(h.size, level) and math.isfinite(statistic):
        return Tested(statistic, dynamic_quantile_p(statistic, level, var, LAGS, seed))
    return _chi2(statistic, basis.shape[1])


def _basis(x: F64) -> F64:
    """An orthonormal basis (n, rank) of the columns of x (n, k)."""
    found: list[F64] = []
    for column in x.T:
        rest = column
        for _ in range(2):  # twice, to remove what rounding left of the earlier columns
            for b in found:
                rest = rest - b * (b @ rest)
        length = math.sqrt(float(rest @ rest))
        if length > _RANK * math.sqrt(float(column @ column)):
            found.append(rest / length)
    return np.column_stack(found)


@dataclass(frozen=True)
class TailShapes:
    """Return beyond VaR over ES, under the distribution that forecast both; its mean is 1.

    `ratios` (g, m): m values of each of g distributions; `law` (n,): the distribution of each row.
    `upto` (m + 1): cumulative probabilities of the values, from 0 to 1; None if equally likely.
    """

    ratios: F64
    law: I64
    upto: tuple[float, ...] | None = None


def acerbi_szekely(
    y: F64, hits: Flags, level: float, es: F64, shapes: TailShapes, seed: int
) -> tuple[Tested, Tested]:
    """Z1 and Z2 of ES: 0 on average if VaR and ES are right, below 0 if losses are larger.

    Z1 = 1 - mean of y / e over the violations, given the violations. Z2 = 1 - sum of y / e over the
    violations, over n a: rate and size together. Acerbi & Szekely (2014), Risk, December, tests 1
    and 2, with signs of returns. p is the share of 1,000 seeded draws from the forecast
    distribution that are as low, each with its own number of violations; small p: risk understated.
    """
    n, x = y.size, int(hits.sum())
    if not n:
        return UNDEFINED, UNDEFINED
    ratio = y[hits] / es[hits]
    if not (np.isfinite(ratio).all() and (es < 0.0).all()):
        return UNDEFINED, UNDEFINED
    drawn, counts = _drawn(n, level, shapes, seed)
    z2 = 1.0 - float(ratio.sum()) / (n * level)
    second = Tested(z2, _share(1.0 - drawn / (n * level) <= z2))
    if not x:
        return UNDEFINED, second
    some = counts > 0
    z1 = 1.0 - float(ratio.mean())
    return Tested(z1, _share(1.0 - drawn[some] / counts[some] <= z1)), second


def _drawn(n: int, level: float, shapes: TailShapes, seed: int) -> tuple[F64, I64]:
    """Draws from the forecast distribution: sum of y / e over violations (DRAWS,), their number."""
    draw, row, place = _draws(n, level, seed, shapes.upto or shapes.ratios.shape[1])
    values = shapes.ratios[shapes.law[row], place]
    sums = np.asarray(np.bincount(draw, values, DRAWS), np.float64)
    return sums, np.asarray(np.bincount(draw, minlength=DRAWS), np.int64)


@lru_cache(maxsize=8)
def _draws(
    n: int, level: float, seed: int, values: int | tuple[float, ...]
) -> tuple[I64, I64, I64]:
    """Violations under a correct forecast: the draw, row and value position of each.

    `values` is the number of values, or TailShapes.upto. Models and distributions share the draws.
    """
    rng = np.random.default_rng(seed)
    counts = rng.binomial(n, level, DRAWS)
    total = int(counts.sum())
    row = rng.integers(0, n, total)
    if isinstance(values, int):
        place = rng.integers(0, values, total)
    else:
        place = np.searchsorted(values[1:-1], rng.random(total), "right")
    return np.repeat(np.arange(DRAWS), counts), row, place


def _share(low: Flags) -> float:
    """Simulated p-value; the observed value counts as one draw."""
    return (1 + int(low.sum())) / (1 + low.size)


def _log_likelihood(failed: int, hit: int, rate: float) -> float:
    """Bernoulli log likelihood of rows without and with a violation; 0 ln 0 is 0."""
    none = failed * math.log1p(-rate) if failed else 0.0
    return none + (hit * math.log(rate) if hit else 0.0)


def _chi2(statistic: float, degrees: int) -> Tested:
    from scipy.special import chdtrc

    if not math.isfinite(statistic):
        return UNDEFINED
    statistic = max(statistic, 0.0)  # rounding
    return Tested(statistic, float(chdtrc(degrees, statistic)))
