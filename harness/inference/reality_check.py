"""Is the best of all candidates tried just luck? White's reality check and Hansen's SPA test.

Both ask whether the best of k mean gains exceeds the largest of k means of pure noise with the same
dependence, over the draws of `studentised`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.inference.bootstrap import DRAWS
from harness.inference.diebold_mariano import cosine_terms
from harness.inference.studentised import Studentised, normal_of, share, studentised
from harness.types import F64


@dataclass(frozen=True)
class RealityCheck:
    """P-values of "no candidate gains anything": White's (2000) and Hansen's SPA (2005)."""

    white: float
    spa: float


@dataclass(frozen=True)
class SuperiorPredictiveAbility:
    """Hansen's SPA: its p-value and the bounds of it, and which columns StepM finds superior.

    `consistent` recentres all gains but those that are clearly worse than none, `lower` all that
    are above none, `upper` all. `best` is the column with the largest t, `statistic` that t, 0 if
    it is below.
    """

    best: int
    statistic: float
    lower: float
    consistent: float
    upper: float
    superior: tuple[int, ...]


def reality_check(
    gains: F64, overlap: int, block: float, seed: int, draws: int = DRAWS
) -> RealityCheck:
    """Test gains (n, k) in time order: loss of the benchmark less loss of each candidate.

    `block` is the mean length of the bootstrap's blocks, in rows; targets overlap the next
    `overlap` rows'. White (2000), Econometrica 68, eq. 2.2: the largest mean gain against that of
    the draws. SPA: `superior_predictive_ability`. A candidate that never differs from the benchmark
    has no gain.
    """
    s = studentised(gains, overlap, block, draws, seed)
    if not s.varies.any():
        return RealityCheck(1.0, 1.0)
    cosines = cosine_terms(gains.shape[0], overlap)
    spa = superior_predictive_ability(s, gains.shape[0]).consistent
    return RealityCheck(_white(s, cosines), spa)


def _white(s: Studentised, cosines: int) -> float:
    """White's p-value: the largest mean in the root mean square of all standard errors.

    That square has as many degrees of freedom as its columns have independent parts: Satterthwaite
    (1946), Biometrics 2, cosines tr(C)^2 / tr(C^2) for the covariance C of the draws.
    """
    drawn = s.drawn * s.spread
    covariance = drawn.T @ drawn
    df = cosines * float(np.trace(covariance)) ** 2 / float(np.square(covariance).sum())
    largest = float((s.t * s.error).max()) / math.sqrt(float(np.square(s.error).mean()))
    drawn /= math.sqrt(float(np.square(s.spread).mean()))
    return share(drawn.max(axis=1) >= normal_of(largest, df))


def superior_predictive_ability(
    s: Studentised, n: int, size: float = 0.05
) -> SuperiorPredictiveAbility:
    """SPA and StepM of studentised gains over n rows, of which some vary.

    Hansen (2005), JBES 23, eq. 5-7: the statistic is the largest t, at least 0, and so is that of
    every draw; gains below zero by more than sqrt(2 ln ln n) standard errors are not recentred.
    StepM: Romano & Wolf (2005), Econometrica 73, algorithm 3.1, at family-wise error `size`, with
    the same draws.
    """
    best = int(s.z.argmax())
    clearly = s.z < -math.sqrt(2.0 * math.log(math.log(max(n, 3))))
    shifts = np.minimum(s.z, 0.0), np.where(clearly, s.z, 0.0), np.zeros(s.z.size)
    lower, consistent, upper = (
        share(_largest(s.drawn + shift) >= max(float(s.z[best]), 0.0)) for shift in shifts
    )
    superior = _stepwise(s.drawn + shifts[1], s.z, size)
    return SuperiorPredictiveAbility(
        best, max(float(s.t[best]), 0.0), lower, consistent, upper, superior
    )


def _largest(drawn: F64) -> F64:
    """The largest of each draw (draws, k), at least 0, as the statistic is."""
    return np.maximum(drawn.max(axis=1), 0.0)


def _stepwise(drawn: F64, z: F64, size: float) -> tuple[int, ...]:
    """Columns that exceed the draws of all columns that were not yet found, step by step."""
    left: NDArray[np.bool_] = np.ones(z.size, dtype=np.bool_)
    while left.any():
        largest = _largest(drawn[:, left])
        found = [k for k in np.flatnonzero(left) if share(largest >= max(z[k], 0.0)) <= size]
        if not found:
            break
        left[found] = False
    return tuple(np.flatnonzero(~left).tolist())
