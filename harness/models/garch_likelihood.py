"""GARCH(1,1), GJR-GARCH(1,1) and EGARCH(1,1), constant mean, normal or Student's t errors.

The NumPy interface of `kernels/garch.py` and `kernels/refit.py`: likelihood, one fit, the daily
refits of a rolling window, conditional variances and their forecasts. Parameters have the names and
order of the arch package: mu, omega, alpha, gamma (GJR and EGARCH), beta, nu (t errors). Returns
may be in any unit; mu is in that unit and variances in its square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from harness.kernels import garch, refit
from harness.models.protocol import ModelError
from harness.types import F64, I64

Model = Literal["garch", "gjr", "egarch"]
Dist = Literal["normal", "t"]
Backcast = Literal["arch", "sample"]

FEWEST = 100  # returns in a window: with fewer, persistence and level are not identified
GUARD = 5  # windows between maximisations from all starts; measured in tests/bench/garch.py
_FIT_GAIN, _CHAIN_GAIN = 1e-12, 1e-8  # log-likelihood gain of one more step at which it stops
_MOST = 200  # likelihood evaluations of one maximisation before it counts as not converged
_SIMULATED = 4_000  # paths of an EGARCH forecast, half of them mirrored


@dataclass(frozen=True)
class Fit:
    """One fit: params (k,), its log-likelihood, whether it converged, likelihood evaluations."""

    params: F64
    loglik: float
    converged: bool
    iterations: int


@dataclass(frozen=True)
class Chain:
    """The fits of w windows, each started from the one before, and their cost.

    params (w, k), loglik (w,), converged (w,), the number of starts (w,) and iterations (w,), the
    likelihood evaluations. `guarded` (w,) marks windows after the first that were maximised from
    all starts on schedule, `rescued` (w,) those where another start beat the previous fit,
    `fallback` (w,) those maximised from all starts because the previous fit's did not converge.
    """

    params: F64
    loglik: F64
    converged: NDArray[np.bool_]
    starts: I64
    iterations: I64
    guarded: NDArray[np.bool_]
    rescued: NDArray[np.bool_]
    fallback: NDArray[np.bool_]


def parameter_names(model: Model, dist: Dist) -> tuple[str, ...]:
    """mu, omega, alpha, gamma (GJR and EGARCH), beta, nu (t errors)."""
    names = ("mu", "omega", "alpha", "gamma", "beta", "nu")
    return tuple(names[slot] for slot in _slots(model, dist))


def log_likelihood(
    params: F64, returns: F64, model: Model, dist: Dist, backcast: Backcast = "arch"
) -> float:
    """The log-likelihood of returns (n,) at params (k,), constants included.

    The recursion starts from the backcast: "arch" is the exponentially weighted mean (0.94) of the
    first 75 squared deviations from the sample mean, as in the arch package; "sample" is the mean
    squared deviation from mu, as in Fiorentini, Calzolari & Panattoni (1996). ModelError as of
    `fit`, or for parameters without a finite likelihood.
    """
    return score(params, returns, model, dist, backcast)[0]


def score(
    params: F64, returns: F64, model: Model, dist: Dist, backcast: Backcast = "arch"
) -> tuple[float, F64]:
    """The log-likelihood, as above, and its gradient (k,) in params."""
    r = _checked(returns)
    theta, slots = _theta(params, model, dist), _slots(model, dist)
    mean = r.mean()
    theta[0] -= mean
    centred = r - mean
    grad, info, tilt = np.zeros(6), np.zeros((6, 6)), np.zeros(6)
    value = garch.log_likelihood(
        theta, _code(model), dist == "t", centred, _backcast(centred, backcast),
        float(backcast == "sample"), grad, info, tilt,
    )  # fmt: skip
    if not math.isfinite(value):
        raise ModelError(f"{model}: the parameters {list(params)} give no finite likelihood")
    return value, grad[slots]


def fit(
    returns: F64,
    model: Model,
    dist: Dist,
    *,
    start: F64 | None = None,
    backcast: Backcast = "arch",
) -> Fit:
    """Maximum likelihood on returns (n,), from `start` (k,) or else the best of five starts.

    omega > 0, alpha and alpha + gamma >= 0, beta >= 0, alpha + gamma / 2 + beta < 1 (EGARCH:
    0 <= beta < 1), 2.05 <= nu <= 500. ModelError for returns that are not finite, fewer than
    FEWEST, or all equal.
    """
    r = _checked(returns)
    first, last = np.zeros(1, np.int64), np.full(1, r.size)
    chain = _refit(r, first, last, model, dist, backcast, 0, _FIT_GAIN, start)
    return Fit(
        chain.params[0], float(chain.loglik[0]), bool(chain.converged[0]), int(chain.iterations[0])
    )


def refit_chain(
    returns: F64,
    first: I64,
    last: I64,
    model: Model,
    dist: Dist,
    *,
    backcast: Backcast = "arch",
    guard: int = GUARD,
) -> Chain:
    """Fit every window returns[first[k]:last[k]] in turn, each from the fit before.

    Every `guard` windows (0: only in the first) five more starts are tried, because weak ARCH
    effects leave several maxima; they are also tried if the maximisation from the fit before does
    not converge. A window's fit depends on earlier windows only. ModelError as of `fit`, naming the
    window.
    """
    r = np.ascontiguousarray(returns, np.float64)
    first, last = np.ascontiguousarray(first, np.int64), np.ascontiguousarray(last, np.int64)
    inside = first.size > 0 and first.min() >= 0 and last.max() <= r.size
    if first.shape != last.shape or not inside:
        raise ModelError(
            f"windows must lie within the {r.size} returns, each with a first and last"
        )
    for k, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        if reason := unfit(r[a:b]):
            raise ModelError(f"window {k}: {reason}")
    return _refit(r, first, last, model, dist, backcast, guard, _CHAIN_GAIN, None)


@dataclass(frozen=True)
class Recursion:
    """The variance recursion of a fitted model, started as in the fit.

    `path` (n + 1,) are the variances over the n fitted returns. An EGARCH can diverge on other
    returns, so after them its variance is bounded between half the smallest of the path and ten
    times the largest: `low` and `high`, of ln h.
    """

    theta: F64
    code: int
    mean: float
    start: float
    low: float
    high: float
    path: F64

    def over(self, returns: F64) -> F64:
        """Variances (m + 1,) of returns (m,) from the first fitted on, and of the next return."""
        return _variances(self, returns - self.mean)

    def sane(self, variance: F64) -> F64:
        """Forecasts (m,); those of EGARCH are kept within the same bounds."""
        if self.code != _code("egarch"):
            return variance
        return np.clip(variance, math.exp(self.low), math.exp(self.high))


def recursion(
    params: F64, returns: F64, model: Model, dist: Dist, *, backcast: Backcast = "arch"
) -> Recursion:
    """The recursion at params (k,) fitted on these returns (n,), which give the backcast."""
    r = _checked(returns)
    theta, mean = _theta(params, model, dist), float(r.mean())
    theta[0] -= mean
    centred = r - mean
    start = _backcast(centred, backcast) + (backcast == "sample") * theta[0] ** 2
    level = math.log(centred @ centred / r.size)
    first = Recursion(
        theta, _code(model), mean, start,
        level - garch.LOG_CLAMP, level + garch.LOG_CLAMP, np.empty(0),
    )  # fmt: skip
    path = _variances(first, centred)
    low, high = math.log(0.5 * path.min()), math.log(10.0 * path.max())
    return replace(first, low=low, high=high, path=path)


def _variances(of: Recursion, centred: F64) -> F64:
    h = np.empty(centred.size + 1)
    garch.variances(of.theta, of.code, centred, of.start, of.low, of.high, h)
    return h


@dataclass(frozen=True)
class Outlook:
    """Mean variance over the next returns, from the next one's h: constant + sum_k w_k h^p_k.

    `weights` and `powers` are w and p, one term per return for EGARCH, one in all for the others.
    """

    constant: float
    weights: tuple[float, ...]
    powers: tuple[float, ...]

    def __call__(self, next_variance: F64) -> F64:
        """The mean variances (m,) from the next return's variance (m,)."""
        if self.powers == (1.0,):
            return self.constant + self.weights[0] * next_variance
        log_h, total = np.log(next_variance), np.zeros(next_variance.shape)
        for weight, power in zip(self.weights, self.powers, strict=True):
            total += weight * np.exp(power * log_h)
        return total


def outlook(params: F64, horizon: int, model: Model, dist: Dist, *, seed: int = 0) -> Outlook:
    """The mean variance over the next `horizon` returns as a function of the next one's.

    GARCH and GJR use the recursion h -> omega + (alpha + gamma / 2 + beta) h; EGARCH simulates
    _SIMULATED seeded paths in antithetic pairs. With t errors EGARCH's variance two steps ahead has
    no expectation (E exp|z| is infinite; Nelson, 1991): the mean over paths is then that of a
    finite sample, as in the arch package.
    """
    _, omega, alpha, gamma, beta, nu = _theta(params, model, dist)
    if model != "egarch":
        constant, weight = 0.0, 1.0
        constants, weights = [constant], [weight]
        for _ in range(horizon - 1):
            keep = alpha + 0.5 * gamma + beta
            constant, weight = omega + keep * constant, keep * weight
            constants.append(constant)
            weights.append(weight)
        return Outlook(math.fsum(constants) / horizon, (math.fsum(weights) / horizon,), (1.0,))
    z, size = _shocks(seed, horizon - 1, nu if dist == "t" else None)
    walk, weights, powers = np.zeros(_SIMULATED), [1.0], [1.0]
    for step in alpha * size + gamma * z:
        walk = omega + step + beta * walk
        bounded = np.clip(walk, -garch.LOG_CLAMP, garch.LOG_CLAMP)
        weights.append(float(np.exp(bounded).mean()))
        powers.append(beta * powers[-1])
    return Outlook(0.0, tuple(w / horizon for w in weights), tuple(powers))


@lru_cache(maxsize=8)  # daily refits use the same normal errors every day
def _shocks(seed: int, steps: int, nu: float | None) -> tuple[F64, F64]:
    """Errors z of variance 1 (steps, _SIMULATED), half of them mirrored, and |z| minus √(2/π)."""
    rng, shape = np.random.default_rng(seed), (steps, _SIMULATED // 2)
    if nu is None:
        z = rng.standard_normal(shape)
    else:
        z = rng.standard_t(nu, shape) * math.sqrt((nu - 2.0) / nu)
    z = np.hstack((z, -z))
    return z, np.abs(z) - garch.MEAN_ABS


def _refit(
    r: F64,
    first: I64,
    last: I64,
    model: Model,
    dist: Dist,
    backcast: Backcast,
    guard: int,
    gain: float,
    start: F64 | None,
) -> Chain:
    slots, w = _slots(model, dist), first.size
    theta = np.zeros(6) if start is None else _theta(start, model, dist)
    params, loglik, counts = np.empty((w, 6)), np.empty(w), np.zeros((w, 5), np.int64)
    refit.refit_windows(
        r, first, last, _code(model), dist == "t", float(_rule(backcast) == "sample"),
        start is not None, guard, gain, _MOST, theta, np.empty(int((last - first).max())),
        np.zeros((refit.ROOM, 6)), params, loglik, counts,
    )  # fmt: skip
    converged, starts, iterations, better, lost = counts.T
    return Chain(
        np.ascontiguousarray(params[:, slots]),
        loglik,
        converged.astype(bool),
        starts.copy(),
        iterations.copy(),
        guarded=(starts > refit.STARTS) & (lost == 0),
        rescued=better.astype(bool),
        fallback=lost.astype(bool),
    )


def _code(model: Model) -> int:
    if model not in get_args(Model):
        raise ModelError(f"got model {model!r}, wanted one of {', '.join(get_args(Model))}")
    return get_args(Model).index(model)


def _rule(backcast: Backcast) -> Backcast:
    if backcast not in get_args(Backcast):
        raise ModelError(
            f"got backcast {backcast!r}, wanted one of {', '.join(get_args(Backcast))}"
        )
    return backcast


def _slots(model: Model, dist: Dist) -> list[int]:
    """The kernels' parameter slots, of six, that this model has."""
    if dist not in get_args(Dist):
        raise ModelError(f"got errors {dist!r}, wanted one of {', '.join(get_args(Dist))}")
    return [0, 1, 2, *([3] if _code(model) else []), 4, *([5] if dist == "t" else [])]


def _theta(params: F64, model: Model, dist: Dist) -> F64:
    """The six parameter slots; nu is 8 for models without it."""
    slots = _slots(model, dist)
    theta = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 8.0])
    given = np.asarray(params, np.float64)
    if given.shape != (len(slots),) or not np.isfinite(given).all():
        wanted = ", ".join(parameter_names(model, dist))
        raise ModelError(f"got parameters {given.tolist()}, wanted {wanted}, all finite")
    theta[slots] = given
    _, omega, alpha, gamma, beta, nu = theta
    if model != "egarch" and not (omega > 0.0 and min(alpha, alpha + gamma, beta) >= 0.0):
        raise ModelError(f"got parameters {given.tolist()}, wanted omega > 0, alpha, alpha + gamma"
                         " and beta >= 0")  # fmt: skip
    if nu <= 2.0:
        raise ModelError(f"got parameters {given.tolist()}, wanted nu > 2")
    return theta


def _backcast(centred: F64, backcast: Backcast) -> float:
    """The variance before the first return, of returns with mean 0."""
    squares = centred * centred
    if _rule(backcast) == "sample":
        return float(squares.mean())
    first = squares[:75]
    weighted = float(np.average(first, weights=0.94 ** np.arange(first.size)))
    return max(weighted, 1e-6 * float(squares.mean()))  # above 0, as in the kernel


def _checked(returns: F64) -> F64:
    r = np.ascontiguousarray(returns, np.float64)
    if reason := unfit(r):
        raise ModelError(reason)
    return r


def unfit(r: F64) -> str | None:
    """Why no model can be fitted on returns (n,); None if one can."""
    if r.ndim != 1 or r.size < FEWEST:
        return f"{r.size} returns, wanted {FEWEST} or more in one series"
    if not np.isfinite(r).all():
        bad = int(np.argmin(np.isfinite(r)))
        return f"return {bad} is {r[bad]}, wanted finite returns"
    if np.ptp(r) == 0.0:
        return f"all {r.size} returns are {r[0]}: no variance to model"
    return None
