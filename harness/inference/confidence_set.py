"""All models at once: the model confidence set, superior predictive ability and stepwise SPA.

Losses are by forecast origin, those of a panel averaged over its symbols (ForecastOrigins). The
block length is the longest `block_length` of any loss difference. `studentised` says how draws and
standard errors are made. The 90 % confidence set of four equal models kept all four in 81 and 86 %
of samples of 100 and 300 independent losses before, in 90 and 89 % now; with targets over 4 origins
in 77 % of samples of 300, now in 88 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.inference.blocks import block_length, bootstrap_sums, long_enough
from harness.inference.bootstrap import DRAWS
from harness.inference.diebold_mariano import cosine_projections, cosine_terms
from harness.inference.reality_check import superior_predictive_ability
from harness.inference.studentised import normal_of, share, studentised
from harness.types import F64, I64

_ROUNDING = 1e-12  # of the size of losses


@dataclass(frozen=True)
class ConfidenceSet:
    """`excess`: each model's mean loss above the lowest one, in the loss' unit.

    `p_values` are MCS p-values (Hansen, Lunde & Nason, definition 4): a model is in the set at
    level 1 - a if its p-value is above a. `included` are the models in the set at `size`.
    """

    excess: dict[str, float]
    p_values: dict[str, float]
    included: tuple[str, ...]
    size: float
    n: int
    overlap: int
    block: float
    draws: int
    seed: int


@dataclass(frozen=True)
class SuperiorAbility:
    """`gain`: the mean loss of the baseline less that of `best`, the model with the largest t.

    `statistic` is that t, 0 if it is below; `p_value` is the consistent one, `p_lower` and
    `p_upper` are its bounds. `superior` are the models that beat the baseline by StepM, at
    family-wise error `size`.
    """

    best: str | None
    gain: float
    statistic: float
    p_value: float
    p_lower: float
    p_upper: float
    superior: tuple[str, ...]
    size: float
    n: int
    overlap: int
    block: float
    draws: int
    seed: int


def model_confidence_set(
    losses: Mapping[str, F64],
    overlap: int,
    *,
    size: float = 0.1,
    draws: int = DRAWS,
    seed: int = 0,
) -> ConfidenceSet:
    """The set of models that contains the best one with confidence 1 - size.

    Hansen, Lunde & Nason (2011), Econometrica 79, section 3.1.2: the range statistic T_R over a
    stationary bootstrap. Models with equal losses share their p-value; a model whose loss exceeds
    another's by a constant at every origin has p-value 0.

    Args:
        losses: model -> (n,) by forecast origin; at least two models.
        overlap: following origins whose targets share bars with a target.
        size: 1 - the confidence level.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        All models, with p-value 1, if the sample is too short for blocks.

    Raises:
        ValueError: if losses are not finite, or of fewer than two models.
    """
    names, table = _table("model_confidence_set", losses)
    if len(names) < 2:
        raise ValueError(f"model_confidence_set: got {len(names)} models, wanted two or more")
    n, means = table.shape[0], table.mean(axis=0)
    excess = dict(zip(names, (means - means.min()).tolist(), strict=True))
    block = _block(table - table[:, :1], overlap)
    distinct, place = _distinct(table)
    found = np.ones(distinct.size)
    if long_enough(n, overlap):
        level = _on_one_level(table[:, distinct])
        found[~level] = 0.0
        if level.sum() > 1:
            found[level] = _set_p_values(table[:, distinct[level]], overlap, block, draws, seed)
    else:
        draws = 0
    p = dict(zip(names, found[place].tolist(), strict=True))
    included = tuple(name for name in names if p[name] > size)
    return ConfidenceSet(excess, p, included, size, n, overlap, block, draws, seed)


def _distinct(losses: F64) -> tuple[I64, I64]:
    """The first of all columns (n, k) that are equal up to rounding, and each column's place."""
    first: list[int] = []
    place = np.empty(losses.shape[1], dtype=np.int64)
    for k, own in enumerate(losses.T):
        apart = np.abs(losses[:, first] - own[:, None]).max(axis=0, initial=0.0)
        same = np.flatnonzero(apart <= _ROUNDING * np.abs(own).max())
        place[k] = same[0] if same.size else len(first)
        first += [] if same.size else [k]
    return np.array(first, dtype=np.int64), place


def _set_p_values(losses: F64, overlap: int, block: float, draws: int, seed: int) -> F64:
    """MCS p-values of losses (n, k), two or more columns of which no pair differs by a constant.

    The worst model leaves step by step: the one that exceeds any other by the largest t. Which one
    that is does not depend on the draws. So the largest t of all pairs is found from the last two
    models back, and every pair is drawn once.
    """
    k = losses.shape[1]
    z = _pairs(losses, overlap)
    order, left = [], np.ones(k, dtype=np.bool_)
    for _ in range(k):
        worst = np.where(left, z[:, left].max(axis=1), -np.inf)
        order.append(int(worst.argmax()))
        left[order[-1]] = False
    drawn = bootstrap_sums(losses - losses.mean(axis=0), block, draws, seed)
    largest, observed, p = np.zeros(draws), 0.0, np.ones(k)
    for step in range(k - 2, -1, -1):
        own, others = order[step], order[step + 1 :]
        apart = drawn[:, [own]] - drawn[:, others]
        spread = apart.std(axis=0)
        largest = np.maximum(largest, (np.abs(apart) / spread).max(axis=1))
        observed = max(observed, float(np.abs(z[own, others]).max()))
        p[step] = share(largest >= observed)
    found = np.empty(k)
    found[order] = np.maximum.accumulate(p)
    return found


def _pairs(losses: F64, overlap: int) -> F64:
    """z of every pair (k, k): by how much the loss of the row exceeds that of the column."""
    n, k = losses.shape
    cosines = cosine_terms(n, overlap)
    projected, mean = cosine_projections(losses, cosines), losses.mean(axis=0)
    z = np.zeros((k, k))
    for row in range(k):
        error = np.sqrt(np.square(projected - projected[:, [row]]).mean(axis=0) / n)
        for column in range(row):
            z[row, column] = normal_of(float((mean[row] - mean[column]) / error[column]), cosines)
            z[column, row] = -z[row, column]
    return z


def _on_one_level(losses: F64) -> NDArray[np.bool_]:
    """Which columns (n, k) do not exceed another column by a constant: (k,)."""
    found = np.ones(losses.shape[1], dtype=np.bool_)
    for k, own in enumerate(losses.T):
        more = own[:, None] - losses
        still = np.ptp(more, axis=0) <= _ROUNDING * np.abs(own).max()
        found[k] = not (still & (more[0] > 0.0)).any()
    return found


def superior_ability(
    losses: Mapping[str, F64],
    baseline: str,
    overlap: int,
    *,
    size: float = 0.05,
    draws: int = DRAWS,
    seed: int = 0,
) -> SuperiorAbility:
    """Does any model beat the baseline, allowing for the number of models, and which ones do?

    `superior_predictive_ability` says how: SPA is that of the reality check.

    Args:
        losses: model -> (n,) by forecast origin.
        baseline: the model to beat.
        overlap: following origins whose targets share bars with a target.
        size: family-wise error of StepM.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        Statistic 0, p-value 1, no best and no superior model if the sample is too short for
        blocks, or no model differs from the baseline by more than a constant.

    Raises:
        ValueError: if losses are not finite, or the baseline is not among them.
    """
    names, table = _table("superior_ability", losses)
    if baseline not in names:
        raise ValueError(f"superior_ability: no losses of the baseline {baseline}")
    n = table.shape[0]
    others = [name for name in names if name != baseline]
    d = table[:, [names.index(baseline)]] - table[:, [names.index(name) for name in others]]
    block = _block(d, overlap)
    none = SuperiorAbility(
        best=None,
        gain=0.0,
        statistic=0.0,
        p_value=1.0,
        p_lower=1.0,
        p_upper=1.0,
        superior=(),
        size=size,
        n=n,
        overlap=overlap,
        block=block,
        draws=0,
        seed=seed,
    )
    if not long_enough(n, overlap):
        return none
    ready = studentised(d, overlap, block, draws, seed)
    if not ready.varies.any():
        return none
    found, kept = superior_predictive_ability(ready, n, size), np.flatnonzero(ready.varies)
    best = kept[found.best]
    return replace(
        none,
        best=others[best],
        gain=float(d[:, best].mean()),
        statistic=found.statistic,
        p_value=found.consistent,
        p_lower=found.lower,
        p_upper=found.upper,
        superior=tuple(others[kept[k]] for k in found.superior),
        draws=draws,
    )


def _block(differences: F64, overlap: int) -> float:
    """The longest block length of any column's difference, in forecast origins."""
    return max(block_length(column, overlap) for column in differences.T)


def _table(test: str, losses: Mapping[str, F64]) -> tuple[list[str], F64]:
    table = np.column_stack(list(losses.values()))
    if not table.shape[0] or not np.isfinite(table).all():
        raise ValueError(f"{test}: got a loss that is not finite, or none")
    return list(losses), table
