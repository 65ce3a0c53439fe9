"""Mean gains in standard errors, and the same of bootstrap draws under "no gain".

A block bootstrap understates the variance of a mean in short samples, because blocks cut what
depends on each other, and its draws are as normal as if that variance were known. So the draws
give the dependence between gains alone. Their scale is one, and the gains are divided by the
standard error of the verdict's own test, whose Student's t is turned into the standard normal of
the same probability. One gain alone then has the p-value of that test. Over 1,000 samples each of
four equal gains at n of 100, 200 and 300, tests at 5 % rejected before and now, in percent:

| gains | Hansen's SPA | White's reality check |
| --- | --- | --- |
| independent, normal | 6.3, 6.5, 5.8 -> 3.7, 5.6, 4.5 | 5.4, 5.2, 4.8 -> 3.6, 4.1, 4.8 |
| targets over 4 origins | 17.9, 12.0, 9.5 -> 5.0, 5.2, 5.1 | 12.5, 9.3, 7.3 -> 3.1, 3.7, 4.0 |
| autocorrelation 0.3 | 12.2, 9.3, 6.6 -> 6.3, 4.5, 5.1 | 9.8, 7.3, 5.8 -> 4.2, 3.9, 4.3 |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from harness.inference.blocks import bootstrap_sums
from harness.inference.diebold_mariano import (
    cosine_terms,
    standard_error,
    student_t_quantile,
    student_t_sf,
)
from harness.types import F64

_LEAST = 1e-300  # smallest probability that is turned into a normal quantile
_FAR = 8.0  # standard errors: the probability beyond is rounding
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Studentised:
    """Mean gains of the columns that vary, and draws of their means under "no gain".

    `varies` (k,) says which columns of the gains vary; all else is of those (v,) in their order.
    `error` are standard errors of the mean, `t` the means in them, `z` the standard normal of the
    same probability as t has in Student's distribution. `drawn` (2 draws, v) has standard
    deviation 1 in each column: every draw and its mirror image, since a skewed mean and its t are
    skewed to opposite sides. `spread` are the standard deviations of the draws of the means, which
    are not in units of the error but of the gains.
    """

    varies: NDArray[np.bool_]
    error: F64
    t: F64
    z: F64
    drawn: F64
    spread: F64


def studentised(gains: F64, overlap: int, block: float, draws: int, seed: int) -> Studentised:
    """Of gains (n, k) in time order, whose targets overlap the next `overlap` rows'.

    `block` is the mean length in rows of the blocks of the stationary bootstrap (Politis & Romano
    1994, JASA 89). The standard error is `standard_error` with its degrees of freedom.
    """
    cosines = cosine_terms(gains.shape[0], overlap)
    error = np.array([standard_error(column, cosines) for column in gains.T])
    varies = error > 0.0
    gains, error = gains[:, varies], error[varies]
    mean = gains.mean(axis=0)
    drawn = bootstrap_sums(gains - mean, block, draws, seed) / gains.shape[0]
    spread = drawn.std(axis=0)
    drawn = np.divide(drawn, spread, out=np.zeros_like(drawn), where=spread > 0.0)
    t = mean / error
    z = np.array([normal_of(value, cosines) for value in t.tolist()])
    return Studentised(varies, error, t, z, np.concatenate((drawn, -drawn)), spread)


def normal_of(t: float, df: float) -> float:
    """The standard normal value with the probability that t has in Student's distribution."""
    tail = max(student_t_sf(abs(t), df), _LEAST)
    return math.copysign(_NORMAL.inv_cdf(tail), t)


def student_of(z: float, df: float) -> float:
    """The inverse of `normal_of`: the Student's t with the probability of z, up to 8 in size."""
    return math.copysign(student_t_quantile(_NORMAL.cdf(min(abs(z), _FAR)), df), z)


def share(as_large: NDArray[np.bool_]) -> float:
    """The share of draws at least as large, the observed one counted (Phipson & Smyth 2010).

    Statistical Applications in Genetics and Molecular Biology 9: p = (b + 1)/(m + 1), never 0.
    """
    return (int(as_large.sum()) + 1) / (as_large.size + 1)
