"""All models at once: the model confidence set, superior predictive ability and its stepwise form.

The bootstraps are arch's; it is imported where one is asked for. Losses are by decision time,
those of a panel averaged over its symbols first (dates.Dates). Blocks are `block_length`'s of the
loss differences, the longest that any asks for. Where they are long, losses are averaged over runs
of an eighth of a block first, and blocks are made of whole runs: arch draws every row of a draw
apart and keeps its place, so that a long sample would take minutes and gigabytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
    """`excess`: each model's mean loss above the least one, in the loss' unit.

    `p_values` are the set's (Hansen, Lunde & Nason, definition 4): a model is in the set at level
    1 - a if its p-value is above a. `included` are those at `size`.
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
    """`gain`: the mean loss of the baseline less that of `best`, the largest by its t.

    `statistic` is that t; `p_value` the consistent one, `p_lower` and `p_upper` its bounds.
    `superior` are the models that StepM says beat the baseline, at family-wise error `size`.
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
    """The models among which the best one is, with confidence 1 - size.

    Hansen, Lunde & Nason (2011), Econometrica 79, section 3.1.2: the range statistic T_R, with
    arch's stationary bootstrap. Models whose losses are the same share their p-value; one that
    loses the same amount more than another at every decision has 0.

    Args:
        losses: model -> (n,) by decision time; two models at least.
        overlap: decisions whose targets a target shares.
        size: one less the confidence.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        Every model included, with p-value 1, where the sample is too short for blocks.

    Raises:
        ValueError: for losses that are not finite, or of fewer than two models.
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

    # arch cannot tell which model is the worst where two pairs are exactly as far apart.
    apart = np.exp(-np.arange(losses.shape[1]) / 7.0) * _ROUNDING * float(np.ptp(losses))
    test = MCS(losses + apart, size, reps=draws, block_size=block, method="R", seed=seed)
    test.compute()
    return test.pvalues["Pvalue"].sort_index().to_numpy(dtype=np.float64)


def _on_one_level(losses: F64) -> NDArray[np.bool_]:
    """Which columns (n, k) do not exceed another one by a constant: (k,)."""
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
    """Does any model beat the baseline, and which, however many were tried?

    SPA: Hansen (2005), JBES 23, section 2. StepM: Romano & Wolf (2005), Econometrica 73,
    algorithm 3.1. Both by arch's stationary bootstrap of the same draws. arch compares plain means;
    the differences it is given here are divided by their HAC standard deviations first, which
    makes it the studentised statistic of both papers.

    Args:
        losses: model -> (n,) by decision time.
        baseline: the model to beat.
        overlap: decisions whose targets a target shares.
        size: family-wise error of StepM.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        (0, 1), no best model and none superior where the sample is too short for blocks, or no
        model differs from the baseline by more than a constant.

    Raises:
        ValueError: for losses that are not finite, or a baseline that is not among them.
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

    `nested`, since arch's other way to a variance takes time that grows with n squared.
    """
    from arch.bootstrap import StepM

    test = StepM(
        np.zeros(d.shape[0]), -d, size, block_size=block, reps=draws, nested=True, seed=seed
    )
    test.compute()
    test.spa.compute()  # with all columns again, from the draws it has
    superior: Sequence[Any] = test.superior_models  # places of the columns: an array has no names
    return {k: float(v) for k, v in test.spa.pvalues.items()}, [int(k) for k in superior]


def _standard_deviation(d: F64, overlap: int) -> float:
    """The root of the long-run variance of d (n,); 0 where it is constant."""
    error = standard_error(d, cosine_terms(d.size, overlap))
    return 0.0 if math.isnan(error) else math.sqrt(d.size) * error


def _block(differences: F64, overlap: int) -> float:
    """The longest that the difference of any column asks for, in decisions."""
    return max(block_length(column, overlap) for column in differences.T)


def in_runs(table: F64, block: float) -> tuple[F64, int]:
    """Columns (n, k) averaged over runs of block / 8 rows (r, k), and the block in whole runs.

    Every row is a run where blocks are under 16 rows. Means are the rows'; runs differ by a row
    at most.
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
