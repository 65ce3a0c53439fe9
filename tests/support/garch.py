"""Simulated GARCH returns, and the loops of GARCH on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from harness.kernels import refit
from harness.models.garch_likelihood import parameter_names
from harness.types import F64

# mu, omega, alpha, gamma, beta, nu
TRUTH = {
    "garch": np.array([0.03, 0.05, 0.09, 0.0, 0.86, 7.0]),
    "gjr": np.array([0.03, 0.05, 0.03, 0.12, 0.86, 7.0]),
    "egarch": np.array([0.03, 0.01, 0.15, -0.09, 0.95, 7.0]),
}
MODELS = tuple(TRUTH)


@cache
def simulated(model: str, dist: str, n: int = 1_500, seed: int = 1) -> F64:
    """Returns of the true model, drawn one after the other; read-only."""
    mu, omega, alpha, gamma, beta, nu = TRUTH[model]
    rng = np.random.default_rng(seed)
    shocks = rng.standard_normal(n + 300)
    if dist == "t":
        shocks = rng.standard_t(nu, n + 300) * math.sqrt((nu - 2.0) / nu)
    h, r = 1.0, np.empty(n + 300)
    for t, z in enumerate(shocks):
        e = math.sqrt(h) * z
        r[t] = mu + e
        if model == "egarch":
            news = alpha * (abs(z) - math.sqrt(2.0 / math.pi)) + gamma * z
            h = math.exp(omega + news + beta * math.log(h))
        else:
            h = omega + (alpha + gamma * (e < 0.0)) * e * e + beta * h
    r.setflags(write=False)
    return r[300:]


def true_params(model: str, dist: str) -> F64:
    names = ("mu", "omega", "alpha", "gamma", "beta", "nu")
    return np.array([TRUTH[model][names.index(name)] for name in parameter_names(model, dist)])


def likelihood_cases() -> Iterator[tuple]:
    for code, follow in itertools.product(range(3), (0.0, 1.0)):
        for student in (0, 1):
            r = simulated(MODELS[code], "t", 101) - 0.01
            room = np.zeros(6), np.zeros((6, 6)), np.zeros(6)
            yield TRUTH[MODELS[code]].copy(), code, student, r, 0.7, follow, *room


def variance_cases() -> Iterator[tuple]:
    for code in range(3):
        r = simulated(MODELS[code], "t", 50)
        for low, high in [(-30.0, 30.0), (-0.2, 0.1)]:
            yield TRUTH[MODELS[code]].copy(), code, r, 0.7, low, high, np.empty(51)


def refit_cases() -> Iterator[tuple]:
    first, last = np.array([0, 3]), np.array([40, 43])
    for code, student, warm in [(0, 0, 0), (1, 1, 1), (2, 1, 0)]:
        r, start = simulated(MODELS[code], "t", 43), TRUTH[MODELS[code]].copy()
        out = np.zeros((2, 6)), np.zeros(2), np.zeros((2, 5), np.int64)
        room = np.empty(40), np.zeros((refit.ROOM, 6))
        # Four likelihoods do not converge: the starts after a failed climb are run too.
        yield r, first, last, code, student, float(warm), warm, 1, 1e-8, 4, start, *room, *out


CASES: dict[str, Callable[[], Iterator[tuple]]] = {  # compared in test_kernels.py
    "garch.log_likelihood": likelihood_cases,
    "garch.variances": variance_cases,
    "refit.refit_windows": refit_cases,
}
