"""Backtests of VaR and ES over decisions in time order, whose targets must not overlap.

`hits` (n,) says where the return fell below VaR (y < q); `level` is its nominal rate a. A statistic
that is not defined (no row, no violation to take a mean over) is NaN, and so is its p-value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.types import F64, I64

Flags = NDArray[np.bool_]
LAGS = 4
DRAWS = 1_000
_RANK = 1e-9  # of a column's length left over after those before it: less is rounding


@dataclass(frozen=True)
class Tested:
    """A statistic and its p-value."""

    statistic: float
    p_value: float


UNDEFINED = Tested(math.nan, math.nan)


def kupiec(hits: Flags, level: float) -> Tested:
    """Unconditional coverage: the rate of violations is the level; chi2(1).

    Twice the log likelihood of x/n less that of a in n independent trials with x violations;
    Kupiec (1995), J. Derivatives 3, the proportion of failures test.
    """
    n, x = hits.size, int(hits.sum())
    if not n:
        return UNDEFINED
    gain = _log_likelihood(n - x, x, x / n) - _log_likelihood(n - x, x, level)
    return _chi2(2.0 * gain, 1)


def independence(hits: Flags) -> Tested:
    """A violation is as likely after one as after none, against a first-order chain; chi2(1).

    Christoffersen (1998), International Economic Review 39, section 3.2.
    """
    if hits.size < 2:
        return UNDEFINED
    before, now = hits[:-1], hits[1:]
    counts = [[int(np.sum((before == i) & (now == j))) for j in (False, True)] for i in (0, 1)]
    (n00, n01), (n10, n11) = counts
    chain = sum(_log_likelihood(a, b, b / (a + b)) for a, b in counts if a + b)
    same = _log_likelihood(n00 + n10, n01 + n11, (n01 + n11) / (hits.size - 1))
    return _chi2(2.0 * (chain - same), 1)


def conditional_coverage(hits: Flags, level: float) -> Tested:
    """Right rate and independence at once: the sum of both statistics; chi2(2).

    Christoffersen (1998), section 3.3; the rate is that of all n rows, not of the last n - 1.
    """
    total = kupiec(hits, level).statistic + independence(hits).statistic
    return _chi2(total, 2)


def dynamic_quantile(hits: Flags, level: float, var: F64) -> Tested:
    """Violations cannot be foretold from the last four, from VaR or at all: chi2(rank X), mostly 6.

    H = 1(y < q) - a is regressed on X = (1, four lags of H, q): H'X (X'X)^-1 X'H / (a (1 - a)).
    Columns of X that others make up, as a constant VaR, count once. Engle & Manganelli (2004), J.
    Business & Economic Statistics 22, section 6, the out-of-sample DQ test. NaN for under 12 rows.
    """
    h = hits - level
    rows = h.size - LAGS
    if rows < 2 * (LAGS + 2):
        return UNDEFINED
    lags = (h[LAGS - k : -k] for k in range(1, LAGS + 1))
    x = np.column_stack([np.ones(rows), *lags, var[LAGS:]])
    basis = _basis(x)
    explained = float(np.sum(np.square(basis.T @ h[LAGS:])))
    return _chi2(explained / (level * (1.0 - level)), basis.shape[1])


def _basis(x: F64) -> F64:
    """An orthonormal basis (n, rank) of the columns of x (n, k)."""
    found: list[F64] = []
    for column in x.T:
        rest = column
        for _ in range(2):  # once more: what rounding left of the columns before
            for b in found:
                rest = rest - b * (b @ rest)
        length = math.sqrt(float(rest @ rest))
        if length > _RANK * math.sqrt(float(column @ column)):
            found.append(rest / length)
    return np.column_stack(found)


@dataclass(frozen=True)
class TailShapes:
    """What a return beyond VaR is over ES under the law that forecast both, a mean of 1.

    `ratios` (g, m): values of each of g laws; `law` (n,) which one a row has. `upto` (m + 1) are
    the values' probabilities summed from 0 to 1; None where all are equally likely.
    """

    ratios: F64
    law: I64
    upto: tuple[float, ...] | None = None


def acerbi_szekely(
    y: F64, hits: Flags, level: float, es: F64, shapes: TailShapes, seed: int
) -> tuple[Tested, Tested]:
    """Z1 and Z2 of ES, 0 on average where VaR and ES are right, below 0 where losses are larger.

    Z1 = 1 - mean over violations of y / e, given the violations; Z2 = 1 - sum over violations of
    y / e over (n a), of rate and size together. Acerbi & Szekely (2014), Risk, December, tests 1
    and 2, with signs of returns. p is the share of 1,000 seeded draws under the forecast law that
    are as low (their own count and n draw beside): small where the risk is understated.
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
    """Under the forecast law: the sum of y / e over the violations (DRAWS,), and how many."""
    draw, row, place = _draws(n, level, seed, shapes.upto or shapes.ratios.shape[1])
    values = shapes.ratios[shapes.law[row], place]
    sums = np.asarray(np.bincount(draw, values, DRAWS), np.float64)
    return sums, np.asarray(np.bincount(draw, minlength=DRAWS), np.int64)


@lru_cache(maxsize=8)
def _draws(
    n: int, level: float, seed: int, values: int | tuple[float, ...]
) -> tuple[I64, I64, I64]:
    """Violations under a right forecast: of which draw each is, its row and its value's place.

    `values` is how many there are, or TailShapes.upto. Models and laws share them.
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
    """The p-value of a simulation: the observed value counts as one draw."""
    return (1 + int(low.sum())) / (1 + low.size)


def _log_likelihood(failed: int, hit: int, rate: float) -> float:
    """Of so many rows without and with a violation at this rate; 0 ln 0 is 0."""
    none = failed * math.log1p(-rate) if failed else 0.0
    return none + (hit * math.log(rate) if hit else 0.0)


def _chi2(statistic: float, degrees: int) -> Tested:
    from scipy.special import chdtrc

    if not math.isfinite(statistic):
        return UNDEFINED
    statistic = max(statistic, 0.0)  # rounding
    return Tested(statistic, float(chdtrc(degrees, statistic)))
