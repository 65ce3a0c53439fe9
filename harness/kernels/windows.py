"""Estimators that are not sums over bars: each window is computed from its own bars.

A window's returns are r[a:b], its log prices y[a - 1:b]; the first window has no price before it
and is NaN. Only prices, or a window's own mean, are subtracted, never two running sums.
"""

from __future__ import annotations

import math

from harness.kernels.lanes import average, centred_dot, dot
from harness.kernels.loader import kernel
from harness.types import F64

_PARZEN = 3.5134  # c* of Barndorff-Nielsen, Hansen, Lunde & Shephard (2009), section 2.2


@kernel("f8[:] i8 i8 f8[:] -> void")
def centred_squares(x: F64, size: int, width: int, out: F64) -> None:
    """out[k] = sum (x_i - mean)^2 over the `width` blocks of `size` values up to block k.

    x (n,), out (n / size,); NaN for k < width - 1 and where a value is NaN.
    """
    n = width * size
    for k in range(out.size):
        out[k] = math.nan
        if k >= width - 1:
            own = x[(k + 1) * size - n : (k + 1) * size]
            mean = average(own)
            out[k] = centred_dot(own, mean, own, mean)


def _subsampled(y: F64, step: int) -> float:
    """Sum of squared returns over `step` bars, the mean over the starts, for all bars of y."""
    total = 0.0
    for i in range(step, y.size):
        move = y[i] - y[i - step]
        total += move * move
    returns = y.size - 1
    return total / step * returns / (returns - step + 1)


def _parzen(x: float) -> float:
    if x <= 0.5:
        return 1.0 - 6.0 * x * x * (1.0 - x)
    return 2.0 * (1.0 - x) * (1.0 - x) * (1.0 - x)


@kernel("f8[:] f8[:] i8 i8 i8 f8[:] -> void")
def realised_kernels(r: F64, y: F64, size: int, width: int, sparse: int, out: F64) -> None:
    """Parzen realised kernel, a variance, over the `width` blocks of `size` bars up to block k.

    r, y (n,) returns and log prices, out (n / size,), NaN for k < width. sum_h k(h / (H + 1))
    gamma_h with H = ceil(3.5134 xi^(4/5) n^(3/5)), xi^2 = (RV / 2n) / IV: RV of all returns and
    IV of those over `sparse` bars, subsampled. No jittering of the end prices.
    """
    n = width * size
    for k in range(out.size):
        out[k] = math.nan
        if k < width:
            continue
        first = (k + 1) * size - n
        own = r[first : first + n]
        total = dot(own, own)
        if total > 0.0:
            quiet = _subsampled(y[first - 1 : first + n], min(sparse, n))
            lags = n - 1
            if quiet > 0.0:
                wanted = _PARZEN * (total / (2.0 * n) / quiet) ** 0.4 * n**0.6
                lags = math.ceil(min(wanted, n - 1.0))
            for h in range(1, lags + 1):
                total += 2.0 * _parzen(h / (lags + 1.0)) * dot(own[h:], own[: n - h])
        out[k] = max(total, 0.0) if total == total else math.nan


@kernel("f8[:] f8[:] i8 i8 i8 f8[:] -> void")
def two_scales(r: F64, y: F64, size: int, width: int, sparse: int, out: F64) -> None:
    """Two-scale realised variance over the `width` blocks of `size` bars up to block k.

    r, y (n,) returns and log prices, out (n / size,), NaN for k < width. The slow scale K is
    (12 (RV / 2n)^2 / IV^2)^(1/3) n^(2/3), rounded, at least 2 and at most n / 2: RV of all
    returns and IV of those over `sparse` bars, subsampled.
    """
    n = width * size
    most = max(2, n // 2)
    for k in range(out.size):
        out[k] = math.nan
        if k < width:
            continue
        first = (k + 1) * size - n
        own = r[first : first + n]
        dense = dot(own, own)
        if not dense > 0.0:
            out[k] = dense
            continue
        prices = y[first - 1 : first + n]
        quiet = _subsampled(prices, min(sparse, n))
        slow = most
        if quiet > 0.0:
            wanted = (3.0 * (dense / quiet) ** 2.0) ** (1.0 / 3.0)
            slow = max(2, int(min(wanted, most + 0.0) + 0.5))
        share = (n - slow + 1.0) / (slow * n)
        average_slow = _subsampled(prices, slow) * (n - slow + 1.0) / n
        out[k] = max((average_slow - share * dense) / (1.0 - share), 0.0)
