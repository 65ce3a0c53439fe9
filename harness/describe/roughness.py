"""Roughness of a series: four estimates of the Hurst exponent, each from a scaling law.

There are two conventions. `x` (n,) is a **level** (log volatility, a fractional Brownian motion
B_H in the model of rough volatility) or an **increment** (fractional Gaussian noise, dB_H). The
exponent that a method measures is not H itself; its relation to H is:

| method | scaling law | x a level, B_H | x an increment, dB_H |
| --- | --- | --- | --- |
| variogram | mean abs(x_{t+k} - x_t)^q ~ k^zeta_q | zeta_q = q H | zeta_q nears 0 |
| DFA | F(s) ~ s^alpha | alpha = H + 1 | alpha = H |
| R/S | R/S(s) ~ s^h | h = 1: it saturates, no estimate of H | h = H |
| wavelets | var d_j ~ 2^(j beta) | beta = 2 H + 1 | beta = 2 H - 1 |

A stationary long memory with exponent d has H = d + 1/2 as an increment: a DFA or R/S of log
volatility near 1 follows this convention, the variogram's H of 0.1 to 0.4 the other.

Observations are taken as one step apart. Measurement noise in a volatility flattens the scaling law
at small scales and lowers H of levels; overlapping windows do the opposite below their length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.types import F64, I64

LEAST = 500  # observations: below, the spread of H by wavelets or DFA of levels is over 0.15
MOMENTS = (0.5, 1.0, 1.5, 2.0, 3.0)
_FIRST_LAG, _LAST_LAG = 1, 30
_SMALLEST_BOX = 16
_WAVELET = "db3"
_FIRST_OCTAVE = 3
_FEWEST_COEFFICIENTS = 8


@dataclass(frozen=True)
class Scaling:
    """A scaling law as measured and the line through it.

    `log_scale` and `log_fluctuation` (k,) are logs to base 2, `used` (k,) which points the line
    goes through, `exponent` its slope. `hurst` is H if x is a level, NaN if the method gives no
    estimate. `standard_error` is that of the exponent: for wavelets from the theory of Gaussian
    series; for the others that of the regression, which treats the points as independent and is
    too small, since they share the data. `r2` is the line's share of the points' variance.
    """

    method: str
    log_scale: F64
    log_fluctuation: F64
    used: NDArray[np.bool_]
    exponent: float
    intercept: float
    standard_error: float
    r2: float
    hurst: float


def structure_function(x: F64, q: float = 2.0) -> Scaling:
    """The variogram: moments of increments against their lag (q = 2 is the variogram proper).

    m(q, k) = mean over t of |x_{t+k} - x_t|^q, all overlapping pairs, lags k = 1 to 30 (at most
    n/8); log2 m on log2 k by least squares; hurst = zeta_q / q. Gatheral, Jaisson & Rosenbaum
    (2018), Quantitative Finance 18, section 2, eq. 2.1.

    Args:
        x: (n,) levels, finite.
        q: the moment, above 0.

    Raises:
        ValueError: for fewer than 500 values, values not finite, a constant x.
    """
    x = _checked("structure_function", x)
    lags = np.arange(_FIRST_LAG, min(_LAST_LAG, x.size // 8) + 1)
    m = np.array([np.mean(np.abs(x[k:] - x[:-k]) ** q) for k in lags])
    line = _line(np.log2(lags), np.log2(m))
    return _scaling("variogram", line, hurst=line.slope / q)


def moment_scaling(
    x: F64, moments: tuple[float, ...] = MOMENTS
) -> tuple[float, Mapping[float, float]]:
    """H from the regression of zeta_q on q through the origin, and zeta_q of each q.

    zeta_q is the slope of `structure_function`; it is H q where x is monofractal. Gatheral,
    Jaisson & Rosenbaum (2018), section 2.1, with their moments 0.5, 1, 1.5, 2, 3.

    Raises:
        ValueError: as `structure_function`.
    """
    zeta = {q: structure_function(x, q).exponent for q in moments}
    q, z = np.array(list(zeta)), np.array(list(zeta.values()))
    return float(q @ z / (q @ q)), zeta


def dfa(x: F64) -> Scaling:
    """Detrended fluctuation analysis, order 1.

    The profile y_t = sum_{i<=t} (x_i - mean x) is cut into boxes of s points from its beginning
    and, for the rest, from its end; F(s)^2 is the mean square about each box's own straight line.
    Twenty boxes from 16 to n/10, even in log s; log2 F on log2 s by least squares; hurst =
    alpha - 1, which at H = 0.1 is up to 0.1 too low. Peng, Buldyrev, Havlin, Simons, Stanley &
    Goldberger (1994), Physical Review E 49; both ends as Kantelhardt et al. (2001), Physica A 295.

    Raises:
        ValueError: for fewer than 500 values, values not finite, a constant x.
    """
    x = _checked("dfa", x)
    profile = np.cumsum(x - x.mean())
    boxes = _boxes(x.size)
    f2 = [np.mean([_detrended(profile, s), _detrended(profile[::-1], s)]) for s in boxes]
    line = _line(np.log2(boxes), 0.5 * np.log2(f2))
    return _scaling("dfa", line, hurst=line.slope - 1.0)


def _detrended(profile: F64, size: int) -> float:
    """Mean square about straight lines of the boxes of `size` that fit from the beginning."""
    count = profile.size // size
    boxes = profile[: count * size].reshape(count, size)
    t = np.arange(size) - (size - 1) / 2
    centred = boxes - boxes.mean(axis=1, keepdims=True)
    slope = centred @ t / (t @ t)
    return float(np.mean((centred - slope[:, None] * t) ** 2))


def rescaled_range(x: F64) -> Scaling:
    """The rescaled range R/S, corrected for its bias in short boxes.

    In disjoint boxes of s points, R is the range of the sums of deviations from the box's mean
    (0 included) and S its standard deviation (divisor s); boxes of constant x are left out. The
    exponent is 1/2 plus the slope of log2 (mean R/S) - log2 E_s on log2 s, so that it is 1/2 for
    independent normal values: E_s = Gamma((s-1)/2) / (sqrt(pi) Gamma(s/2)) sum_{i<s}
    sqrt((s-i)/i), Anis & Lloyd (1976), Biometrika 63, as used by Weron (2002), Physica A 312,
    without Peters' factor. Boxes as in `dfa`; the points are the corrected ones, log2 (R/S) -
    log2 E_s + log2(s)/2. Mandelbrot & Wallis (1969), Water Resources Research 5. x are
    increments here; for a level the exponent nears 1 for any H, so hurst is NaN.

    Raises:
        ValueError: for fewer than 500 values, values not finite, a constant x.
    """
    x = _checked("rescaled_range", x)
    boxes = _boxes(x.size)
    rs = np.array([_rescaled(x, int(s)) for s in boxes])
    expected = np.array([_anis_lloyd(int(s)) for s in boxes])
    corrected = np.log2(rs) - np.log2(expected) + 0.5 * np.log2(boxes)
    return _scaling("rs", _line(np.log2(boxes), corrected), hurst=math.nan)


def _rescaled(x: F64, size: int) -> float:
    count = x.size // size
    boxes = x[: count * size].reshape(count, size)
    spread = boxes.std(axis=1)
    moves = spread > 0
    centred = boxes[moves] - boxes[moves].mean(axis=1, keepdims=True)
    sums = np.cumsum(centred, axis=1)
    ranges = np.maximum(sums.max(axis=1), 0.0) - np.minimum(sums.min(axis=1), 0.0)
    return float(np.mean(ranges / spread[moves])) if moves.any() else math.nan


def _anis_lloyd(size: int) -> float:
    i = np.arange(1, size)
    ratio = math.exp(math.lgamma((size - 1) / 2) - math.lgamma(size / 2)) / math.sqrt(math.pi)
    return ratio * float(np.sum(np.sqrt((size - i) / i)))


def wavelets(x: F64) -> Scaling:
    """The logscale diagram of Daubechies wavelets with 3 vanishing moments.

    mu_j is the mean square of the n_j details of octave j that no edge touches; y_j = log2 mu_j -
    g_j with g_j = psi(n_j/2)/ln 2 - log2(n_j/2), so that y_j is unbiased; its variance is
    v_j = zeta(2, n_j/2)/ln^2 2. beta is the slope of y_j on j weighted by 1/v_j over octaves from
    3 to the last with 8 details; its standard error follows from the v_j, exact for Gaussian
    details without correlation. hurst = (beta - 1)/2. Abry & Veitch (1998), IEEE Trans.
    Information Theory 44; Veitch & Abry (1999), ibid. 45.

    Sampling distorts the first octaves, more so for a rougher series: with octave 3 as the first,
    H is 0.1 too low at 0.1, 0.02 too low at 0.3, and unbiased from 0.5 on. A slope on frequency
    instead of scale, as in some papers, has the opposite sign. Trends up to t^2 have no effect.

    Raises:
        ValueError: for fewer than 500 values, values not finite, a constant x.
    """
    from scipy.special import digamma, zeta

    details = _details(_checked("wavelets", x))
    n = np.array([d.size for d in details], dtype=np.float64)
    j = np.arange(1.0, len(details) + 1)
    bias = digamma(n / 2) / math.log(2) - np.log2(n / 2)
    with np.errstate(
        divide="ignore"
    ):  # details of 0 give a point at minus infinity, which is left out
        y = np.log2([np.mean(d**2) for d in details]) - bias
    variance = zeta(2.0, n / 2) / math.log(2) ** 2
    line = _line(j, y, used=(j >= _FIRST_OCTAVE) & np.isfinite(y), variance=variance)
    return _scaling("wavelets", line, hurst=(line.slope - 1.0) / 2)


def _details(x: F64) -> list[F64]:
    """The details of each octave whose filter lies inside the data; the last has 8 or more."""
    import pywt

    filters = pywt.Wavelet(_WAVELET)
    details: list[F64] = []
    while True:
        approximation, detail = pywt.dwt(x, filters, mode="zero")
        # Output k is the filter's product with x[2k + 2 - length : 2k + 2].
        inside = slice(filters.dec_len // 2 - 1, x.size // 2)
        x, detail = approximation[inside], detail[inside]
        if detail.size < _FEWEST_COEFFICIENTS:
            return details
        details.append(detail)


@dataclass(frozen=True)
class _Line:
    x: F64
    y: F64
    used: NDArray[np.bool_]
    slope: float
    intercept: float
    error: float
    r2: float


def _line(
    x: F64, y: F64, *, used: NDArray[np.bool_] | None = None, variance: F64 | None = None
) -> _Line:
    """Least squares through the points used: weights 1/variance, or equal weights if None."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    used = np.isfinite(y) if used is None else used
    if used.sum() < 3:
        nothing = math.nan
        return _Line(x, y, used, nothing, nothing, nothing, nothing)
    w = np.ones(int(used.sum())) if variance is None else 1.0 / variance[used]
    u, v = x[used], y[used]
    mean_u, mean_v = np.average(u, weights=w), np.average(v, weights=w)
    sxx = w @ (u - mean_u) ** 2
    slope = (w * (u - mean_u)) @ (v - mean_v) / sxx
    intercept = mean_v - slope * mean_u
    left = w @ (v - intercept - slope * u) ** 2
    # With known variances the slope's is 1/sxx; without, the residuals give the points' own.
    error2 = (left / (u.size - 2) if variance is None else 1.0) / sxx
    total = w @ (v - mean_v) ** 2
    r2 = 1.0 - left / total if total > 0 else math.nan
    return _Line(x, y, used, float(slope), float(intercept), math.sqrt(error2), float(r2))


def _scaling(method: str, line: _Line, *, hurst: float) -> Scaling:
    return Scaling(
        method=method,
        log_scale=line.x,
        log_fluctuation=line.y,
        used=line.used,
        exponent=line.slope,
        intercept=line.intercept,
        standard_error=line.error,
        r2=line.r2,
        hurst=hurst,
    )


def _boxes(n: int) -> I64:
    return np.unique(np.geomspace(_SMALLEST_BOX, n // 10, 20).astype(np.int64))


def _checked(what: str, x: F64) -> F64:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 1 or x.size < LEAST:
        raise ValueError(f"{what}: got shape {x.shape}, wanted {LEAST} or more values in a row")
    if not np.isfinite(x).all():
        raise ValueError(f"{what}: got {int((~np.isfinite(x)).sum())} values not finite, wanted 0")
    if x.min() == x.max():
        raise ValueError(f"{what}: got a constant, wanted a series that varies")
    return x


METHODS = {
    "variogram": structure_function,
    "dfa": dfa,
    "rs": rescaled_range,
    "wavelets": wavelets,
}
