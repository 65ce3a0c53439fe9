"""The Diebold-Mariano test and the standard error of a mean, which allow for overlapping targets.

Targets of neighbouring origins share bars, so their losses are correlated by construction, and
volatility adds more. The long-run variance of a mean is therefore estimated from the series'
lowest frequencies, by equal-weighted cosine projections; their number is the degrees of freedom of
Student's t. `harness calibrate` measures size, power and coverage.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from harness.types import F64

ROUNDING = 1e-13  # relative variation up to which a series counts as constant


def diebold_mariano(d: F64, overlap: int) -> tuple[float, float]:
    """Statistic and one-sided p-value that the mean of d (n,) in time order is above zero.

    Diebold & Mariano (1995), JBES 13, eq. 5, with the standard error of `standard_error` and
    Student's t with as many degrees of freedom as cosines. (0, 1/2) if d is too short or constant,
    since there is then no variance.
    """
    cosines = cosine_terms(d.size, overlap)
    se = standard_error(d, cosines)
    if se == 0.0 or math.isnan(se):
        return 0.0, 0.5
    statistic = float(d.mean()) / se
    return statistic, student_t_sf(statistic, cosines)


def standard_error(x: F64, cosines: int) -> float:
    """Standard error of the mean of x (n,) from its first cosine projections; NaN if `cosines` = 0.

    Equal-weighted cosine estimator: the mean of the squares of
    sqrt(2 / n) sum_t x_t cos(pi j (t - 1/2) / n), j = 1 .. cosines, over n (Müller 2004,
    Lazarus, Lewis, Stock & Watson 2018, JBES 36, eq. 10). Each is nearly normal with the long-run
    variance, whatever the short-run dependence, so the ratio has Student's t distribution with
    `cosines` degrees of freedom. 0 if x is constant up to rounding.
    """
    if not cosines:
        return math.nan
    if is_constant(x):
        return 0.0
    projected = cosine_projections(x[:, None], cosines)
    return math.sqrt(float(np.square(projected).mean()) / x.size)


def is_constant(x: F64) -> bool:
    """Whether x (n,) varies by no more than rounding."""
    return bool(np.ptp(x) <= ROUNDING * float(np.abs(x).max()))


def cosine_projections(x: F64, cosines: int) -> F64:
    """sqrt(2 / n) sum_t x_t cos(pi j (t - 1/2) / n), j = 1 .. cosines, of x (n, q): (cosines, q).

    By angle addition from two small tables; the time of a Fourier transform depends on the
    factors of n.
    """
    n, q = x.shape
    near, far = _cosine_tables(n, cosines)
    rows = np.zeros((q, far.shape[1] * near.shape[1]))
    rows[:, :n] = (x - x.mean(axis=0)).T
    # cos(u + v) = cos u cos v - sin u sin v, u by the row of a value, v by its column.
    cos, sin = rows.reshape(q * far.shape[1], -1) @ near
    shape = q, far.shape[1], cosines
    projected = np.einsum("rj,qrj->jq", far[0], cos.reshape(shape))
    projected -= np.einsum("rj,qrj->jq", far[1], sin.reshape(shape))
    return math.sqrt(2.0 / n) * projected


@lru_cache(maxsize=8)
def _cosine_tables(n: int, cosines: int) -> tuple[F64, F64]:
    """(cos, sin) for n positions in a square, by column (2, c, cosines), by row (2, r, cosines)."""
    columns = math.isqrt(n - 1) + 1
    steps = math.pi / n * np.arange(1.0, cosines + 1.0)
    near = np.outer(np.arange(columns) + 0.5, steps)
    far = np.outer(columns * np.arange(-(-n // columns)), steps)
    return np.stack((np.cos(near), np.sin(near))), np.stack((np.cos(far), np.sin(far)))


def cosine_terms(n: int, overlap: int) -> int:
    """The number of cosine projections of n values whose targets overlap the next `overlap` ones.

    0.41 m^(2/3) by Lazarus, Lewis, Stock & Watson (2018), m = n / (overlap + 1) the number of
    non-overlapping targets: those between add almost no information, and more terms would lie at
    periods that the overlap has smoothed out. At least 1 if there are two such targets, else 0.
    """
    apart = n // (overlap + 1)
    if apart < 2:
        return 0
    return min(max(round(0.41 * apart ** (2.0 / 3.0)), 1), n - 1)


def student_t_sf(t: float, df: float) -> float:
    """P(T > t) of Student's t; importing scipy.stats would take longer than the whole test."""
    square = t * t
    tail = 0.5 * _incomplete_beta(df / (df + square), square / (df + square), df / 2.0, 0.5)
    return tail if t >= 0 else 1.0 - tail


def f_sf(x: float, of: float, within: float) -> float:
    """P(X > x) of the F distribution with `of` and `within` degrees of freedom."""
    if x <= 0.0:
        return 1.0
    a, b = within, of * x
    return _incomplete_beta(a / (a + b), b / (a + b), within / 2.0, of / 2.0)


def student_t_quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, 1/2 <= p < 1: Newton steps from 0, as the cdf is concave there."""
    log_constant = math.lgamma((df + 1.0) / 2.0) - math.lgamma(df / 2.0)
    log_constant -= 0.5 * math.log(df * math.pi)
    t = 0.0
    for _ in range(100):
        density = math.exp(log_constant - (df + 1.0) / 2.0 * math.log1p(t * t / df))
        step = (student_t_sf(t, df) - (1.0 - p)) / density
        if step <= 1e-13 * t:  # steps from below only shrink: the rest is rounding
            break
        t += step
    return t


def _incomplete_beta(x: float, y: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22).

    y = 1 - x is an argument because the smaller of the two is known to more digits.
    """
    if x <= 0.0 or y <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(y, x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        + a * math.log(x) + b * math.log(y)
    )  # fmt: skip
    c, d = 1.0, 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _nonzero(1.0 + numerator * d)
            c = _nonzero(1.0 + numerator / c)
            fraction *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return front * fraction / a


def _nonzero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
