"""Maximum likelihood of the GARCH family, for one window or along a chain of windows.

An ascent starts with the expected information as its curvature (Fisher scoring) and updates it
from the gradients (BFGS), because with outliers in the window the information alone needs tens of
steps. A chain passes the curvature on: a window differs from the one before by two returns, so
three likelihood evaluations are enough for most windows.

A window is standardised, so one set of starts, bounds and tolerances suits every asset. Steps
are taken in coordinates x (6,) with box constraints:

    GARCH, GJR  mu, ln omega, s, d, p, 1 / nu  with p = alpha + gamma / 2 + beta,
                s = (alpha + gamma / 2) / p, d = (alpha + gamma) / (2 alpha + gamma)
    EGARCH      mu, omega, alpha, gamma, beta, 1 / nu

A slot whose bounds are equal is fixed. The likelihoods have several maxima where ARCH effects are
weak, so a chain that only follows its last maximum can end on a lower one: every few windows the
ascent is also run from the five starting points of `_start`.
"""

from __future__ import annotations

import math

from harness.kernels.garch import _likelihood
from harness.kernels.lanes import average
from harness.kernels.loader import kernel
from harness.types import F64, I64

STARTS = 5
SAME_PEAK = 0.005  # difference in log-likelihood of two points taken as the same maximum
LONGEST = 2.0  # longest step in any coordinate
# Rows of the work array: 0 theta, 1 its gradient, 2 tilt, 3 gradient in x, 4 step, 5 trial, 6 its
# gradient, 7 information of theta, 13 Jacobian, 19 curvature in x, 25 its half product or factor,
# 31 and 32 bounds, 33 x, 34 another x, 35 theta in the units of the returns, 36 saved curvature,
# 42 gradient change that the curvature predicts.
ROOM = 43


def _bounds(model: int, student: int, low: F64, high: F64) -> None:
    """The box constraints; alpha + gamma / 2 + beta is at most 1 - 1e-7."""
    for i in range(6):
        low[i] = high[i] = 0.0
    low[0], high[0] = -5.0, 5.0
    if model == 2:
        low[1], high[1] = -9.0, 9.0
        low[2] = low[3] = -3.0
        high[2] = high[3] = 3.0
        high[4] = 0.99999
    else:
        low[1], high[1] = -18.0, 2.0
        high[2] = 1.0
        low[3] = high[3] = 0.5
        if model == 1:
            low[3], high[3] = 0.0, 1.0
        low[4], high[4] = 1e-3, 1.0 - 1e-7
    low[5] = high[5] = 0.125
    if student:
        low[5], high[5] = 1.0 / 500.0, 1.0 / 2.05


def _start(model: int, number: int, x: F64) -> None:
    """Starting point `number` of STARTS: high or low persistence, strong or weak reaction."""
    x[0], x[1], x[3], x[5] = 0.0, 0.0, 0.5, 0.125
    if model == 2:
        x[1], x[3] = 0.0, 0.0
        if number == 0:
            x[2], x[3], x[4] = 0.12, -0.08, 0.96
        elif number == 1:
            x[2], x[3], x[4] = 0.05, -0.03, 0.99
        elif number == 2:
            x[2], x[3], x[4] = 0.25, -0.05, 0.85
        elif number == 3:
            x[2], x[3], x[4] = 0.25, -0.15, 0.5
        else:
            x[2], x[3], x[4] = 0.02, -0.1, 0.9
        return
    if number == 0:
        x[2], x[4] = 0.08, 0.97
    elif number == 1:
        x[2], x[4] = 0.011, 0.993
    elif number == 2:
        x[2], x[4] = 0.3, 0.88
    elif number == 3:
        x[2], x[4] = 0.15, 0.5
    else:
        x[2], x[4] = 0.003, 0.999
    x[1] = math.log(1.0 - x[4])


def _natural(model: int, x: F64, theta: F64, jacobian: F64) -> None:
    """theta (6,) of x, and ∂ theta / ∂ x (6, 6)."""
    for i in range(6):
        for j in range(6):
            jacobian[i, j] = 1.0 if i == j else 0.0
        theta[i] = x[i]
    theta[5] = 1.0 / x[5]
    jacobian[5, 5] = -theta[5] * theta[5]
    if model == 2:
        return
    s, d, p = x[2], x[3], x[4]
    theta[1], theta[4] = math.exp(x[1]), p * (1.0 - s)
    theta[2], theta[3] = 2.0 * p * s * (1.0 - d), 2.0 * p * s * (2.0 * d - 1.0)
    jacobian[1, 1] = theta[1]
    jacobian[2, 2], jacobian[2, 3] = 2.0 * p * (1.0 - d), -2.0 * p * s
    jacobian[3, 2], jacobian[3, 3] = 2.0 * p * (2.0 * d - 1.0), 4.0 * p * s
    jacobian[4, 2] = -p
    jacobian[2, 4], jacobian[3, 4] = 2.0 * s * (1.0 - d), 2.0 * s * (2.0 * d - 1.0)
    jacobian[4, 4] = 1.0 - s


def _from_natural(model: int, theta: F64, low: F64, high: F64, x: F64) -> None:
    """x of theta, clipped to the box."""
    for i in range(6):
        x[i] = theta[i]
    x[5] = 1.0 / theta[5]
    if model != 2:
        news = theta[2] + 0.5 * theta[3]
        x[1] = math.log(max(theta[1], 1e-12))
        x[4] = max(news + theta[4], 1e-6)
        x[2] = news / x[4]
        x[3] = 0.5 * (theta[2] + theta[3]) / news if news > 1e-12 else 0.5
    for i in range(6):
        x[i] = min(max(x[i], low[i]), high[i])


def _evaluate(
    model: int, student: int, z: F64, backcast: float, follow: float, x: F64, informed: int,
    slope: F64, room: F64,
) -> float:  # fmt: skip
    """The log-likelihood at x and its gradient, slope (6,); -1e300 where it is not a number.

    Where `informed` is 1 the expected information of x is written to room[19:25].
    """
    theta, grad, info, jacobian = room[0], room[1], room[7:13], room[13:19]
    _natural(model, x, theta, jacobian)
    value = _likelihood(theta, model, student, z, backcast, follow, informed, grad, info, room[2])
    size = abs(value)
    for i in range(6):
        slope[i] = 0.0
        for j in range(6):
            slope[i] += jacobian[j, i] * grad[j]
        size += abs(slope[i])
    if informed:
        _sandwich(info, jacobian, room[25:31], room[19:25])
    return value if size < 1e300 else -1e300


def _sandwich(info: F64, jacobian: F64, half: F64, curve: F64) -> None:
    """curve = jacobian' info jacobian."""
    for i in range(6):
        for j in range(6):
            half[i, j] = 0.0
            for m in range(6):
                half[i, j] += info[i, m] * jacobian[m, j]
    for i in range(6):
        for j in range(6):
            curve[i, j] = 0.0
            for m in range(6):
                curve[i, j] += jacobian[m, i] * half[m, j]


def _learn(curve: F64, x: F64, trial: F64, slope: F64, new: F64, moved: F64) -> None:
    """Update the curvature from the gradients at two points (BFGS; Powell, 1978).

    Powell's damping keeps it positive definite. moved (6,) is a work array.
    """
    expected = found = 0.0
    for i in range(6):
        moved[i] = 0.0
        for j in range(6):
            moved[i] += curve[i, j] * (trial[j] - x[j])
        expected += (trial[i] - x[i]) * moved[i]
        found += (trial[i] - x[i]) * (slope[i] - new[i])
    if not expected > 1e-14:
        return
    mix = 1.0 if found > 0.2 * expected else 0.8 * expected / (expected - found)
    found = mix * found + (1.0 - mix) * expected
    for i in range(6):
        yi = mix * (slope[i] - new[i]) + (1.0 - mix) * moved[i]
        for j in range(6):
            yj = mix * (slope[j] - new[j]) + (1.0 - mix) * moved[j]
            curve[i, j] += yi * yj / found - moved[i] * moved[j] / expected


def _step(x: F64, low: F64, high: F64, damping: float, room: F64) -> float:
    """Solve for the step, room[4], in the free coordinates; returns the expected gain.

    The gain is in log-likelihood. Levenberg's damping increases the diagonal. A coordinate at a
    bound with a gradient that points outside does not move.
    """
    slope, step, curve, lower = room[3], room[4], room[19:25], room[25:31]
    for i in range(6):
        held = low[i] == high[i]
        held = held or (x[i] <= low[i] and slope[i] <= 0.0)
        held = held or (x[i] >= high[i] and slope[i] >= 0.0)
        step[i] = 0.0 if held else slope[i]
        for j in range(i):
            lower[i, j] = 0.0 if held or lower[j, j] == 0.0 else curve[i, j]
            for m in range(j):
                lower[i, j] -= lower[i, m] * lower[j, m]
            if lower[j, j] > 0.0:
                lower[i, j] /= lower[j, j]
        rest = curve[i, i] * (1.0 + damping) + 1e-9
        for m in range(i):
            rest -= lower[i, m] * lower[i, m]
        lower[i, i] = 0.0 if held or not rest > 0.0 else math.sqrt(rest)
    for i in range(6):
        for m in range(i):
            step[i] -= lower[i, m] * step[m]
        step[i] = step[i] / lower[i, i] if lower[i, i] > 0.0 else 0.0
    longest, gain = LONGEST, 0.0
    for i in range(5, -1, -1):
        for m in range(i + 1, 6):
            step[i] -= lower[m, i] * step[m]
        step[i] = step[i] / lower[i, i] if lower[i, i] > 0.0 else 0.0
        longest = max(longest, abs(step[i]))
        gain += 0.5 * step[i] * slope[i]
    for i in range(6):
        step[i] *= LONGEST / longest
    return gain


def _near(x: F64, best: F64, curve: F64) -> bool:
    """Whether `best` is on the same maximum as x, by the quadratic approximation about x."""
    between = 0.0
    for i in range(6):
        for j in range(6):
            between += (x[i] - best[i]) * curve[i, j] * (x[j] - best[j])
    return 0.5 * between < SAME_PEAK


def _climb(
    model: int, student: int, z: F64, backcast: float, follow: float, tolerance: float, most: int,
    fresh: int, x: F64, peak: float, best: F64, low: F64, high: F64, room: F64,
) -> tuple[float, int, int]:  # fmt: skip
    """Ascend from x until the expected gain is under `tolerance`: likelihood, count, converged.

    x (6,) is updated. The curvature, room[19:25], starts as the expected information at x where
    `fresh` is 1, else as it is. Stops early, as converged, at a point below `peak` that belongs to
    the same maximum as `best` (6,).
    """
    slope, trial, new = room[3], room[5], room[6]
    curve, damping, done = room[19:25], 0.0, 1
    value = _evaluate(model, student, z, backcast, follow, x, fresh, slope, room)
    if value == -1e300:
        return value, done, 0
    while done < most:
        if value <= peak and _near(x, best, curve):
            return value, done, 1
        gain = _step(x, low, high, damping, room)
        if gain < tolerance and damping <= 1e-3:
            return value, done, 1
        for i in range(6):
            trial[i] = min(max(x[i] + room[4, i], low[i]), high[i])
        reached = _evaluate(model, student, z, backcast, follow, trial, 0, new, room)
        done += 1
        if reached > -1e300:
            _learn(curve, x, trial, slope, new, room[42])
        if reached > value:
            value = reached
            for i in range(6):
                x[i], slope[i] = trial[i], new[i]
            damping = 0.1 * damping if damping > 1e-3 else 0.0
        elif gain < 1e-7:  # below the rounding of a sum of n logs, or the kink of EGARCH's |z|
            return value, done, 1
        else:
            damping = max(10.0 * damping, 1e-3)
    return value, done, 0


def _standardise(r: F64, z: F64) -> tuple[float, float]:
    """Write z = (r - mean) / sd; returns mean and sd, which is 0 where all returns are equal."""
    mean = average(r)
    total = 0.0
    for t in range(r.size):
        z[t] = r[t] - mean
        total += z[t] * z[t]
    sd = math.sqrt(total / r.size)
    if sd > 0.0:
        for t in range(r.size):
            z[t] /= sd
    return mean, sd


def _backcast(z: F64) -> float:
    """Exponentially weighted mean of the first 75 squares."""
    total = weights = 0.0
    weight = 1.0
    for t in range(min(75, z.size)):
        total += weight * z[t] * z[t]
        weights += weight
        weight *= 0.94
    return max(total / weights, 1e-6)


def _rescale(model: int, theta: F64, shift: float, ratio: float) -> None:
    """Update theta for returns that are multiplied by `ratio` and then raised by `shift`."""
    theta[0] = theta[0] * ratio + shift
    if model == 2:
        theta[1] += 2.0 * (1.0 - theta[4]) * math.log(ratio)
    else:
        theta[1] *= ratio * ratio


def _copy(source: F64, target: F64) -> None:
    for i in range(6):
        for j in range(6):
            target[i, j] = source[i, j]


@kernel("f8[:] i8[:] i8[:] i8 i8 f8 i8 i8 f8 i8 f8[:] f8[:] f8[:,:] f8[:,:] f8[:] i8[:,:] -> void")
def refit_windows(
    r: F64, first: I64, last: I64, model: int, student: int, follow: float, warm: int, guard: int,
    tolerance: float, most: int, start: F64, z: F64, room: F64, params: F64, loglik: F64,
    counts: I64,
) -> None:  # fmt: skip
    """Fit each window r[first[k]:last[k]] in turn, starting from the previous fit.

    The backcast is arch's where `follow` is 0, the mean square about mu where it is 1. The first
    window starts at `start` (6,) where `warm` is 1, else from all starting points. All starting
    points are also tried every `guard` windows, and where an ascent has not converged within
    `most` likelihoods. z (longest window,) and room (ROOM, 6) are work arrays; params (w, 6) and
    loglik (w,) are written in the units of r, and counts (w, 5): converged, starts tried,
    likelihoods computed, whether another start beat the previous fit's, whether the ascent from
    the previous fit did not converge.
    """
    low, high, x, other, theta = room[31], room[32], room[33], room[34], room[35]
    _bounds(model, student, low, high)
    curve, kept = room[19:25], room[36:42]
    followed = warm
    for i in range(6):
        theta[i] = start[i]
    for k in range(first.size):
        window = z[: last[k] - first[k]]
        mean, sd = _standardise(r[first[k] : last[k]], window)
        backcast = 1.0 if follow else _backcast(window)
        value, computed, converged, better = -1e300, 0, 0, 0
        if followed:
            _rescale(model, theta, -mean / sd, 1.0 / sd)
            _from_natural(model, theta, low, high, x)
            value, computed, converged = _climb(
                model, student, window, backcast, follow, tolerance, most, k == 0, x, value, other,
                low, high, room,
            )  # fmt: skip
        counts[k, 1], counts[k, 4] = followed, followed and not converged
        if converged == 0 or (guard > 0 and k % guard == 0):
            _copy(curve, kept)
            for number in range(STARTS):
                _start(model, number, other)
                if followed:
                    other[0], other[5] = x[0], x[5]
                peak = value if converged else -1e300
                found, steps, ended = _climb(
                    model, student, window, backcast, follow, tolerance, most, 1, other, peak, x,
                    low, high, room,
                )  # fmt: skip
                computed += steps
                if found > value + 1e-9 or (ended > converged and found > value - 1e-6):
                    better = followed
                    value, converged = found, ended
                    _copy(curve, kept)
                    for i in range(6):
                        x[i] = other[i]
            _copy(kept, curve)
            counts[k, 1] += STARTS
        followed = 1
        _natural(model, x, theta, room[13:19])
        _rescale(model, theta, mean, sd)
        loglik[k] = value - window.size * math.log(sd)
        counts[k, 0], counts[k, 2], counts[k, 3] = converged, computed, better
        for i in range(6):
            params[k, i] = theta[i]
