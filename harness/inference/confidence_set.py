"""All models at once: the model confidence set, superior predictive ability and stepwise SPA.

The bootstraps are those of the package arch, imported when needed. Losses are by forecast origin,
those of a panel averaged over its symbols (ForecastOrigins). The block length is the longest
`block_length` of any loss difference. If blocks are long, losses are first averaged over runs of an
eighth of a block, and blocks consist of whole runs: arch draws every row of a draw separately and
stores its position, so a long sample would take minutes and gigabytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.inference.blocks import block_length, long_enough
from harness.inference.bootstrap import DRAWS
from harness.inference.diebold_mariano import cosine_terms, standard_error
from harness.scores.forecast_origins import ForecastOrigins
from harness.types import F64

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

    `statistic` is that t; `p_value` is the consistent one, `p_lower` and `p_upper` are its bounds.
    `superior` are the models that beat the baseline by StepM, at family-wise error `size`.
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

    Hansen, Lunde & Nason (2011), Econometrica 79, section 3.1.2: the range statistic T_R, with
    arch's stationary bootstrap. Models with equal losses share their p-value; a model whose loss
    exceeds another's by a constant at every origin has p-value 0.

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
    runs, length = in_runs(table, block)
    distinct, place = np.unique(runs, axis=1, return_inverse=True)
    found = np.ones(distinct.shape[1])
    if long_enough(n, overlap):
        level = _on_one_level(distinct)
        found[~level] = 0.0
        if level.sum() > 1:
            found[level] = _set_p_values(distinct[:, level], size, draws, length, seed)
    else:
        draws = 0
    p = dict(zip(names, found[place.ravel()].tolist(), strict=True))
    included = tuple(name for name in names if p[name] > size)
    return ConfidenceSet(excess, p, included, size, n, overlap, block, draws, seed)


def _set_p_values(losses: F64, size: float, draws: int, block: int, seed: int) -> F64:
    from arch.bootstrap import MCS

    # arch cannot pick the worst model if two pairs are exactly equally far apart.
    apart = np.exp(-np.arange(losses.shape[1]) / 7.0) * _ROUNDING * float(np.ptp(losses))
    test = MCS(losses + apart, size, reps=draws, block_size=block, method="R", seed=seed)
    test.compute()
    return test.pvalues["Pvalue"].sort_index().to_numpy(dtype=np.float64)


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

    SPA: Hansen (2005), JBES 23, section 2. StepM: Romano & Wolf (2005), Econometrica 73,
    algorithm 3.1. Both use arch's stationary bootstrap with the same draws. arch compares plain
    means; here the differences are first divided by their HAC standard deviations, which gives the
    studentised statistic of both papers.

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
    sd = np.array([_standard_deviation(column, overlap) for column in d.T])
    kept = np.flatnonzero(sd > 0.0)
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
    if not long_enough(n, overlap) or not kept.size:
        return none
    studentised = d[:, kept] / sd[kept]
    t = math.sqrt(n) * studentised.mean(axis=0)
    best = int(t.argmax())
    p, superior = _step_m(*in_runs(studentised, block), size=size, draws=draws, seed=seed)
    return replace(
        none,
        best=others[kept[best]],
        gain=float(d[:, kept[best]].mean()),
        statistic=float(t[best]),
        p_value=p["consistent"],
        p_lower=p["lower"],
        p_upper=p["upper"],
        superior=tuple(others[kept[k]] for k in superior),
        draws=draws,
    )


def _step_m(
    d: F64, block: int, *, size: float, draws: int, seed: int
) -> tuple[dict[str, float], list[int]]:
    """SPA's p-values and StepM's superior columns of loss differences (n, k), positive for better.

    `nested` because arch's other variance estimator takes time that grows with n squared.
    """
    from arch.bootstrap import SPA

    test = SPA(np.zeros(d.shape[0]), -d, block_size=block, reps=draws, nested=True, seed=seed)
    left = np.ones(d.shape[1], dtype=np.bool_)
    # arch's own StepM goes on when no column is left, which it cannot.
    while left.any():
        test.subset(left)
        test.compute()
        better = np.asarray(test.better_models(size), dtype=np.int64)
        if not better.size:
            break
        left[better] = False
    superior = np.flatnonzero(~left).tolist()
    test.subset(np.ones(d.shape[1], dtype=np.bool_))
    test.compute()  # again with all columns, from the same draws
    return {k: float(v) for k, v in test.pvalues.items()}, superior


def _standard_deviation(d: F64, overlap: int) -> float:
    """The square root of the long-run variance of d (n,); 0 if d is constant."""
    error = standard_error(d, cosine_terms(d.size, overlap))
    return 0.0 if math.isnan(error) else math.sqrt(d.size) * error


def _block(differences: F64, overlap: int) -> float:
    """The longest block length of any column's difference, in forecast origins."""
    return max(block_length(column, overlap) for column in differences.T)


def in_runs(table: F64, block: float) -> tuple[F64, int]:
    """Columns (n, k) averaged over runs of block / 8 rows (r, k), and the block length in runs.

    Every row is a run if blocks are below 16 rows. Means stay the same; lengths of runs differ by
    one row at most.
    """
    n = table.shape[0]
    count = n // max(1, int(block // 8))
    starts = np.arange(count, dtype=np.int64) * n // count
    runs = ForecastOrigins(starts, n)
    averages = np.column_stack([runs.averages(column) for column in table.T])
    return averages, max(1, min(math.ceil(block * count / n), count))


def _table(test: str, losses: Mapping[str, F64]) -> tuple[list[str], F64]:
    table = np.column_stack(list(losses.values()))
    if not table.shape[0] or not np.isfinite(table).all():
        raise ValueError(f"{test}: got a loss that is not finite, or none")
    return list(losses), table
