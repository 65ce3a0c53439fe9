"""Likelihoods of GARCH(1,1), GJR-GARCH(1,1) and EGARCH(1,1) with normal or Student's t errors.

All parameters are in six slots, (mu, omega, alpha, gamma, beta, nu). Slots that a model does not
have are fixed: GARCH is GJR with gamma = 0, and normal errors have no nu. `model` is 0 for GARCH,
1 for GJR, 2 for EGARCH; `student` is 1 for t errors. One pass over the returns gives the
log-likelihood, its gradient by recursive derivatives (Fiorentini, Calzolari & Panattoni, 1996),
and the expected information for the steps of Fisher scoring.

    GARCH, GJR  h_t = omega + (alpha + gamma 1[e < 0]) e² + beta h       e, h of t - 1
    EGARCH      ln h_t = omega + alpha (|z| - √(2/π)) + gamma z + beta ln h,  z = e / √h

Before the first return, e² and h are the backcast variance, the indicator of e < 0 is one half,
and z and |z| are at their means, as in the arch package.
"""

from __future__ import annotations

import math

from harness.kernels.loader import kernel
from harness.types import F64

MEAN_ABS = math.sqrt(2.0 / math.pi)
LOG_2PI = math.log(2.0 * math.pi)
LOG_CLAMP = 30.0  # bound of EGARCH's |ln h|: beyond it parameters are absurd and exp overflows


def _log_gamma(x: float) -> float:
    """ln Γ(x), x > 1: Stirling's series from 12 on, the recurrence below 12."""
    below = 1.0
    while x < 12.0:
        below *= x
        x += 1.0
    r = 1.0 / (x * x)
    series = 1.0 / 12.0 - r * (
        1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r * (1.0 / 1188.0)))
    )
    return (x - 0.5) * math.log(x) - x + 0.5 * LOG_2PI + series / x - math.log(below)


def _digamma(x: float) -> float:
    """The derivative of ln Γ."""
    below = 0.0
    while x < 12.0:
        below += 1.0 / x
        x += 1.0
    r = 1.0 / (x * x)
    series = 1.0 / 12.0 - r * (
        1.0 / 120.0 - r * (1.0 / 252.0 - r * (1.0 / 240.0 - r * (1.0 / 132.0)))
    )
    return math.log(x) - 0.5 / x - r * series - below


def _trigamma(x: float) -> float:
    """The second derivative of ln Γ."""
    below = 0.0
    while x < 12.0:
        below += 1.0 / (x * x)
        x += 1.0
    r = 1.0 / (x * x)
    series = 1.0 / 6.0 - r * (1.0 / 30.0 - r * (1.0 / 42.0 - r * (1.0 / 30.0 - r * (5.0 / 66.0))))
    return below + 1.0 / x + 0.5 * r + r / x * series


def _arch_pass(
    theta: F64, gjr: bool, student: int, r: F64, backcast: float, pull: float, informed: int,
    grad: F64, info: F64, tilt: F64,
) -> tuple[float, float, float, float]:  # fmt: skip
    """GARCH and GJR: Σ ln h, Σ ln q, Σ w z² and Σ 1/h; writes grad, info and tilt of mu … beta.

    With q = 1 + z² / (nu - 2) and w = (nu + 1) / (nu - 2 + z²), 1 for normal errors. info is
    Σ y y' for y = ∂ ln h, tilt is Σ y. Logs are taken of products of eight.
    """
    mu, omega, alpha, gamma, beta = theta[0], theta[1], theta[2], theta[3], theta[4]
    over, top = 1.0 / (theta[5] - 2.0), theta[5] + 1.0
    keep = alpha + 0.5 * gamma + beta
    d0, d1, d2, d3, d4 = keep * pull, 1.0, backcast, 0.5 * backcast, backcast
    h = omega + keep * backcast
    g0 = g1 = g2 = g3 = g4 = location = 0.0
    t0 = t1 = t2 = t3 = t4 = 0.0
    i00 = i01 = i02 = i03 = i04 = i11 = i12 = i13 = i14 = 0.0
    i22 = i23 = i24 = i33 = i34 = i44 = 0.0
    levels = tails = squares = inverses = 0.0
    level = tail = 1.0
    for t in range(r.size):
        e = r[t] - mu
        x = e * e
        inverse = 1.0 / h
        u = x * inverse
        w = 1.0
        if student:
            q = 1.0 + u * over
            w = top * over / q
            u *= w
            tail *= q
        level *= h
        if t & 7 == 7:
            levels += math.log(level)
            tails += math.log(tail)
            level = tail = 1.0
        squares += u
        inverses += inverse
        location += w * e * inverse
        m = u - 1.0
        y0, y1, y2, y4 = d0 * inverse, d1 * inverse, d2 * inverse, d4 * inverse
        g0 += m * y0
        g1 += m * y1
        g2 += m * y2
        g4 += m * y4
        if informed:
            t0 += y0
            t1 += y1
            t2 += y2
            t4 += y4
            i00 += y0 * y0
            i01 += y0 * y1
            i02 += y0 * y2
            i04 += y0 * y4
            i11 += y1 * y1
            i12 += y1 * y2
            i14 += y1 * y4
            i22 += y2 * y2
            i24 += y2 * y4
            i44 += y4 * y4
        a = alpha
        if gjr:
            y3 = d3 * inverse
            g3 += m * y3
            if informed:
                t3 += y3
                i03 += y0 * y3
                i13 += y1 * y3
                i23 += y2 * y3
                i33 += y3 * y3
                i34 += y3 * y4
            d3 *= beta
            if e < 0.0:
                a += gamma
                d3 += x
        d0 = beta * d0 - 2.0 * a * e
        d1 = beta * d1 + 1.0
        d2 = beta * d2 + x
        d4 = beta * d4 + h
        h = omega + a * x + beta * h
    grad[0], grad[1], grad[2] = location + 0.5 * g0, 0.5 * g1, 0.5 * g2
    grad[3], grad[4] = 0.5 * g3, 0.5 * g4
    tilt[0], tilt[1], tilt[2], tilt[3], tilt[4] = t0, t1, t2, t3, t4
    info[0, 0], info[0, 1], info[0, 2], info[0, 3], info[0, 4] = i00, i01, i02, i03, i04
    info[1, 1], info[1, 2], info[1, 3], info[1, 4] = i11, i12, i13, i14
    info[2, 2], info[2, 3], info[2, 4] = i22, i23, i24
    info[3, 3], info[3, 4], info[4, 4] = i33, i34, i44
    return levels + math.log(level), tails + math.log(tail), squares, inverses


def _egarch_pass(
    theta: F64, student: int, r: F64, backcast: float, pull: float, informed: int, grad: F64,
    info: F64, tilt: F64,
) -> tuple[float, float, float, float]:  # fmt: skip
    """EGARCH's sums, as `_arch_pass` gives them."""
    mu, omega, alpha, gamma, beta = theta[0], theta[1], theta[2], theta[3], theta[4]
    over, top = 1.0 / (theta[5] - 2.0), theta[5] + 1.0
    log_backcast = math.log(backcast)
    y0, y1, y2, y3, y4 = beta * pull / backcast, 1.0, 0.0, 0.0, log_backcast
    log_h = omega + beta * log_backcast
    g0 = g1 = g2 = g3 = g4 = location = 0.0
    t0 = t1 = t2 = t3 = t4 = 0.0
    i00 = i01 = i02 = i03 = i04 = i11 = i12 = i13 = i14 = 0.0
    i22 = i23 = i24 = i33 = i34 = i44 = 0.0
    levels = tails = squares = inverses = 0.0
    tail = 1.0
    for t in range(r.size):
        if abs(log_h) > LOG_CLAMP:
            log_h = LOG_CLAMP if log_h > 0.0 else -LOG_CLAMP
            y0 = y1 = y2 = y3 = y4 = 0.0
        root = math.exp(-0.5 * log_h)
        z = (r[t] - mu) * root
        u = z * z
        w = 1.0
        if student:
            q = 1.0 + u * over
            w = top * over / q
            u *= w
            tail *= q
            if t & 7 == 7:
                tails += math.log(tail)
                tail = 1.0
        levels += log_h
        squares += u
        inverses += root * root
        location += w * z * root
        m = u - 1.0
        g0 += m * y0
        g1 += m * y1
        g2 += m * y2
        g3 += m * y3
        g4 += m * y4
        if informed:
            t0 += y0
            t1 += y1
            t2 += y2
            t3 += y3
            t4 += y4
            i00 += y0 * y0
            i01 += y0 * y1
            i02 += y0 * y2
            i03 += y0 * y3
            i04 += y0 * y4
            i11 += y1 * y1
            i12 += y1 * y2
            i13 += y1 * y3
            i14 += y1 * y4
            i22 += y2 * y2
            i23 += y2 * y3
            i24 += y2 * y4
            i33 += y3 * y3
            i34 += y3 * y4
            i44 += y4 * y4
        size = abs(z)
        slope = gamma + alpha if z > 0.0 else gamma - alpha
        keep = beta - 0.5 * slope * z
        y0 = keep * y0 - slope * root
        y1 = keep * y1 + 1.0
        y2 = keep * y2 + size - MEAN_ABS
        y3 = keep * y3 + z
        y4 = keep * y4 + log_h
        log_h = omega + alpha * (size - MEAN_ABS) + gamma * z + beta * log_h
    grad[0], grad[1], grad[2] = location + 0.5 * g0, 0.5 * g1, 0.5 * g2
    grad[3], grad[4] = 0.5 * g3, 0.5 * g4
    tilt[0], tilt[1], tilt[2], tilt[3], tilt[4] = t0, t1, t2, t3, t4
    info[0, 0], info[0, 1], info[0, 2], info[0, 3], info[0, 4] = i00, i01, i02, i03, i04
    info[1, 1], info[1, 2], info[1, 3], info[1, 4] = i11, i12, i13, i14
    info[2, 2], info[2, 3], info[2, 4] = i22, i23, i24
    info[3, 3], info[3, 4], info[4, 4] = i33, i34, i44
    return levels, tails + math.log(tail), squares, inverses


def _likelihood(
    theta: F64, model: int, student: int, r: F64, backcast: float, follow: float, informed: int,
    grad: F64, info: F64, tilt: F64,
) -> float:  # fmt: skip
    """The log-likelihood; writes grad (6,) and, where `informed`, the information (6, 6) expected.

    The information of the t: Lange, Little & Taylor (1989), in the standardised scale.
    """
    start, pull = backcast + follow * theta[0] * theta[0], 2.0 * follow * theta[0]
    if model == 2:
        levels, tails, squares, inverses = _egarch_pass(
            theta, student, r, start, pull, informed, grad, info, tilt
        )
    else:
        levels, tails, squares, inverses = _arch_pass(
            theta, model == 1, student, r, start, pull, informed, grad, info, tilt
        )
    n = r.size
    spread = place = 1.0
    value = -0.5 * (n * LOG_2PI + levels + squares)
    grad[5] = info[5, 5] = cross = 0.0
    if student:
        nu = theta[5]
        up, down = 0.5 * (nu + 1.0), 0.5 * nu
        shape = _log_gamma(up) - _log_gamma(down) - 0.5 * math.log(math.pi * (nu - 2.0))
        value = n * shape - 0.5 * levels - up * tails
        slope = _digamma(up) - _digamma(down) - 1.0 / (nu - 2.0)
        grad[5] = 0.5 * (n * slope - tails + squares / (nu - 2.0))
        spread = nu / (nu + 3.0)
        place = nu * (nu + 1.0) / ((nu - 2.0) * (nu + 3.0))
        # ∂ ln s² / ∂ nu of the scale s of the t whose variance is 1
        k = 2.0 / (nu * (nu - 2.0))
        own = -1.0 / ((nu + 1.0) * (nu + 3.0))
        cross = own + 0.5 * spread * k
        curve = _trigamma(down) - _trigamma(up)
        curve = 0.25 * curve - 0.5 * (nu + 5.0) / (nu * (nu + 1.0) * (nu + 3.0))
        info[5, 5] = n * (curve + 2.0 * own * k + 0.5 * spread * k * k)
    if not informed:
        return value
    for i in range(5):
        for j in range(i, 5):
            info[i, j] *= 0.5 * spread
            info[j, i] = info[i, j]
        info[i, 5] = info[5, i] = cross * tilt[i]
    info[0, 0] += place * inverses
    return value


@kernel("f8[:] i8 i8 f8[:] f8 f8 f8[:] f8[:,:] f8[:] -> f8")
def log_likelihood(
    theta: F64, model: int, student: int, r: F64, backcast: float, follow: float, grad: F64,
    info: F64, tilt: F64,
) -> float:  # fmt: skip
    """The log-likelihood of r (n,) at theta (6,); writes its gradient and expected information.

    The backcast is `backcast` + `follow` mu²: with follow 1 and returns whose mean is 0 and mean
    square `backcast`, it is the mean square about mu. grad (6,), info (6, 6); tilt (6,) is a work
    array. Ignore the slots that a model does not have.
    """
    return _likelihood(theta, model, student, r, backcast, follow, 1, grad, info, tilt)


@kernel("f8[:] i8 f8[:] f8 f8 f8 f8[:] -> void")
def variances(
    theta: F64, model: int, r: F64, backcast: float, low: float, high: float, h: F64
) -> None:
    """Conditional variances h (n + 1,) of r (n,); the last one is of the next return.

    EGARCH's ln h is clamped to `low` and `high`: where a large return lowers it (alpha < 0), the
    next standardised return is even larger, and the recursion diverges.
    """
    mu, omega, alpha, gamma, beta = theta[0], theta[1], theta[2], theta[3], theta[4]
    if model == 2:
        log_h = omega + beta * math.log(backcast)
        for t in range(h.size):
            log_h = min(max(log_h, low), high)
            h[t] = math.exp(log_h)
            if t < r.size:
                z = (r[t] - mu) * math.exp(-0.5 * log_h)
                log_h = omega + alpha * (abs(z) - MEAN_ABS) + gamma * z + beta * log_h
        return
    h[0] = omega + (alpha + 0.5 * gamma + beta) * backcast
    for t in range(r.size):
        e = r[t] - mu
        a = alpha + gamma if e < 0.0 else alpha
        h[t + 1] = omega + a * e * e + beta * h[t]
