"""Group scores, tests of ability, VaR, distributions and documents as a record's tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.durations import iso_moment
from harness.inference.findings import Finding
from harness.scores.distribution.assess import (
    CoverageRow,
    DistributionRow,
    Distributions,
    FanRow,
    PitRow,
    QuantileRow,
)
from harness.scores.groups import Adaptation, GroupScores
from harness.scores.metrics import METRICS, columns_of
from harness.scores.risk.assess import PathRow, Risk, RiskRow, WinRow
from harness.spec.sections import Document
from harness.tables import Table, table
from harness.types import F64

if TYPE_CHECKING:
    from harness.spec.sections import Acceptance

_SCORES = ("horizon", "kind", "name", "model", "metric", "value", "n")
_WINS = ("horizon", "kind", "model", "baseline", "metric", "wins", "groups")
_ADAPTATION = ("horizon", "regime", "loss", "shifts", "model", "decision", "cumulative", "usual")


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
        for metric, value in zip(columns_of(values), figures, strict=True)
    ]


def _wins(groups: Sequence[GroupScores], rule: Acceptance) -> list[tuple[Any, ...]]:
    """In how many groups each model beats the baseline, by every metric."""
    return [
        (g.horizon, g.kind, model, rule.baseline, metric, won, sum(n > 0 for n in g.n))
        for g in groups
        for model, values in g.values.items()
        if model != rule.baseline
        for metric, won in _won(values, g.values[rule.baseline])
    ]


def _won(own: F64, base: F64) -> Iterator[tuple[str, int]]:
    """Every metric, and in how many of the g groups its figures (g, M) are better."""
    names = columns_of(own)
    signs = np.array([1.0 if METRICS[name].higher else -1.0 for name in names])
    return zip(names, np.sum(signs * (own - base) > 0.0, axis=0).tolist(), strict=True)


def _adaptation(adaptations: Sequence[Adaptation]) -> list[tuple[Any, ...]]:
    return [
        (a.horizon, a.regime, a.loss, a.shifts, model, origin, value, a.usual[model])
        for a in adaptations
        for model, path in a.cumulative.items()
        for origin, value in enumerate(path.tolist(), 1)
    ]


_COLUMNS = tuple(field.name for field in fields(Finding))


def ability_table(horizon: str, findings: Sequence[Finding]) -> Table:
    """`ability`: one row per test and model; inference/table.py defines the figures."""
    rows = [(horizon, *(getattr(f, name) for name in _COLUMNS)) for f in findings]
    return table(("horizon", *_COLUMNS), rows)


def distribution_tables(found: Sequence[Distributions]) -> dict[str, Table]:
    """`distribution`, `quantiles`, `coverage`, `pit` and `fan`; none without [distribution]."""
    if not found:
        return {}
    fan = table(FanRow._fields, [row for part in found for row in part.fans])
    fan["formed_at"] = [iso_moment(formed) for formed in fan["formed_at"]]
    return {
        "distribution": table(DistributionRow._fields, [r for part in found for r in part.rows]),
        "quantiles": table(QuantileRow._fields, [r for part in found for r in part.quantiles]),
        "coverage": table(CoverageRow._fields, [r for part in found for r in part.coverage]),
        "pit": table(PitRow._fields, [r for part in found for r in part.pits]),
        "fan": fan,
    }


def document_tables(document: Document | None) -> dict[str, Table]:
    """`documents`, one row, and `reported`, one row per figure; neither without [document]."""
    if document is None:
        return {}
    d = document
    figures = [
        (metric, model, value)
        for metric, by_model in d.figures.items()
        for model, value in by_model.items()
    ]
    head = ("title", "place", "says", "differs", "right_if", "gain")
    return {
        "documents": table(head, [tuple(getattr(d, key) for key in head)]),
        "reported": table(("metric", "model", "value"), figures),
    }


def risk_tables(risks: Sequence[Risk]) -> dict[str, Table]:
    """`risk`, `risk_wins` and `risk_path`, column by column; none without [risk]."""
    if not risks:
        return {}
    path = table(PathRow._fields, [row for risk in risks for row in risk.paths])
    path["formed_at"] = [_iso(formed) for formed in path["formed_at"]]
    return {
        "risk": table(RiskRow._fields, [row for risk in risks for row in risk.rows]),
        "risk_wins": table(WinRow._fields, [row for risk in risks for row in risk.wins]),
        "risk_path": path,
    }


def _iso(moment_ns: int) -> str:
    return f"{np.datetime64(moment_ns, 'ns').astype('M8[us]')}+00:00"
