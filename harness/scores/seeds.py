"""Scores with several seeds: means over seeds, which the tables show, and each seed's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.scores.groups import GroupScores
from harness.scores.metrics import columns_of
from harness.scores.scoring import Scores
from harness.tables import Table, table
from harness.types import F64


@dataclass(frozen=True)
class SeedScores:
    """The pooled figures of one model fitted with one seed: every metric (M,)."""

    horizon: str
    model: str
    seed: int
    figures: F64


def over_seeds(each: Sequence[Scores]) -> Scores:
    """Scores with means over the seeds for models that were fitted with several."""
    first, *further = each
    return replace(
        first,
        pooled=_means(first.pooled, [s.pooled for s in further]),
        windows=_means(first.windows, [s.windows for s in further]),
    )


def groups_over_seeds(each: Sequence[tuple[GroupScores, ...]]) -> tuple[GroupScores, ...]:
    """The same for scores by group."""
    return tuple(
        replace(first, values=_means(first.values, [g.values for g in further]))
        for first, *further in zip(*each, strict=True)
    )


def _means(first: Mapping[str, F64], further: Sequence[Mapping[str, F64]]) -> dict[str, F64]:
    return {
        name: np.mean([own, *(f[name] for f in further if name in f)], axis=0)
        if any(name in f for f in further)
        else own
        for name, own in first.items()
    }


def by_seed(seed: int, each: Sequence[Scores]) -> list[SeedScores]:
    """Pooled figures by seed of the models fitted with several; `seed` is the first."""
    first, *further = each
    repeated = dict.fromkeys(name for s in further for name in s.pooled)
    return [
        SeedScores(first.horizon, name, seed + k, s.pooled[name])
        for name in repeated
        for k, s in enumerate(each)
    ]


def seeds_table(found: Sequence[SeedScores]) -> Table:
    """`seeds`: every metric by model and seed."""
    rows = [
        (s.horizon, s.model, s.seed, metric, value)
        for s in found
        for metric, value in zip(columns_of(s.figures), s.figures.tolist(), strict=True)
    ]
    return table(("horizon", "model", "seed", "metric", "value"), rows)
