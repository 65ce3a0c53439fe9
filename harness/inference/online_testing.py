"""Online control of the false discovery rate: tests come one after another, without an end.

Each test is given a level from what is left of a budget `alpha`; a rejection earns new budget. The
level of a test depends on earlier tests alone, so later tests change no earlier decision. Tests may
overlap in time: a test knows only the results of those that had ended when it started (Zrnic,
Ramdas & Jordan 2021, J. Machine Learning Research 22). The false discovery rate is at most `alpha`
for independent p-values; tests on one panel are not independent, and Holm's method, which holds
under any dependence, stands beside these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    weights = _lord_weights(values.size)
    level, rejected = np.zeros(values.size), np.zeros(values.size, bool)
    for t, known in enumerate(_known(values.size, started, ended)):
        earned = t - np.flatnonzero(rejected[:t] & known) - 1
        begun = weights[t] * _LORD_START
        level[t] = alpha * (begun + _paid(weights[earned], _LORD_START))
        rejected[t] = values[t] <= level[t]
    return OnlineTests(level, rejected)


def saffron(
    p: ArrayLike, alpha: float, started: I64 | None = None, ended: I64 | None = None
) -> OnlineTests:
    """SAFFRON over p-values (n,) in the order of their tests.

    Ramdas, Zrnic, Wainwright & Jordan (2018), ICML 80: LORD++ that spends nothing on tests whose
    p-values are candidates, at most one half. Arguments and errors as in `lord`.
    """
    values = probabilities(p)
    weights = _SAFFRON_SUM / np.arange(1.0, values.size + 1.0) ** 1.6
    candidates = values <= _CANDIDATE
    level, rejected = np.zeros(values.size), np.zeros(values.size, bool)
    for t, known in enumerate(_known(values.size, started, ended)):
        seen = candidates[:t] & known
        after = seen.sum() - np.cumsum(seen)  # candidates after each earlier test
        before = np.flatnonzero(rejected[:t] & known)
        earned = t - before - 1 - after[before]
        begun = weights[t - seen.sum()] * _SAFFRON_START
        spent = begun + _paid(weights[earned], _SAFFRON_START)
        level[t] = min(_CANDIDATE, (1.0 - _CANDIDATE) * alpha * spent)
        rejected[t] = values[t] <= level[t]
    return OnlineTests(level, rejected)


def _paid(weights: F64, start: float) -> float:
    """What earlier rejections pay: the first one alpha less the budget at the start, others alpha.

    Both as shares of alpha; `weights` are those of the rejections, oldest first.
    """
    return float(weights.sum()) - start * float(weights[0]) if weights.size else 0.0


def _known(n: int, started: I64 | None, ended: I64 | None) -> Iterator[NDArray[np.bool_]]:
    """For each of n tests, which of the earlier ones (t,) had ended when it started."""
    if started is None or ended is None:
        yield from (np.ones(t, bool) for t in range(n))
        return
    if started.shape != (n,) or ended.shape != (n,):
        raise ValueError(f"times: got shapes {started.shape} and {ended.shape}, wanted ({n},)")
    if np.any(started[1:] < started[:-1]):
        raise ValueError("times: got tests that are not in the order of their start")
    yield from (ended[:t] <= started[t] for t in range(n))


def _lord_weights(n: int) -> F64:
    """The weights (n,) of LORD: they fall slowly, and sum to 1 over all tests to come."""
    j = np.arange(1.0, n + 1.0)
    return _LORD_SUM * np.log(np.maximum(j, 2.0)) / (j * np.exp(np.sqrt(np.log(j))))
