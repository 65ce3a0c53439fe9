"""Scores by group and adaptation after shifts as a record's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.scores.groups import Adaptation, GroupScores
from harness.scores.metrics import METRICS
from harness.tables import Table, table
from harness.types import F64

if TYPE_CHECKING:
    from harness.spec.sections import Acceptance

_SCORES = ("horizon", "kind", "name", "model", "metric", "value", "n")
_WINS = ("horizon", "kind", "model", "baseline", "metric", "wins", "groups")
_ADAPTATION = ("horizon", "regime", "loss", "shifts", "model", "decision", "cumulative")


def group_tables(
    groups: Sequence[GroupScores], adaptations: Sequence[Adaptation], rule: Acceptance
) -> dict[str, Table]:
    """`group_scores`, `group_wins` and `adaptation`, column by column."""
    return {
        "group_scores": table(_SCORES, _scores(groups)),
        "group_wins": table(_WINS, _wins(groups, rule)),
        "adaptation": table(_ADAPTATION, _adaptation(adaptations)),
    }


def _scores(groups: Sequence[GroupScores]) -> list[tuple[Any, ...]]:
    return [
        (g.horizon, g.kind, name, model, metric, value, n)
        for g in groups
        for model, values in g.values.items()
        for name, n, figures in zip(g.groups, g.n, values.tolist(), strict=True)
        for metric, value in zip(METRICS, figures, strict=True)
    ]


def _wins(groups: Sequence[GroupScores], rule: Acceptance) -> list[tuple[Any, ...]]:
    """In how many groups each model beats the baseline, by every metric."""
    return [
        (g.horizon, g.kind, model, rule.baseline, metric, won, sum(n > 0 for n in g.n))
        for g in groups
        for model, values in g.values.items()
        if model != rule.baseline
        for metric, won in zip(METRICS, _won(values, g.values[rule.baseline]), strict=True)
    ]


def _won(own: F64, base: F64) -> list[int]:
    """How many groups of (g, 12) figures are better, by metric."""
    signs = [1.0 if m.higher else -1.0 for m in METRICS.values()]
    return np.sum(signs * (own - base) > 0.0, axis=0).tolist()


def _adaptation(adaptations: Sequence[Adaptation]) -> list[tuple[Any, ...]]:
    return [
        (a.horizon, a.regime, a.loss, a.shifts, model, day, value)
        for a in adaptations
        for model, path in a.cumulative.items()
        for day, value in enumerate(path.tolist(), 1)
    ]
