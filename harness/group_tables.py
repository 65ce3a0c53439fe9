"""Scores by group and adaptation after shifts as a record's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.groups import Adaptation, GroupScores
from harness.metrics import METRICS
from harness.tables import Table, table

if TYPE_CHECKING:
    from harness.sections import Acceptance

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
    """In how many groups each model beats the baseline, by the declared metric."""
    sign = 1.0 if METRICS[rule.metric].higher else -1.0
    rows = []
    for g in groups:
        figures = g.of(rule.metric)
        for model, values in figures.items():
            if model != rule.baseline:
                better = sign * (values - figures[rule.baseline]) > 0.0
                head = g.horizon, g.kind, model, rule.baseline, rule.metric
                rows.append((*head, int(better.sum()), sum(n > 0 for n in g.n)))
    return rows


def _adaptation(adaptations: Sequence[Adaptation]) -> list[tuple[Any, ...]]:
    return [
        (a.horizon, a.regime, a.loss, a.shifts, model, day, value)
        for a in adaptations
        for model, path in a.cumulative.items()
        for day, value in enumerate(path.tolist(), 1)
    ]
