"""Scores by regime, by label (such as sector) and by symbol; losses of each model after a shift."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.scores.losses import Values
from harness.scores.metrics import METRICS, columns_of, loss_of
from harness.scores.regimes import Marked
from harness.scores.scoring import score_groups, taken
from harness.types import F64, I64, Forecasts

_SHARE = 0.9  # of the largest excess loss after a shift: what a model has caught up at


@dataclass(frozen=True)
class GroupScores:
    """Every metric of every model over groups of one kind: model -> (g, M); `n` rows in each.

    `kind` is `regime`, `symbol` or a label's name.
    """

    horizon: str
    kind: str
    groups: tuple[str, ...]
    n: tuple[int, ...]
    values: Mapping[str, F64]

    def of(self, metric: str) -> dict[str, F64]:
        """One metric by model, (g,)."""
        return {
            model: values[:, columns_of(values).index(metric)]
            for model, values in self.values.items()
        }


def by_group(
    forecasts: Forecasts,
    outcome: Values,
    models: Mapping[str, Values],
    marked: Marked,
    labels: Mapping[str, Mapping[str, str]],
) -> tuple[GroupScores, ...]:
    """Scores by regime, and by each label and symbol where a panel has several symbols."""
    found = []
    for kind, groups in _kinds(forecasts, marked, labels):
        if groups:
            values = score_groups(outcome, models, list(groups.values()))
            sizes = tuple(rows.size for rows in groups.values())
            found.append(GroupScores(forecasts.horizon, kind, tuple(groups), sizes, values))
    return tuple(found)


def _kinds(
    forecasts: Forecasts, marked: Marked, labels: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, Mapping[str, I64]]]:
    yield "regime", marked.groups
    if len(forecasts.symbols) < 2:
        return
    for label, words in labels.items():
        of = [words.get(symbol, "unknown") for symbol in forecasts.symbols]
        names = sorted(set(of))
        code = np.array([names.index(word) for word in of])[forecasts.symbol]
        yield label, {name: np.flatnonzero(code == k) for k, name in enumerate(names)}
    yield (
        "symbol",
        {
            symbol: np.flatnonzero(forecasts.symbol == k)
            for k, symbol in enumerate(forecasts.symbols)
        },
    )


def of_group(found: Sequence[GroupScores], kind: str, group: str, metric: str) -> dict[str, float]:
    """One metric of every model in one group."""
    scores = next(g for g in found if g.kind == kind)
    place = scores.groups.index(group)
    return {model: float(values[place]) for model, values in scores.of(metric).items()}


def only(
    forecasts: Forecasts,
    outcome: Values,
    models: Mapping[str, Values],
    rows: I64,
    *,
    ranked: bool = True,
) -> tuple[Forecasts, Values, dict[str, Values]]:
    """Forecasts and values of these rows alone; ranks, if asked for, are taken among them."""
    part = replace(forecasts, formed_at=forecasts.formed_at[rows], symbol=forecasts.symbol[rows])
    own = {name: taken(v, rows, ranked=ranked) for name, v in models.items()}
    return part, taken(outcome, rows, ranked=ranked), own


@dataclass(frozen=True)
class Adaptation:
    """Cumulative mean loss of each model by forecast origin after a shift: model -> (days,).

    Means are over the shifts of all symbols; `loss` names the metric. `usual` is each model's mean
    loss over the test rows outside the regime, NaN where there is none.
    """

    horizon: str
    regime: str
    loss: str
    shifts: int
    cumulative: Mapping[str, F64]
    usual: Mapping[str, float]


def caught_up(cumulative: F64, usual: float) -> int | None:
    """How many forecast origins after a shift a model needs until its loss is as usual again.

    The excess loss is the cumulative loss less the usual loss of as many origins. The model has
    caught up where the excess first reaches _SHARE of its largest value: 1 is the first origin, 0
    says that there is no excess. None if the usual loss is not known.
    """
    if not np.isfinite(usual):
        return None
    excess = cumulative - usual * np.arange(1, cumulative.size + 1)
    if excess.max(initial=0.0) <= 0.0:
        return 0
    return int(np.argmax(excess >= _SHARE * excess.max())) + 1


def adaptation(
    forecasts: Forecasts, outcome: Values, models: Mapping[str, Values], marked: Marked, metric: str
) -> tuple[Adaptation, ...]:
    """Adaptation after the shifts of every `Shifts` regime, in the metric's loss, or QLIKE."""
    name = loss_of(metric)
    found = []
    for regime, since in marked.since.items():
        rows = marked.groups[regime]
        if not rows.size:
            continue
        count = np.bincount(since)
        others = np.setdiff1d(np.arange(forecasts.formed_at.size), rows)
        cumulative, usual = {}, {}
        for model, f in models.items():
            losses = METRICS[name].losses(outcome, f)
            sums = np.bincount(since, weights=losses[rows])
            mean = np.divide(sums, count, out=np.zeros(count.size), where=count > 0)
            cumulative[model] = np.cumsum(mean)
            usual[model] = float(np.mean(losses[others])) if others.size else math.nan
        shifts = int(np.sum(since == 0))
        found.append(Adaptation(forecasts.horizon, regime, name, shifts, cumulative, usual))
    return tuple(found)
