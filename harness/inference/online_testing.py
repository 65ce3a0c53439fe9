"""Online control of the false discovery rate: tests come one after another, without an end.

Each test is given a level from what is left of a budget `alpha`; a rejection earns new budget. The
level of a test depends on earlier tests alone, so later tests change no earlier decision. Tests may
overlap in time: a test knows only the results of those that had ended when it started (Zrnic,
Ramdas & Jordan 2021, J. Machine Learning Research 22). The false discovery rate is at most `alpha`
for independent p-values; tests on one panel are not independent, and Holm's method, which holds
under any dependence, stands beside these.
"""

from __future__ import annotations

import bisect
import heapq
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.inference.multiple_testing import probabilities
from harness.types import F64, I64

_LORD_SUM, _SAFFRON_SUM = 0.07720838, 0.4374901658  # so that the weights of all tests sum to 1
_LORD_START = 0.1  # share of alpha to begin with, as in Javanmard & Montanari (2018)
_SAFFRON_START, _CANDIDATE = 0.5, 0.5  # share of alpha to begin with; p-values below are candidates


@dataclass(frozen=True)
class OnlineTests:
    """The level (n,) at which each test was made, and whether it was `rejected` (n,)."""

    level: F64
    rejected: NDArray[np.bool_]


def lord(
    p: ArrayLike, alpha: float, started: I64 | None = None, ended: I64 | None = None
) -> OnlineTests:
    """LORD++ over p-values (n,) in the order of their tests.

    Ramdas, Yang, Wainwright & Jordan (2017), NeurIPS 30, with the weights of Javanmard & Montanari
    (2018), Annals of Statistics 46. `started` and `ended` (n,) are when each test began and ended,
    in any unit; None: each ended before the next began. ValueError unless p is (n,) numbers in
    [0, 1] and `started` ascends.
    """
    values = probabilities(p)
    none = np.zeros(values.size, bool)
    budget = _Budget(alpha, _LORD_START, _lord_weights(values.size))
    return _in_order(values, budget, none, *_times(values.size, started, ended))


def saffron(
    p: ArrayLike, alpha: float, started: I64 | None = None, ended: I64 | None = None
) -> OnlineTests:
    """SAFFRON over p-values (n,) in the order of their tests.

    Ramdas, Zrnic, Wainwright & Jordan (2018), ICML 80: LORD++ that spends nothing on tests whose
    p-values are candidates, at most one half. Arguments and errors as in `lord`.
    """
    values = probabilities(p)
    weights = _SAFFRON_SUM / np.arange(1.0, values.size + 1.0) ** 1.6
    budget = _Budget((1.0 - _CANDIDATE) * alpha, _SAFFRON_START, weights)
    candidates = values <= _CANDIDATE
    return _in_order(values, budget, candidates, *_times(values.size, started, ended))


class _Budget(NamedTuple):
    """What there is to spend, the share of it to begin with, and its weights (n,) over tests."""

    whole: float
    start: float
    weights: F64


def _in_order(
    p: F64, budget: _Budget, candidates: NDArray[np.bool_], started: I64, ended: I64
) -> OnlineTests:
    """Each test's level and decision, from the tests that had ended when it started.

    A weight's place is the number of tests since a rejection (or since the beginning), without the
    candidates among them.
    """
    level, rejected = np.zeros(p.size), np.zeros(p.size, bool)
    running: list[tuple[int, int]] = []  # a heap of tests that have not ended, by their end
    passed = 0  # candidates that are known
    after: dict[int, int] = {}  # rejection -> the known candidates after it
    known: list[int] = []  # rejections, oldest first
    for t in range(p.size):
        while running and running[0][0] <= started[t]:
            _, done = heapq.heappop(running)
            if rejected[done]:
                bisect.insort(known, done)
            if candidates[done]:
                passed += 1
                for r in after:
                    after[r] += r < done
        places = np.array([t - r - 1 - after[r] for r in known], np.int64)
        spent = budget.start * budget.weights[t - passed] + _paid(budget, places)
        level[t] = min(_CANDIDATE, budget.whole * spent)  # LORD++ spends at most alpha, below that
        rejected[t] = p[t] <= level[t]
        if rejected[t]:
            after[t] = 0
        heapq.heappush(running, (int(ended[t]), t))
    return OnlineTests(level, rejected)


def _paid(budget: _Budget, places: I64) -> float:
    """What known rejections (r,), oldest first, pay: the first one less, by the budget's start."""
    if not places.size:
        return 0.0
    return float(budget.weights[places].sum() - budget.start * budget.weights[places[0]])


def _times(n: int, started: I64 | None, ended: I64 | None) -> tuple[I64, I64]:
    """When n tests started and ended; one after another where that is not said."""
    if started is None or ended is None:
        return np.arange(n), np.arange(1, n + 1)
    if started.shape != (n,) or ended.shape != (n,):
        raise ValueError(f"times: got shapes {started.shape} and {ended.shape}, wanted ({n},)")
    if np.any(started[1:] < started[:-1]):
        raise ValueError("times: got tests that are not in the order of their start")
    return started, ended


def _lord_weights(n: int) -> F64:
    """The weights (n,) of LORD: they fall slowly, and sum to 1 over all tests to come."""
    j = np.arange(1.0, n + 1.0)
    return _LORD_SUM * np.log(np.maximum(j, 2.0)) / (j * np.exp(np.sqrt(np.log(j))))
